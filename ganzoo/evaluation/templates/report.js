"use strict";

/* Sorts a table by the column whose button is clicked; rows without a value are last. */
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = header.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const before = header.getAttribute("aria-sort");
      const first = header.dataset.better === "higher" ? "descending" : "ascending";
      const second = first === "ascending" ? "descending" : "ascending";
      const order = before === first ? second : first;
      for (const each of headers) {
        if (each.hasAttribute("aria-sort")) each.setAttribute("aria-sort", "none");
      }
      header.setAttribute("aria-sort", order);
      const value = (row) => row.cells[column].dataset.value;
      const sign = order === "ascending" ? 1 : -1;
      const rows = [...body.rows].sort((a, b) => {
        if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
        return sign * (Number(value(a)) - Number(value(b)));
      });
      body.append(...rows);
    });
  });
}

/* Shows each model at the snapshot of the slider's step. */
const slider = document.getElementById("step");
if (slider) {
  const where = document.getElementById("where");
  const frames = [...document.querySelectorAll(".frame")];
  const show = () => {
    for (const frame of frames) {
      frame.hidden = !frame.dataset.steps.split(" ").includes(slider.value);
    }
    const shares = new Set(
      frames.filter((frame) => !frame.hidden).map((frame) => frame.dataset.share));
    where.textContent = shares.size === 1
      ? `${[...shares][0]} of training`
      : `snapshot ${Number(slider.value) + 1} of ${Number(slider.max) + 1}`;
    slider.setAttribute("aria-valuetext", where.textContent);
  };
  slider.addEventListener("input", show);
  show();
}
