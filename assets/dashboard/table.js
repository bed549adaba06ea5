// Tools of a table: which columns it shows, kept in this browser, and a copy of what is shown as CSV.

import { save } from "./api.js";
import { h, icon } from "./dom.js";
import { csv } from "./format.js";
import { dropDown, toast } from "./parts.js";

/** Columns hidden by the person. @param {string} name of the table @returns {Set<string>} */
function stored(name) {
  try { return new Set(JSON.parse(localStorage.getItem(`columns.${name}`) ?? "[]")); } catch { return new Set(); }
}

/**
 * Buttons for the tables inside `host`. The first named column always stays, and a row with other cells than the head is left alone.
 * @param {string} name of the table, for the browser's memory and the file @param {HTMLElement} host
 */
export function tableTools(name, host) {
  const hidden = stored(name);
  const apply = () => {
    for (const table of host.querySelectorAll("table.tbl")) {
      const names = headOf(table);
      for (const row of rowsOf(table, names.length, "tr")) names.forEach((column, i) => { row[i].hidden = hidden.has(column); });
    }
  };
  new MutationObserver(apply).observe(host, { childList: true });

  /** @param {string} column @param {boolean} shown */
  const show = (column, shown) => {
    if (shown) hidden.delete(column);
    else hidden.add(column);
    localStorage.setItem(`columns.${name}`, JSON.stringify([...hidden]));
    apply();
  };
  const menu = h("div.pop", { popover: "auto", id: `columns-${name}`, role: "group", "aria-label": "Columns" });
  const columns = h("button.btn.icon-btn", { "aria-label": "Choose columns", title: "Choose columns", popovertarget: `columns-${name}` }, icon("columns"));
  menu.addEventListener("beforetoggle", (event) => {
    if (/** @type {ToggleEvent} */ (event).newState !== "open") return;
    const names = [...new Set([...host.querySelectorAll("table.tbl")].flatMap((table) => choosable(headOf(table))))];
    menu.replaceChildren(...names.map((column) => h("label.item", h("input", { type: "checkbox", checked: !hidden.has(column), on: { change: (changed) => show(column, changed.target.checked) } }), column)));
  });
  dropDown(columns, menu);
  const copy = h("button.btn.icon-btn", { "aria-label": "Copy table as CSV", title: "Copy table as CSV", click: () => void copyTable(name, host) }, icon("copy"));
  return [columns, menu, copy];
}

/** Names of the columns; empty for a column of buttons. @param {Element} table */
const headOf = (table) => [...table.querySelectorAll("thead th")].map((cell) => (cell.querySelector(".sr") ? "" : cell.textContent ?? ""));

/** @param {string[]} names */
const choosable = (names) => names.filter(Boolean).slice(1);

/** Cells of the rows that have one per column. @param {Element} table @param {number} columns @param {string} selector @returns {HTMLElement[][]} */
const rowsOf = (table, columns, selector) => [...table.querySelectorAll(selector)].map((row) => /** @type {HTMLElement[]} */ ([...row.children])).filter((cells) => cells.length === columns);

/** Text of a cell; the exact value where the page shows a rounded one. @param {HTMLElement} cell */
const value = (cell) => (cell.dataset.csv ?? cell.querySelector("[data-csv]")?.getAttribute("data-csv") ?? cell.innerText).replace(/\s*\n\s*/g, ", ").trim();

/** The tables of `host` as they are shown. @param {string} name @param {HTMLElement} host */
async function copyTable(name, host) {
  const parts = [...host.querySelectorAll("table.tbl")].map((table) => {
    const names = headOf(table), rows = rowsOf(table, names.length, "tbody tr");
    const shown = names.flatMap((column, i) => (column && rows.some((row) => row[i].offsetParent) ? [i] : []));
    return { rows: rows.length, text: csv(shown.map((i) => names[i]), rows.map((row) => shown.map((i) => value(row[i])))) };
  });
  const text = parts.map((part) => part.text).join("\r\n"), rows = parts.reduce((sum, part) => sum + part.rows, 0);
  try {
    await navigator.clipboard.writeText(text);
    toast(`${rows} rows copied as CSV`);
  } catch {
    save(new Blob([text], { type: "text/csv" }), `${name}.csv`);
    toast(`Saved as ${name}.csv; the browser gives no clipboard here`);
  }
}
