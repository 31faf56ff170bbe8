// A region of the image, and the posterior of its mean: the means of all draws inside.
let tool = null, region = null, first = null;
const inside = ({kind, top, left, bottom, right}) => {
  const chosen = [], middle = {row: (top + bottom) / 2, column: (left + right) / 2};
  const high = (bottom - top + 1) / 2, wide = (right - left + 1) / 2;
  for (let row = top; row <= bottom; row++) for (let column = left; column <= right; column++)
    if (kind === "rectangle" || ((row - middle.row) / high) ** 2 + ((column - middle.column) / wide) ** 2 <= 1) chosen.push(row * columns + column);
  return chosen;
};
const meanOf = (values, chosen) => chosen.reduce((sum, i) => sum + values[i], 0) / chosen.length;
// the place (n + 1) q among n sorted values, as scorefield.Samples.quantile has it
const quantile = (sorted, q) => {
  const spot = (sorted.length + 1) * q - 1, low = Math.max(0, Math.min(sorted.length - 2, Math.floor(spot + 1e-9)));
  return sorted[low] + (spot - low) * (sorted[low + 1] - sorted[low]);
};
const posterior = chosen => {
  const means = data.draws.map(i => meanOf(planes[i], chosen)), sorted = [...means].sort((a, b) => a - b), n = means.length;
  const mean = means.reduce((a, b) => a + b) / n, std = Math.sqrt(means.reduce((sum, m) => sum + (m - mean) ** 2, 0) / (n - 1));
  const tail = (1 - data.level) / 2;
  return {sorted, mean, std, low: quantile(sorted, tail), high: quantile(sorted, 1 - tail)};
};

const histogram = (found, truth, parent) => {
  const values = [...found.sorted, found.low, found.high, ...(truth === null ? [] : [truth])];
  const least = Math.min(...values), reach = Math.max(...values) - least || 1, bins = Math.max(5, Math.round(Math.sqrt(2 * found.sorted.length)));
  const x = value => 20 + 400 * (value - least) / reach, counts = new Array(bins).fill(0);
  for (const m of found.sorted) counts[Math.min(bins - 1, Math.floor(bins * (m - least) / reach))]++;
  const tall = Math.max(...counts), chart = svg("svg", {viewBox: "0 0 440 150", role: "img", "aria-label": "Histogram of the means of the draws"}, parent);
  svg("rect", {class: "band", x: x(found.low), y: 8, width: x(found.high) - x(found.low), height: 112}, chart);
  counts.forEach((count, i) => svg("rect", {class: "bars", x: 20 + 400 * i / bins + 1, y: 120 - 104 * count / tall, width: 400 / bins - 2, height: 104 * count / tall}, chart));
  svg("path", {class: "axis", d: `M20 120H420${found.sorted.map(m => `M${x(m)} 120v5`).join("")}`, fill: "none"}, chart);
  svg("path", {class: "mean", d: `M${x(found.mean)} 8V120`}, chart);
  if (truth !== null) svg("path", {class: "true", d: `M${x(truth)} 8V120`}, chart);
  svg("text", {x: 20, y: 142}, chart).textContent = digits(least);
  svg("text", {x: 420, y: 142, "text-anchor": "end"}, chart).textContent = withUnit(least + reach);
};
const line = (text, parent) => { const p = document.createElement("p"); p.textContent = text; parent.append(p); return p; };
const answer = () => {
  const chosen = inside(region), found = posterior(chosen), box = at("answer"), text = document.createElement("div");
  const area = data.pixel_area === null ? "" : `, ${digits(chosen.length * data.pixel_area / 100)} cm\u00b2`;
  const truth = data.reference === null ? null : meanOf(planes[data.reference], chosen);
  box.replaceChildren(text);
  line(`Mean inside the ${region.kind}: ${digits(found.mean)} \u00b1 ${withUnit(found.std)}`, text).style.fontWeight = 600;
  line(`${Math.round(100 * data.level)}% interval: ${digits(found.low)} to ${withUnit(found.high)}`, text);
  line(`Mean \u00b1 standard deviation of ${data.draws.length} draws; ${chosen.length.toLocaleString("en-US")} pixels${area}.`, text);
  if (truth !== null) line(`Reference: ${withUnit(truth)}, ${found.low <= truth && truth <= found.high ? "inside" : "outside"} the interval.`, text);
  for (const other of data.others) line(`${other.name}: ${withUnit(meanOf(planes[other.plane], chosen))}`, text);
  Object.assign(box.dataset, {mean: found.mean, std: found.std, low: found.low, high: found.high, pixels: chosen.length});
  histogram(found, truth, box);
  box.hidden = false;
};

const outline = ({kind, top, left, bottom, right}) => {
  const high = bottom - top + 1, wide = right - left + 1;
  return kind === "rectangle"
    ? `M${left} ${top}h${wide}v${high}h${-wide}z`
    : `M${left} ${top + high / 2}a${wide / 2} ${high / 2} 0 1 0 ${wide} 0a${wide / 2} ${high / 2} 0 1 0 ${-wide} 0z`;
};
const clamp = ({row, column}) => ({row: Math.max(0, Math.min(rows - 1, row)), column: Math.max(0, Math.min(columns - 1, column))});
const stretch = (one, other) => {
  const a = clamp(one), b = clamp(other);
  region = {kind: tool, top: Math.min(a.row, b.row), bottom: Math.max(a.row, b.row), left: Math.min(a.column, b.column), right: Math.max(a.column, b.column)};
  for (const panel of panels) panel.shape.setAttribute("d", outline(region));
};
const corner = spot => {
  if (!tool) return;
  if (!first) { first = spot; stretch(spot, spot); return; }
  stretch(first, spot);
  first = null;
  answer();
};
const forget = () => {
  region = first = null;
  for (const panel of panels) panel.shape.setAttribute("d", "");
  at("answer").hidden = true;
};
const choose = name => {
  tool = tool === name ? null : name;
  first = null;
  viewer.classList.toggle("drawing", tool !== null);
  for (const button of viewer.querySelectorAll(".tool")) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
};
for (const button of viewer.querySelectorAll(".tool")) button.addEventListener("click", () => choose(button.dataset.tool));
at("clear").addEventListener("click", forget);
