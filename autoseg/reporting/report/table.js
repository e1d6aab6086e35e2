/* Tables that sort by a column, and filter by a text. */

const NUMBER = /^[+-]?\d+(\.\d+)?(?=$| \/ |, unsettled)/;
const MISSING = "-";

function cellText(row, column) {
  return row.cells[column].textContent.trim();
}

/* Numbers stand before texts; what is missing stands last in either direction. */
function compareRows(column, isDescending) {
  const sign = isDescending ? -1 : 1;
  return (first, second) => {
    const texts = [cellText(first, column), cellText(second, column)];
    const gaps = texts.map((text) => text === MISSING);
    if (gaps[0] || gaps[1]) return gaps[0] - gaps[1];
    const numbers = texts.map((text) => NUMBER.exec(text));
    if (numbers[0] && numbers[1]) return sign * (Number(numbers[0][0]) - Number(numbers[1][0]));
    return sign * texts[0].localeCompare(texts[1], "en", { numeric: true });
  };
}

function isNumeric(body, column) {
  return [...body.rows].some((row) => NUMBER.test(cellText(row, column)));
}

function sortTable(table, column, isDescending) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, i) => {
    if (i === column) head.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  body.append(...[...body.rows].sort(compareRows(column, isDescending)));
}

function makeSortable(table, name) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (head.classList.contains("drawn")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const order = head.getAttribute("aria-sort");
      /* A column of numbers begins with its largest, one of texts with the alphabet. */
      const isDescending = order ? order === "ascending" : isNumeric(body, column);
      sortTable(table, column, isDescending);
      saveChoice(name, column + (isDescending ? "d" : "a"));
    });
  });
  const saved = /^(\d+)([ad])$/.exec(savedChoice(name) || "");
  if (saved && Number(saved[1]) < table.tHead.rows[0].cells.length) {
    sortTable(table, Number(saved[1]), saved[2] === "d");
  }
}

function addControl(parent, text, control) {
  const label = document.createElement("label");
  label.append(text, control);
  parent.append(label);
  return control;
}

/* Shows the rows that hold every word of the text and were not left out in the chart; `onChange`
   hears of each change. Returns what looks at the rows anew. */
function makeFilter(table, name, onChange) {
  const controls = document.createElement("div");
  controls.className = "controls";
  const input = addControl(controls, "Filter rows", document.createElement("input"));
  input.type = "search";
  input.placeholder = "words that a row must hold";
  const count = document.createElement("output");
  controls.append(count);
  table.parentElement.before(controls);
  const rows = [...table.tBodies[0].rows];
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = Boolean(row.isLeftOut) || !words.every((word) => text.includes(word));
    }
    const numShown = rows.filter((row) => !row.hidden).length;
    count.textContent = numShown + " of " + rows.length + " rows";
    onChange();
  };
  input.addEventListener("input", () => {
    apply();
    saveChoice(name, input.value);
  });
  input.value = savedChoice(name) || "";
  apply();
  return apply;
}
