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

/* Shows each model at the snapshot of the slider's step; Play goes through all of them. */
const slider = document.getElementById("step");
if (slider) {
  const pace = 450; // milliseconds between two snapshots
  const where = document.getElementById("where");
  const play = document.getElementById("play");
  const frames = [...document.querySelectorAll(".frame")];
  let timer = null;
  /* Pictures are decoded before they are shown and in the same paint, so that none flashes. */
  for (const frame of frames) frame.querySelector("img").decoding = "sync";
  const decoded = Promise.allSettled(frames.map((frame) => frame.querySelector("img").decode()));
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
  const go = (step) => {
    slider.value = step;
    show();
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  const start = async () => {
    timer = setInterval(() => {
      go(Number(slider.value) + 1);
      if (slider.value === slider.max) stop();
    }, pace);
    play.textContent = "Pause";
    await decoded;
    if (slider.value === slider.max) go(0);
  };
  play.hidden = false;
  play.addEventListener("click", () => (timer === null ? start() : stop()));
  slider.addEventListener("input", () => {
    stop();
    show();
  });
  document.querySelector(".player").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || event.target === slider || event.ctrlKey || event.altKey || event.metaKey) return;
    stop();
    go(Number(slider.value) + step);
    event.preventDefault();
  });
  show();
}

/* Saves plots: as they are shown, in the colours of the light theme, with the names of models. */
const light = document.styleSheets[0].cssRules[0].style;
const colour = (name) => light.getPropertyValue(name).trim();
const save = (name, kind, text) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
const shown = () => [...document.querySelectorAll(".shown input:checked")];
const drawing = (chart) => {
  const svg = [...chart.querySelectorAll("[role=img] > svg")]
    .find((each) => each.parentElement.checkVisibility()).cloneNode(true);
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const texts = [];
  const write = (x, y, words, paint) => {
    const text = document.createElementNS(svg.namespaceURI, "text");
    text.setAttribute("x", x);
    text.setAttribute("y", y);
    text.setAttribute("style", `font-size: 11px; fill: ${paint}`);
    text.textContent = words;
    texts.push(text);
  };
  const line = 14;
  let full = height;
  if (chart.closest("#curves")) {
    const series = shown().map((input) => input.dataset.series);
    for (const part of svg.querySelectorAll("[class^=of-]")) {
      if (!series.includes(part.getAttribute("class").slice(3))) part.remove();
    }
    for (const input of shown()) {
      const { series } = input.dataset;
      if (!svg.querySelector(`.of-${series}`)) continue;
      full += line;
      write(47, full - 3, input.parentElement.textContent.trim(), `var(--series-${series % 8})`);
    }
    full += line;
    write(47, -5, chart.querySelector("figcaption > span").firstChild.textContent.trim(), "var(--ink)");
  }
  svg.append(...texts);
  svg.setAttribute("viewBox", `0 ${height - full ? -line : 0} ${width} ${full}`);
  svg.setAttribute("width", 2 * width);
  svg.setAttribute("height", 2 * full);
  svg.setAttribute("font-family", "sans-serif");
  return new XMLSerializer().serializeToString(svg).replace(/var\((--[\w-]+)\)/g,
    (_, name) => colour(name));
};
for (const chart of document.querySelectorAll(".chart")) {
  const buttons = document.createElement("div");
  buttons.className = "save";
  const { name, table } = chart.dataset;
  const add = (label, action) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.setAttribute("aria-label", `Save ${name} as ${label}`);
    button.addEventListener("click", action);
    buttons.append(button);
  };
  add("SVG", () => save(`${name}.svg`, "image/svg+xml", drawing(chart)));
  if (table) add("CSV", () => save(`${name}.csv`, "text/csv", table));
  chart.append(buttons);
}
