// Events of a reader, and what the page answers; test_viewer.py appends this to a page and reads the answers.
const at = id => document.getElementById(id), all = s => [...document.querySelectorAll(s)], found = {};
const until = async test => { while (!test()) await new Promise(go => setTimeout(go, 20)); };
const paint = () => new Promise(go => setTimeout(go, 50));
const key = (frame, key, more) => frame.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, ...more}));
const point = (frame, kind, row, column, id = 1) => {
  const box = frame.getBoundingClientRect();
  frame.dispatchEvent(new PointerEvent(kind, {pointerId: id, bubbles: true, isPrimary: true, pointerType: "mouse",
    clientX: box.left + box.width * (column + .5) / COLUMNS, clientY: box.top + box.height * (row + .5) / ROWS}));
};
const outputs = () => all("figcaption output").map(o => o.textContent);
const grays = number => [...all(".frame canvas")[number].getContext("2d").getImageData(0, 0, COLUMNS, ROWS).data].filter((_, i) => i % 4 === 0);
const part = () => Object.fromEntries(["zoom", "x", "y"].map(n => [n, Number(at("viewer").style.getPropertyValue("--" + n))]));
const state = () => ({pressed: all(".controls button[aria-pressed=true]").map(b => b.textContent), level: at("level-text").textContent, width: at("width-text").textContent});
(async () => {
  try {
    await until(() => at("viewer").dataset.ready);
    const frames = all(".frame");
    found.hidden = all("#viewer img.pixels").length;
    found.playing = at("play").textContent;
    found.window = state(); found.grays = grays(0);
    all(".preset").find(b => b.textContent === "Soft tissue").click(); await paint();
    found.soft = state(); found.soft_grays = grays(0);
    at("width").value = 400; at("width").dispatchEvent(new Event("input")); await paint();
    found.narrow = state();
    point(frames[0], "pointermove", 4, 7);
    found.place = at("place").textContent; found.read = outputs();
    key(frames[1], "ArrowDown"); key(frames[1], "ArrowRight", {shiftKey: true});
    found.moved = at("place").textContent;
    frames[2].dispatchEvent(new WheelEvent("wheel", {deltaY: -60, bubbles: true, cancelable: true, clientX: frames[2].getBoundingClientRect().left + 1e-3, clientY: frames[2].getBoundingClientRect().top + 1e-3}));
    found.wheel = part();
    key(frames[0], "0"); found.whole = part();
    key(frames[0], "+"); found.plus = part();
    point(frames[0], "pointerdown", 10, 15); point(frames[0], "pointermove", 10, 12); point(frames[0], "pointerup", 10, 12);
    found.dragged = part();
    at("whole").click();
    point(frames[0], "pointerdown", 10, 10, 1); point(frames[0], "pointerdown", 10, 20, 2);
    point(frames[0], "pointermove", 10, 25, 2); point(frames[0], "pointermove", 10, 5, 1);
    point(frames[0], "pointerup", 10, 25, 2); point(frames[0], "pointerup", 10, 5, 1);
    found.pinched = part();
    at("whole").click();
    all(".strip button")[3].click(); await paint();
    found.draw = at("draw-text").textContent; found.draw_grays = grays(PLAYER);
    at("play").click(); await until(() => !at("draw-text").textContent.startsWith("4 ")); found.play = at("play").textContent; at("play").click();
    found.stopped = at("play").textContent;
    all(".tool")[0].click();
    point(frames[0], "pointerdown", 3, 4); point(frames[0], "pointermove", 6, 9); point(frames[0], "pointerup", 6, 9);
    found.rectangle = {...at("answer").dataset, text: at("answer").innerText, path: document.querySelector(".region").getAttribute("d")};
    all(".tool")[1].click();
    point(frames[0], "pointermove", 2, 2); key(frames[0], "Enter");
    for (let i = 0; i < 10; i++) { key(frames[0], "ArrowDown"); key(frames[0], "ArrowRight"); }
    key(frames[0], "Enter");
    found.ellipse = {...at("answer").dataset, text: at("answer").innerText};
    key(frames[0], "Escape"); found.cleared = at("answer").hidden;
    const ground = () => getComputedStyle(document.body).backgroundColor;
    found.light = ground(); at("theme").click(); found.dark = ground(); found.button = at("theme").textContent;
  } catch (error) { found.error = String(error.stack || error); }
  const answer = document.createElement("pre");
  answer.id = "found"; answer.textContent = JSON.stringify(found);
  document.body.append(answer);
})();
