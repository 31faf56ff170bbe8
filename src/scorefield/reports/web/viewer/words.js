// Numbers for people, as scorefield.data.display.digits spells them.
const digits = value => Math.abs(value) >= 100
  ? Math.round(value).toLocaleString("en-US")
  : String(Number(value.toPrecision(3))).replace("-", "\u2212");
const withUnit = value => `${digits(value)} ${data.unit}`;
