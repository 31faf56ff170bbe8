// Events of the panels, and the first picture.
for (const {frame} of panels) {
  frame.addEventListener("wheel", event => wheel(frame, event), {passive: false});
  frame.addEventListener("dblclick", () => look(1, 0, 0));
  frame.addEventListener("keydown", press);
  frame.addEventListener("pointerdown", event => {
    const spot = within(frame, event);
    fingers.set(event.pointerId, spot);
    try { frame.setPointerCapture(event.pointerId); } catch { /* a pointer that has gone */ }
    if (tool && fingers.size === 1) { first = pixel(spot); stretch(first, first); }
  });
  frame.addEventListener("pointermove", event => {
    const spot = within(frame, event), {row, column} = pixel(spot);
    if (spot.u >= 0 && spot.u < 1 && spot.v >= 0 && spot.v < 1) read(row, column);
    if (tool && first && fingers.size === 1) stretch(first, {row, column});
    else if (fingers.size) drag(frame, event);
  });
  frame.addEventListener("pointerup", event => {
    if (tool && first && fingers.size === 1) corner(pixel(within(frame, event)));
    fingers.delete(event.pointerId);
  });
  frame.addEventListener("pointercancel", event => { fingers.delete(event.pointerId); first = null; });
}
at("in").addEventListener("click", () => zoomHere(1.5));
at("out").addEventListener("click", () => zoomHere(1 / 1.5));
at("whole").addEventListener("click", () => look(1, 0, 0));
for (const element of viewer.querySelectorAll(".controls, .player, .strip, .help")) element.hidden = false;
show(data.window);
repaint();
turn(0);
if (!matchMedia("(prefers-reduced-motion: reduce)").matches) start();
viewer.dataset.ready = "yes";
