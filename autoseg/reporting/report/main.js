/* Everything comes to life, part by part. */

for (const section of document.querySelectorAll("body > section[id]")) {
  const figure = section.querySelector(".chart");
  const table = section.querySelector("table.rows");
  const rows = table ? [...table.tBodies[0].rows] : [];
  const draw = figure ? makeChart(figure, rows, section.id) : () => {};
  section.querySelectorAll("table").forEach((each, i) => {
    makeSortable(each, section.id + ".sort" + (i || ""));
  });
  if (table && rows.length > 1) {
    const apply = makeFilter(table, section.id + ".filter", draw);
    if (figure) makeSelection(figure, rows, section.id + ".out", apply);
  } else draw();
  section.querySelectorAll(".scene").forEach(makeSlider);
}
/* A row that the address names has moved if the table was sorted. */
if (location.hash.length > 1) {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target) target.scrollIntoView({ block: "center" });
}
