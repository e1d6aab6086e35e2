/* The chart: a point a row, over two axes of the reader's choice. */

const MARGIN = { left: 58, right: 16, top: 12, bottom: 46 };
const RADIUS = 6;

function makeChart(figure, rows, name) {
  const chart = JSON.parse(figure.querySelector("script").textContent);
  const svg = figure.querySelector("svg");
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  const controls = document.createElement("div");
  controls.className = "controls";
  figure.prepend(controls);
  figure.append(tip, makeLegend(chart));
  const draw = () => {
    const focused = svg.contains(document.activeElement) && document.activeElement.getAttribute("href");
    drawChart(svg, tip, chart, rows, select);
    /* All points are new; whoever goes from one to the next by keys stays where they were. */
    if (focused) svg.querySelector("a[href='" + focused + "']")?.focus({ preventScroll: true });
  };
  const select = {};
  for (const [side, text] of [["y", "Upwards"], ["x", "Across"]]) {
    select[side] = addControl(controls, text, document.createElement("select"));
    for (const axis of chart.axes) select[side].add(new Option(axis.heading, axis.key));
    const saved = savedChoice(name + "." + side);
    select[side].value = chart.axes.some((axis) => axis.key === saved) ? saved : chart[side];
    select[side].addEventListener("change", () => {
      saveChoice(name + "." + side, select[side].value);
      draw();
    });
  }
  new ResizeObserver(draw).observe(figure);
  return draw;
}

function makeLegend(chart) {
  const legend = document.createElement("figcaption");
  legend.className = "legend";
  const remarks = [...new Set(chart.points.map((point) => point.remark).filter(Boolean))];
  const hollow = remarks.length ? " Hollow: " + remarks.join(", ") + "." : "";
  legend.textContent =
    "Dashed: the front, which no other point beats on both axes." + hollow +
    " Point at one, or tab to it, for its numbers; choose it to find its row. Draw a rectangle " +
    "over some to keep them alone; Delete, or Shift and a click, leaves one out.";
  return legend;
}

function element(parent, tag, attributes) {
  const made = document.createElementNS(parent.namespaceURI, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

function drawChart(svg, tip, chart, rows, select) {
  const width = Math.max(280, svg.parentElement.clientWidth);
  const height = Math.round(Math.min(480, Math.max(300, 0.55 * width)));
  svg.replaceChildren();
  svg.setAttribute("viewBox", "0 0 " + width + " " + height);
  tip.hidden = true;
  for (const row of rows) row.classList.remove("chosen");
  for (const [side, other] of [["x", "y"], ["y", "x"]]) {
    for (const option of select[side].options) option.disabled = option.value === select[other].value;
  }
  const [xAxis, yAxis] = ["x", "y"].map((side) =>
    chart.axes.find((axis) => axis.key === select[side].value)
  );
  const points = chart.points
    .map((point, i) => ({ ...point, row: rows[i], x: point.values[xAxis.key], y: point.values[yAxis.key] }))
    .filter((point) => point.x !== null && point.y !== null && !point.row.hidden);
  if (!points.length) {
    element(svg, "text", { x: width / 2, y: height / 2, "text-anchor": "middle" }).textContent =
      "No row has both values";
    return;
  }
  const x = makeScale(points.flatMap((p) => ends(p, "x", xAxis)), MARGIN.left, width - MARGIN.right);
  const y = makeScale(points.flatMap((p) => ends(p, "y", yAxis)), height - MARGIN.bottom, MARGIN.top);
  drawAxes(svg, x, y, axisTitle(xAxis), axisTitle(yAxis));
  drawFront(svg, points, x, y, xAxis, yAxis);
  for (const point of points) {
    point.px = x.place(point.x);
    point.py = y.place(point.y);
  }
  drawJoins(svg, points);
  for (const point of points) drawSpreads(svg, point, x, y, xAxis, yAxis);
  for (const point of points) drawPoint(svg, tip, chart, point);
  drawNames(svg, points, { right: width, bottom: height - MARGIN.bottom });
}

function drawAxes(svg, x, y, xTitle, yTitle) {
  for (const tick of x.ticks) {
    const at = x.place(tick);
    element(svg, "line", { class: "grid", x1: at, x2: at, y1: y.start, y2: y.end });
    element(svg, "text", { class: "tick", x: at, y: y.start + 17, "text-anchor": "middle" })
      .textContent = numberText(tick);
  }
  for (const tick of y.ticks) {
    const at = y.place(tick);
    element(svg, "line", { class: "grid", x1: x.start, x2: x.end, y1: at, y2: at });
    element(svg, "text", { class: "tick", x: x.start - 7, y: at + 4, "text-anchor": "end" })
      .textContent = numberText(tick);
  }
  element(svg, "path", { class: "frame", d: "M" + x.start + " " + y.end + "V" + y.start + "H" + x.end });
  element(svg, "text", { x: (x.start + x.end) / 2, y: y.start + 38, "text-anchor": "middle" })
    .textContent = xTitle;
  const middle = (y.start + y.end) / 2;
  element(svg, "text", { x: 14, y: middle, "text-anchor": "middle", transform: "rotate(-90 14 " + middle + ")" })
    .textContent = yTitle;
}

/* A staircase: on its worse side lies everything that some point beats. */
function drawFront(svg, points, x, y, xAxis, yAxis) {
  const ranked = points.filter(
    (point) => !point.unranked.includes(xAxis.key) && !point.unranked.includes(yAxis.key)
  );
  const front = frontOf(ranked, xAxis.isHighGood ? 1 : -1, yAxis.isHighGood ? 1 : -1);
  if (!front.length) return;
  const worstX = xAxis.isHighGood ? x.start : x.end;
  const worstY = yAxis.isHighGood ? y.start : y.end;
  let path = "M" + x.place(front[0].x) + " " + worstY;
  for (const point of front) path += "H" + x.place(point.x) + "V" + y.place(point.y);
  element(svg, "path", { class: "front", d: path + "H" + worstX });
}

function drawJoins(svg, points) {
  for (const label of new Set(points.map((point) => point.label))) {
    const [from, to] = points.filter((point) => point.label === label);
    if (!to) continue;
    element(svg, "path", { class: "join", d: "M" + from.px + " " + from.py + "L" + to.px + " " + to.py })
      .style.stroke = from.colour;
  }
}

/* Where the bar of a point's spread begins and ends; twice the value where it has none. */
function ends(point, side, axis) {
  const spread = point.spreads[axis.key] || 0;
  return [point[side] - spread, point[side] + spread];
}

function drawSpreads(svg, point, x, y, xAxis, yAxis) {
  const [left, right] = ends(point, "x", xAxis).map(x.place);
  const [low, high] = ends(point, "y", yAxis).map(y.place);
  const d = "M" + left + " " + point.py + "H" + right + "M" + point.px + " " + low + "V" + high;
  element(svg, "path", { class: "spread", d }).style.stroke = point.colour;
}

function pointText(chart, point) {
  const lines = [point.label + (point.remark ? ", " + point.remark : "")];
  for (const axis of chart.axes) {
    const value = point.values[axis.key];
    if (value === null) continue;
    const note = point.unranked.includes(axis.key) ? ", not ranked" : "";
    lines.push(axisTitle(axis) + ": " + numberText(value) + note);
  }
  return lines.concat(point.details);
}

function drawPoint(svg, tip, chart, point) {
  const link = element(svg, "a", { href: "#" + point.row.id });
  const lines = pointText(chart, point);
  link.setAttribute("aria-label", lines.join("; "));
  const [cx, cy, r] = [point.px, point.py, RADIUS];
  const mark = point.remark
    ? element(link, "path", { class: "mark", d: "M" + (cx - r) + " " + cy + "l" + r + " " + -r + "l" + r + " " + r + "l" + -r + " " + r + "z" })
    : element(link, "circle", { class: "mark", cx, cy, r });
  /* Orange alone is too pale on white for an edge; a browser that cannot mix keeps it. */
  mark.style.stroke = point.colour;
  mark.style.stroke = "color-mix(in srgb, " + point.colour + " 65%, var(--ink))";
  mark.style.fill = point.remark ? "var(--page)" : point.colour;
  const show = () => {
    tip.textContent = lines.join("\n");
    tip.hidden = false;
    const { offsetLeft, offsetTop } = svgOffset(svg);
    const isRight = cx > svg.parentElement.clientWidth / 2;
    tip.style.left = isRight ? "auto" : offsetLeft + cx + 14 + "px";
    tip.style.right = isRight ? svg.parentElement.clientWidth - cx + 14 + "px" : "auto";
    tip.style.top = offsetTop + Math.max(0, cy - 20) + "px";
    point.row.classList.add("chosen");
  };
  const hide = () => {
    tip.hidden = true;
    point.row.classList.remove("chosen");
  };
  for (const event of ["mouseenter", "focus"]) link.addEventListener(event, show);
  for (const event of ["mouseleave", "blur"]) link.addEventListener(event, hide);
}

function svgOffset(svg) {
  const [inner, outer] = [svg, svg.parentElement].map((each) => each.getBoundingClientRect());
  return { offsetLeft: inner.left - outer.left, offsetTop: inner.top - outer.top };
}

/* Names stand where they cover neither a point nor another name; where there is no such place, the
   point shows its name when it is pointed at. */
function drawNames(svg, points, frame) {
  const taken = points.map((p) => ({
    x: p.px - RADIUS, y: p.py - RADIUS, width: 2 * RADIUS, height: 2 * RADIUS
  }));
  const named = new Set();
  for (const point of points) {
    if (named.has(point.label)) continue;
    const text = element(svg, "text", { class: "name" });
    text.textContent = point.label;
    const { width, height } = text.getBBox();
    const places = [
      [RADIUS + 4, -height / 2], [-RADIUS - 4 - width, -height / 2],
      [-width / 2, -RADIUS - 4 - height], [-width / 2, RADIUS + 4]
    ].map(([dx, dy]) => ({ x: point.px + dx, y: point.py + dy, width, height }));
    const free = places.find((box) =>
      box.x >= MARGIN.left && box.y >= 0 && box.x + width <= frame.right &&
      box.y + height <= frame.bottom && !taken.some((other) => overlaps(box, other)));
    if (!free) {
      text.remove();
      continue;
    }
    text.setAttribute("x", free.x);
    text.setAttribute("y", free.y + 0.78 * height);
    taken.push(free);
    named.add(point.label);
  }
}

function overlaps(a, b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}
