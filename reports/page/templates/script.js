"use strict";
// Everything is on the page without this. It adds: sorting and filtering of tables, one or two variants picked
// out in all charts and tables, and opened folds in print.
(() => {
  const make = (tag, given = {}, ...inside) => {
    const element = Object.assign(document.createElement(tag), given);
    element.append(...inside);
    return element;
  };
  const of = element => element.dataset.v.split(" ");

  for (const table of document.querySelectorAll("table.data")) {
    const body = table.tBodies[0], rows = [...body.rows];
    if (rows.length < 3) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const value = row => {
        const cell = row.cells[column], exact = cell.querySelector("data");
        return exact ? Number(exact.value) : cell.textContent.trim();
      };
      const button = make("button", {type: "button", className: "sort"}, ...head.childNodes);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const sorted = rows.map(row => [value(row), row]).sort(([a], [b]) => {
          const texts = (typeof a === "string") - (typeof b === "string");
          return texts || (down ? -1 : 1) * (typeof a === "string" ? a.localeCompare(b) : a - b);
        });
        body.append(...sorted.map(([, row]) => row));
      });
      head.append(button);
    });
    if (rows.length < 12) continue;
    const field = make("input", {type: "search", className: "filter", placeholder: "Filter rows"});
    field.setAttribute("aria-label", `Filter rows of: ${table.caption.textContent.trim()}`);
    field.addEventListener("input", () => {
      const wanted = field.value.toLowerCase();
      for (const row of rows) row.classList.toggle("filtered", !row.textContent.toLowerCase().includes(wanted));
    });
    table.parentElement.before(field);
  }

  const names = new Map();
  for (const row of document.querySelectorAll("tr[data-v]")) {
    if (!names.has(row.dataset.v)) names.set(row.dataset.v, row.cells[0].textContent.trim());
  }
  const nav = document.querySelector("nav");
  if (names.size > 2 && nav) {
    const selects = ["Pick out", "and"].map(label => {
      const none = make("option", {value: ""}, "–");
      const options = [...names].map(([number, name]) => make("option", {value: number}, name));
      return [label, make("select", {}, none, ...options)];
    });
    const bar = make("p", {className: "pick"}, ...selects.map(([text, box]) => make("label", {}, `${text} `, box)));
    const pick = () => {
      const chosen = selects.map(([, box]) => box.value).filter(Boolean);
      const aside = element => chosen.length > 0 && !of(element).some(number => chosen.includes(number));
      for (const mark of document.querySelectorAll("svg [data-v]")) mark.classList.toggle("faint", aside(mark));
      for (const row of document.querySelectorAll("table.data tr[data-v]")) row.classList.toggle("aside", aside(row));
      for (const row of document.querySelectorAll(".matrix tr[data-v]")) {
        row.classList.toggle("picked", chosen.length > 0 && !aside(row));
      }
    };
    for (const [, box] of selects) box.addEventListener("change", pick);
    nav.after(bar);
  }

  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details:not(.bulk)")) fold.open = true;
  });
})();
