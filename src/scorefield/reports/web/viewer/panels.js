// The panels: a canvas in place of each picture, and over it the cross and the region.
const viewer = at("viewer"), space = viewer.querySelector("svg").namespaceURI;
const svg = (name, attributes, parent) => {
  const element = document.createElementNS(space, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
};
const planes = await Promise.all(data.planes.map(restore));
const subtract = (a, b) => a.map((value, i) => value - b[i]);

const panels = data.panels.map((panel, number) => {
  const figure = viewer.querySelector(`[data-panel="${number}"]`), frame = figure.querySelector(".frame");
  const layer = frame.firstElementChild, picture = layer.firstElementChild, canvas = blank();
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", picture.alt);
  picture.replaceWith(canvas);
  const over = layer.lastElementChild;
  over.setAttribute("viewBox", `0 0 ${columns} ${rows}`);
  const cross = svg("path", {class: "cross"}, over), shape = svg("path", {class: "region"}, over);
  const output = document.createElement("output");
  figure.querySelector("figcaption").append(output);
  frame.tabIndex = 0;
  frame.setAttribute("role", "group");
  frame.setAttribute("aria-label", `${panel.name}; arrow keys read pixels`);
  const values = panel.minus === null ? planes[panel.plane] : subtract(planes[panel.plane], planes[panel.minus]);
  return {...panel, frame, canvas, cross, shape, output, values};
});
const gray = panels.filter(panel => panel.colors === "gray");
for (const panel of panels) if (panel.colors !== "gray") paint(panel.canvas, panel.values, panel.window, panel.colors);

let place = null;
const read = (row, column) => {
  place = {row: Math.max(0, Math.min(rows - 1, row)), column: Math.max(0, Math.min(columns - 1, column))};
  const x = place.column + .5, y = place.row + .5;
  for (const panel of panels) {
    panel.cross.setAttribute("d", `M${x} 0V${rows}M0 ${y}H${columns}`);
    panel.output.textContent = `${digits(panel.values[place.row * columns + place.column])}${panel.unit ? " " + panel.unit : ""}`;
  }
  at("place").textContent = `Row ${place.row}, column ${place.column}`;
};
