// One gray window for all images: presets, and sliders of level and (logarithmic) width.
const level = at("level"), width = at("width");
const [least, most] = data.range, span = most - least, narrowest = span / 1000;
let gray_window = data.window;

const thumbnails = [];
let painting = false;
const repaint = () => {
  painting = false;
  for (const panel of gray) paint(panel.canvas, panel.values, gray_window, "gray");
  for (const [canvas, values] of thumbnails) paint(canvas, values, gray_window, "gray");
};
const show = window => {
  gray_window = window;
  const [low, high] = window;
  level.value = 1000 * ((low + high) / 2 - least) / span;
  width.value = 1000 * Math.log((high - low) / narrowest) / Math.log(span / narrowest);
  at("level-text").textContent = digits((low + high) / 2);
  at("width-text").textContent = digits(high - low);
  for (const button of viewer.querySelectorAll(".preset"))
    button.setAttribute("aria-pressed", String(Number(button.dataset.low) === low && Number(button.dataset.high) === high));
  if (!painting) setTimeout(repaint);
  painting = true;
};
const around = (middle, wide) => show([middle - wide / 2, middle + wide / 2]);
level.addEventListener("input", () => around(least + span * level.value / 1000, gray_window[1] - gray_window[0]));
width.addEventListener("input", () => around((gray_window[0] + gray_window[1]) / 2, narrowest * (span / narrowest) ** (width.value / 1000)));
for (const button of viewer.querySelectorAll(".preset"))
  button.addEventListener("click", () => show([Number(button.dataset.low), Number(button.dataset.high)]));
