// Charts in SVG: stacked bars with a scrubber, and sparklines. Values are pico-dollars;
// floats are used for geometry only, the texts come from the exact values.

import { h, s } from "./dom.js";

/**
 * @typedef {{ id: string, name: string, color: string, values: bigint[] }} Series
 * @typedef {{ label: string, days: string[], series: Series[], before?: bigint[],
 *   partial?: boolean, dayText: (d: string) => string, dayTitle: (d: string) => string,
 *   ticks: (dollars: number[]) => string[], text: (v: bigint) => string }} Chart
 */

const PAD = { top: 10, right: 2, bottom: 24 };
/** Width of a day's name. */
const LABEL = 46;
const dollars = (pico) => Number(pico) / 1e12;
const total = (values) => values.reduce((a, b) => a + b, 0n);

/** Round axis steps (1, 2, 2.5, 5 × 10ⁿ) covering `max` with about `wanted` lines. @param {number} max @param {number} wanted */
export function ticks(max, wanted = 4) {
  const raw = (max || 1) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * /** @type {number} */ ([1, 2, 2.5, 5, 10].find((m) => m * power >= raw * 0.999));
  return Array.from({ length: Math.ceil((max || 1) / step - 1e-9) + 1 }, (_, i) => i * step);
}

/** Draws into `host` and again whenever its width changes. @param {HTMLElement} host @param {Chart} chart */
export function stacked(host, chart) {
  const svg = s("svg", { "aria-hidden": "true" });
  const tip = h("div.tip", { hidden: true });
  const scrub = h("div.scrub", {
    role: "slider", tabindex: "0", "aria-label": `${chart.label}; arrow keys read the days`,
    "aria-valuemin": 1, "aria-valuemax": chart.days.length, "aria-valuenow": chart.days.length,
  });
  host.replaceChildren(svg, scrub, tip);
  let hidden = new Set();
  let at = -1;
  /** @type {ReturnType<typeof draw> | undefined} */
  let plot;

  const shown = () => chart.series.filter((one) => !hidden.has(one.id));
  const redraw = () => {
    if (!host.clientWidth || !host.clientHeight) return;
    plot = draw(svg, host.clientWidth, host.clientHeight, chart, shown());
    Object.assign(scrub.style, { left: `${plot.left}px`, top: "0", width: `${plot.width}px`, height: `${plot.top + plot.height}px` });
    point(at);
  };
  /** @param {number} index */
  const point = (index) => {
    at = index;
    tip.hidden = index < 0;
    if (!plot) return;
    plot.band.setAttribute("visibility", index < 0 ? "hidden" : "visible");
    const day = Math.max(0, index < 0 ? chart.days.length - 1 : index);
    const values = shown().map((one) => one.values[day]);
    scrub.setAttribute("aria-valuenow", String(day + 1));
    scrub.setAttribute("aria-valuetext", `${chart.dayTitle(chart.days[day])}: total ${chart.text(total(values))}; ${shown().map((one, i) => `${one.name} ${chart.text(values[i])}`).join("; ")}`);
    if (index < 0) return;
    plot.band.setAttribute("x", String(plot.left + index * plot.step));
    tip.replaceChildren(tooltip(chart, shown(), index));
    const middle = plot.left + (index + 0.5) * plot.step;
    const right = middle + plot.step / 2 + 8;
    const x = right + tip.offsetWidth <= host.clientWidth ? right : Math.max(0, middle - plot.step / 2 - 8 - tip.offsetWidth);
    tip.style.transform = `translate(${Math.round(x)}px, 4px)`;
  };

  scrub.addEventListener("pointermove", (event) => {
    if (plot) point(Math.min(chart.days.length - 1, Math.max(0, Math.floor(event.offsetX / plot.step))));
  });
  scrub.addEventListener("pointerleave", () => point(-1));
  scrub.addEventListener("blur", () => point(-1));
  scrub.addEventListener("keydown", (event) => {
    const last = chart.days.length - 1;
    const from = at < 0 ? last : at;
    const to = /** @type {Record<string, number>} */ ({ ArrowLeft: from - (at < 0 ? 0 : 1), ArrowRight: from + 1, PageUp: from - 7, PageDown: from + 7, Home: 0, End: last, Escape: -1 })[event.key];
    if (to === undefined) return;
    event.preventDefault();
    point(event.key === "Escape" ? -1 : Math.min(last, Math.max(0, to)));
  });
  new ResizeObserver(redraw).observe(host);
  return { hide: (ids) => { hidden = ids; redraw(); }, point };
}

/** @param {SVGElement} svg @param {number} w @param {number} hgt @param {Chart} chart @param {Series[]} series */
function draw(svg, w, hgt, chart, series) {
  const n = chart.days.length;
  const sums = chart.days.map((_, i) => series.reduce((sum, one) => sum + one.values[i], 0n));
  const max = Math.max(...sums.map(dollars), ...(chart.before ?? []).map(dollars), 0.000001);
  const lines = ticks(max);
  const texts = chart.ticks(lines);
  const left = Math.max(...texts.map((text) => text.length)) * 7 + 10;
  const width = w - left - PAD.right;
  const height = hgt - PAD.top - PAD.bottom;
  const step = width / n;
  const y = (v) => PAD.top + height - (v / lines[lines.length - 1]) * height;
  const band = s("rect", { class: "band", y: PAD.top, width: step, height, visibility: "hidden" });
  svg.replaceChildren(band);
  lines.forEach((v, i) => svg.append(
    s("line", { class: i ? "gridline" : "base", x1: left, x2: w - PAD.right, y1: Math.round(y(v)) + 0.5, y2: Math.round(y(v)) + 0.5 }),
    s("text", { x: left - 10, y: y(v) + 4, "text-anchor": "end" }, document.createTextNode(texts[i])),
  ));
  svg.append(...dayLabels(chart, left, step, hgt));
  const floor = sums.map(() => 0);
  for (const one of series) {
    const ceiling = one.values.map((v, i) => floor[i] + dollars(v));
    one.values.forEach((v, i) => v > 0n && svg.append(barOf(one, left + i * step, step, y(floor[i]), y(ceiling[i]), !!chart.partial && i === n - 1)));
    ceiling.forEach((v, i) => { floor[i] = v; });
  }
  if (chart.before) {
    const tick = barWidth(step) + Math.min(6, step * 0.2);
    const d = chart.before.slice(0, n).map((v, i) => `M${(left + (i + 0.5) * step - tick / 2).toFixed(1)} ${y(dollars(v)).toFixed(1)}h${tick.toFixed(1)}`).join("");
    svg.append(s("path", { class: "halo", d }), s("path", { class: "before", d }));
  }
  return { left, top: PAD.top, width, height, step, band };
}

const barWidth = (step) => Math.max(2, Math.min(28, step * 0.7));

/** @param {Series} one @param {number} x @param {number} step @param {number} y0 @param {number} y1 @param {boolean} part */
function barOf(one, x, step, y0, y1, part) {
  const bar = barWidth(step);
  const rect = s("rect", { x: (x + (step - bar) / 2).toFixed(1), y: y1.toFixed(1), width: bar.toFixed(1), height: Math.max(0.5, y0 - y1 - 1).toFixed(1), rx: 1.5 });
  rect.style.fill = `var(${one.color})`;
  if (part) rect.setAttribute("class", "part");
  return rect;
}

/** Labels every k-th day, counted back from the last. @param {Chart} chart @param {number} left @param {number} step @param {number} hgt */
function dayLabels(chart, left, step, hgt) {
  const n = chart.days.length;
  const every = [1, 2, 3, 5, 7, 10, 14, 30].find((k) => k * step >= LABEL + 16) ?? 30;
  return chart.days.flatMap((d, i) => ((n - 1 - i) % every ? [] : [
    s("text", { x: i === n - 1 && step < LABEL ? left + n * step : left + (i + 0.5) * step, y: hgt - 6, "text-anchor": i === n - 1 && step < LABEL ? "end" : "middle" },
      document.createTextNode(chart.dayText(d))),
  ]));
}

/** @param {Chart} chart @param {Series[]} series @param {number} i */
function tooltip(chart, series, i) {
  const sum = total(series.map((one) => one.values[i]));
  const so = chart.partial && i === chart.days.length - 1 ? ", so far" : "";
  return h("table", h("caption", chart.dayTitle(chart.days[i]) + so), h("tbody",
    h("tr.sum", h("th", { scope: "row" }, "Total"), h("td", chart.text(sum))),
    [...series].reverse().map((one) => h("tr",
      h("th", { scope: "row" }, h("span.sw", { vars: { c: `var(${one.color})` } }), one.name), h("td", chart.text(one.values[i])))),
    chart.before?.[i] !== undefined && h("tr", h("th", { scope: "row" }, h("span.sw.dash"), "Period before"), h("td", chart.text(chart.before[i]))),
  ));
}

/**
 * Legend whose buttons hide a series; with Shift they leave only that one.
 * @param {HTMLElement} host @param {Series[]} series @param {(hidden: Set<string>) => void} change @param {string} [before] name of the period that the ticks stand for
 */
export function legend(host, series, change, before = "") {
  const hidden = new Set();
  const buttons = series.map((one) => h("button", {
    "aria-pressed": "true", title: "Click hides, Shift-click leaves only this",
    click: (event) => {
      if (event.shiftKey) { hidden.clear(); for (const other of series) if (other !== one) hidden.add(other.id); }
      else if (hidden.delete(one.id) === false) hidden.add(one.id);
      if (hidden.size === series.length) hidden.clear();
      series.forEach((each, i) => buttons[i].setAttribute("aria-pressed", String(!hidden.has(each.id))));
      change(new Set(hidden));
    },
  }, h("span.sw", { vars: { c: `var(${one.color})` } }), one.name));
  const dashed = before && h("span.row.small.mute", h("span.sw.dash"), before);
  host.replaceChildren(...buttons, ...(dashed ? [dashed] : []));
}

/** Sparkline; the number beside it carries the meaning, so it is hidden from assistive technology. @param {number[]} values */
export function spark(values) {
  const max = Math.max(...values), min = Math.min(0, ...values);
  const points = values.map((v, i) => `${((i / (values.length - 1)) * 98 + 1).toFixed(1)} ${(23 - ((v - min) / (max - min || 1)) * 21).toFixed(1)}`);
  const line = `M${points.join("L")}`;
  const end = points[points.length - 1];
  return s("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("path", { class: "under", d: `${line}L99 24L1 24Z` }), s("path", { d: line }), s("path", { class: "end", d: `M${end}h0` }));
}
