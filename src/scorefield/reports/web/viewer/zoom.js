// One part of the image for all panels: wheel, two fingers, dragging, buttons and keys.
const part = {zoom: 1, x: 0, y: 0};  // x and y: left and upper end, as shares of the image
const LARGEST_ZOOM = 32;
const look = (zoom, x, y) => {
  part.zoom = Math.max(1, Math.min(LARGEST_ZOOM, zoom));
  const room = 1 - 1 / part.zoom;
  part.x = Math.max(0, Math.min(room, x));
  part.y = Math.max(0, Math.min(room, y));
  for (const [name, value] of Object.entries(part)) viewer.style.setProperty(`--${name}`, value);
  viewer.classList.toggle("zoomed", part.zoom > 1);
};
// the point at the shares (u, v) of a frame stays where it is
const zoomAt = (factor, u, v) => {
  const x = part.x + u / part.zoom, y = part.y + v / part.zoom, zoom = Math.max(1, Math.min(LARGEST_ZOOM, part.zoom * factor));
  look(zoom, x - u / zoom, y - v / zoom);
};
const zoomHere = factor => place
  ? zoomAt(factor, ((place.column + .5) / columns - part.x) * part.zoom, ((place.row + .5) / rows - part.y) * part.zoom)
  : zoomAt(factor, .5, .5);
const within = (frame, event) => {
  const box = frame.getBoundingClientRect();
  return {u: (event.clientX - box.left) / box.width, v: (event.clientY - box.top) / box.height};
};
const pixel = ({u, v}) => ({row: Math.floor((part.y + v / part.zoom) * rows), column: Math.floor((part.x + u / part.zoom) * columns)});

let scrolled = -1e9;  // a page that is being scrolled is not zoomed when an image comes under the pointer
addEventListener("scroll", () => { scrolled = performance.now(); }, {passive: true});
const wheel = (frame, event) => {
  const out = event.deltaY > 0;
  if (!event.ctrlKey && (performance.now() - scrolled < 400 || (out && part.zoom === 1))) return;
  event.preventDefault();
  const {u, v} = within(frame, event);
  zoomAt(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 150), u, v);
};

const fingers = new Map();
const drag = (frame, event) => {
  const before = fingers.get(event.pointerId), now = within(frame, event);
  if (!before) return;
  const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
  fingers.set(event.pointerId, now);
  if (other) {
    const distance = p => Math.max(.01, Math.hypot(p.u - other.u, p.v - other.v));
    zoomAt(distance(now) / distance(before), (now.u + other.u) / 2, (now.v + other.v) / 2);
  }
  const share = other ? .5 : 1;
  look(part.zoom, part.x - share * (now.u - before.u) / part.zoom, part.y - share * (now.v - before.v) / part.zoom);
};
const keys = {
  ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
};
const press = event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const [down, right] = keys[event.key] || [], step = event.shiftKey ? 10 : 1;
  const {row, column} = place || {row: rows >> 1, column: columns >> 1};
  if (down !== undefined) read(row + step * down, column + step * right);
  else if (event.key === "+" || event.key === "=") zoomHere(1.25);
  else if (event.key === "-") zoomHere(.8);
  else if (event.key === "0") look(1, 0, 0);
  else if (event.key === "Enter") corner({row, column});
  else if (event.key === "Escape") forget();
  else return;
  event.preventDefault();
};
