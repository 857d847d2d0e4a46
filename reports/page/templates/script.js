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
    if (of(row).length === 1 && !names.has(row.dataset.v)) names.set(row.dataset.v, row.cells[0].textContent.trim());
  }
  const nav = document.querySelector("nav");
  if (names.size > 2 && nav) {
    const selects = ["Pick out", "and"].map(label => {
      const none = make("option", {value: ""}, "–");
      const options = [...names].map(([number, name]) => make("option", {value: number}, name));
      return [label, make("select", {}, none, ...options)];
    });
    const between = make("output", {tabIndex: 0, hidden: true});
    between.setAttribute("aria-label", "The two side by side");
    const labels = selects.map(([text, box]) => make("label", {}, `${text} `, box));
    const bar = make("div", {className: "pick"}, ...labels, between);
    // The paired difference of the two, as its table has it: of two pruned models, or of one and dense.
    const compare = chosen => {
      between.hidden = new Set(chosen).size < 2;
      if (between.hidden) return;
      const [a, b] = chosen, dense = document.querySelector("#against-dense")?.dataset.number;
      const other = dense === a ? b : dense === b ? a : null;
      const row = other === null
        ? document.querySelector(`.pairs tr[data-v="${a} ${b}"], .pairs tr[data-v="${b} ${a}"]`)
        : document.querySelector(`#against-dense ~ .scroll tr[data-v="${other}"]`);
      if (!row) {
        between.replaceChildren(`No paired difference of ${names.get(a)} and ${names.get(b)} is on this page.`);
        return;
      }
      const heads = [...row.closest("table").tHead.rows[0].cells].map(head => head.textContent.trim());
      const title = other === null ? row.cells[0].textContent.trim() : `${names.get(other)} minus ${names.get(dense)}`;
      const told = [...row.cells].map((cell, i) => [heads[i], cell.textContent.trim().replace(/\s+/g, " ")]);
      const said = told.slice(other === null ? 1 : 2).map(([head, text]) => make("span", {}, `${head}: `, make("b", {}, text)));
      between.replaceChildren(make("span", {}, `${title}:`), ...said);
    };
    const pick = () => {
      const chosen = selects.map(([, box]) => box.value).filter(Boolean);
      const aside = element => chosen.length > 0 && !of(element).some(number => chosen.includes(number));
      for (const mark of document.querySelectorAll("svg [data-v]")) mark.classList.toggle("faint", aside(mark));
      for (const row of document.querySelectorAll("table.data tr[data-v]")) row.classList.toggle("aside", aside(row));
      for (const row of document.querySelectorAll(".matrix tr[data-v]")) {
        row.classList.toggle("picked", chosen.length > 0 && !aside(row));
      }
      for (const row of document.querySelectorAll(".pairs tr[data-v]")) {
        row.classList.toggle("aside", !chosen.every(number => of(row).includes(number)));
      }
      compare(chosen);
    };
    for (const [, box] of selects) box.addEventListener("change", pick);
    nav.after(bar);
  }

  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details:not(.bulk)")) fold.open = true;
  });
})();
