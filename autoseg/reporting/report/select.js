/* Rows that the reader keeps alone: by a rectangle drawn over the chart's points, or by leaving
   points out one by one. */

const MIN_DRAG = 5; /* pixels: less is a click whose hand shook */

function makeSelection(figure, rows, name, onChange) {
  const svg = figure.querySelector("svg");
  const left = new Set(readRows(savedChoice(name), rows));
  const button = document.createElement("button");
  button.type = "button";
  figure.querySelector(".controls").append(button);
  const apply = () => {
    rows.forEach((row, i) => { row.isLeftOut = left.has(i); });
    button.hidden = !left.size;
    button.textContent = "Show all " + rows.length + " rows";
    onChange();
  };
  const leaveOut = (chosen) => {
    /* The last row stays: an empty chart would have nothing to choose from. */
    if (left.size + chosen.length >= rows.length) return;
    chosen.forEach((row) => left.add(rows.indexOf(row)));
    saveChoice(name, [...left].sort((a, b) => a - b).map((i) => i + 1).join("."));
    apply();
  };
  button.addEventListener("click", () => {
    left.clear();
    saveChoice(name, "");
    apply();
    figure.querySelector("select").focus(); /* the button, which had the focus, has gone */
  });
  svg.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || !event.shiftKey) return;
    event.preventDefault(); /* a link with Shift opens a window */
    leaveOut([rowOf(link)]);
  });
  svg.addEventListener("keydown", (event) => {
    const link = event.target.closest("a");
    if (!link || !["Delete", "Backspace"].includes(event.key)) return;
    event.preventDefault();
    const place = [...svg.querySelectorAll("a")].indexOf(link);
    leaveOut([rowOf(link)]);
    const remaining = [...svg.querySelectorAll("a")];
    remaining[Math.min(place, remaining.length - 1)]?.focus();
  });
  makeDrag(svg, (links) => {
    const inside = new Set(links.map(rowOf));
    /* Rows without a point on these axes go too: they are not among what was chosen. */
    if (inside.size) leaveOut(rows.filter((row) => !row.isLeftOut && !inside.has(row)));
  });
  apply();
}

function readRows(text, rows) {
  const numbers = (text || "").split(".").map((part) => Number(part) - 1);
  const known = numbers.filter((i) => Number.isInteger(i) && i >= 0 && i < rows.length);
  return known.length < rows.length ? known : [];
}

function rowOf(link) {
  return document.getElementById(link.getAttribute("href").slice(1));
}

/* Draws a rectangle while the mouse is down, and tells in the end which points lie in it. A finger
   scrolls the page. */
function makeDrag(svg, onEnd) {
  let start = null;
  let shape = null;
  const place = (event) => {
    const box = svg.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const stop = () => {
    shape?.remove();
    start = shape = null;
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch" || event.target.closest("a")) return;
    event.preventDefault(); /* no text is marked meanwhile */
    start = place(event);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (!start) return;
    const end = place(event);
    const [width, height] = [Math.abs(end.x - start.x), Math.abs(end.y - start.y)];
    if (!shape && Math.max(width, height) < MIN_DRAG) return;
    shape ??= element(svg, "rect", { class: "drag" });
    const [x, y] = [Math.min(start.x, end.x), Math.min(start.y, end.y)];
    for (const [key, value] of Object.entries({ x, y, width, height })) shape.setAttribute(key, value);
  });
  svg.addEventListener("pointerup", () => {
    const frame = shape?.getBoundingClientRect();
    stop();
    if (!frame) return;
    onEnd([...svg.querySelectorAll("a")].filter((link) => {
      const box = link.querySelector(".mark").getBoundingClientRect();
      const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
      return x >= frame.left && x <= frame.right && y >= frame.top && y <= frame.bottom;
    }));
  });
  svg.addEventListener("pointercancel", stop);
}
