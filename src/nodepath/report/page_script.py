"""The page's own JavaScript: draw the charts, sort the tables."""

__all__ = ["SCRIPT"]

SCRIPT = """
"use strict";
const specs = JSON.parse(document.getElementById("charts").textContent);
const options = {mode: "vega-lite", renderer: "svg", actions: false};
window.drawn = Promise.all(Array.from(document.querySelectorAll(".chart"), (place, index) =>
  vegaEmbed(place, specs[index], options).catch(error => {
    place.innerHTML = '<p class="failed">This chart could not be drawn; its numbers are in the table.</p>';
    console.error(error);
  }))).then(() => true);

function key(row, column) {
  const value = row.cells[column].dataset.value;
  const number = Number(value);
  return value === "" ? null : Number.isNaN(number) ? value : number;
}

function compare(a, b) {
  return typeof a === "string" || typeof b === "string" ? String(a).localeCompare(String(b)) : a - b || 0;
}

function sort(header) {
  const body = header.closest("table").tBodies[0];
  const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  const rows = Array.from(body.rows, row => [key(row, header.cellIndex), row]);
  rows.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b));
  body.append(...rows.map(([, row]) => row));
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sort(button.closest("th")));
}
"""
