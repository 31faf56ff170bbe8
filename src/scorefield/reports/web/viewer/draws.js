// The draws: one in its panel, all in a strip, played like a film unless the reader prefers less motion.
const player = panels[data.player], slider = at("draw-slider"), play = at("play"), strip = at("strip");
let current = 0, timer = null;
data.draws.forEach((plane, i) => {
  const button = Object.assign(document.createElement("button"), {type: "button", title: `Draw ${i + 1}`}), canvas = blank();
  button.setAttribute("aria-label", `Draw ${i + 1}`);
  canvas.style.aspectRatio = player.frame.style.aspectRatio;
  button.append(canvas);
  button.addEventListener("click", () => { stop(); turn(i); });
  strip.append(button);
  thumbnails.push([canvas, planes[plane]]);
});
const turn = i => {
  current = (i + data.draws.length) % data.draws.length;
  player.values = planes[data.draws[current]];
  paint(player.canvas, player.values, gray_window, "gray");
  player.canvas.setAttribute("aria-label", player.canvas.getAttribute("aria-label").replace(/^Draw \d+/, `Draw ${current + 1}`));
  at("draw-text").textContent = `${current + 1} of ${data.draw_count}`;
  slider.value = current + 1;
  [...strip.children].forEach((button, k) => button.setAttribute("aria-current", String(k === current)));
  if (place) player.output.textContent = `${digits(player.values[place.row * columns + place.column])}${player.unit ? " " + player.unit : ""}`;
};
const label = () => { play.textContent = timer ? "Pause" : "Play"; play.setAttribute("aria-pressed", String(timer !== null)); };
const stop = () => { if (timer) clearInterval(timer); timer = null; label(); };
const start = () => { timer = setInterval(() => { if (!document.hidden) turn(current + 1); }, 250); label(); };
play.addEventListener("click", () => timer ? stop() : start());
slider.addEventListener("input", () => { stop(); turn(Number(slider.value) - 1); });
