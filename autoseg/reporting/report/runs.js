/* The table of runs sorts and filters, and its address keeps how. */

const table = document.querySelector("table.runs");
makeSortable(table, "sort");
if (table.tBodies[0].rows.length > 1) makeFilter(table, "filter", () => {});
