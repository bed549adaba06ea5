// Numbers, money and dates as text. Money is a bigint of pico-dollars; nothing here uses floats for it.

const PICO_DIGITS = 12;
const CENT = 10_000_000_000n;

/** Pico-dollars of a decimal string of dollars. @param {string | null | undefined} text */
export function pico(text) {
  if (!text) return 0n;
  const [whole, fraction = ""] = text.replace("-", "").split(".");
  const amount = BigInt(whole + fraction.padEnd(PICO_DIGITS, "0"));
  return text.startsWith("-") ? -amount : amount;
}

/** Exact decimal string of pico-dollars. @param {bigint} pico */
export function decimal(pico) {
  const digits = (pico < 0n ? -pico : pico).toString().padStart(PICO_DIGITS + 1, "0");
  const fraction = digits.slice(-PICO_DIGITS).replace(/0+$/, "");
  return (pico < 0n ? "-" : "") + digits.slice(0, -PICO_DIGITS) + (fraction && `.${fraction}`);
}

/** @param {Intl.NumberFormatOptions & Record<string, any>} options */
const number = (options) => new Intl.NumberFormat(undefined, options);
const usdDigits = Array.from({ length: PICO_DIGITS + 1 }, (_, digits) =>
  number({ style: "currency", currency: "USD", minimumFractionDigits: 2, maximumFractionDigits: Math.max(2, digits) }));
const usdFull = number({ style: "currency", currency: "USD", minimumFractionDigits: 2, maximumFractionDigits: PICO_DIGITS });
const usdRound = number({ style: "currency", currency: "USD", trailingZeroDisplay: "stripIfInteger" });
const usdAxis = [0, 1, 2, 3, 4, 5, 6, 7, 8].map((digits) => number({ style: "currency", currency: "USD", notation: "compact", minimumFractionDigits: digits, maximumFractionDigits: digits }));
const countFull = number({});
const countShort = number({ notation: "compact", minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
const seconds = number({ minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
const percentShort = number({ style: "percent", maximumSignificantDigits: 2 });

/** Cents from $1 up, three significant digits below: $12.40, $0.0426, $0.0000123. @param {bigint} pico */
export function usd(pico) {
  if (pico === 0n) return "$0";
  const text = decimal(pico);
  const zeros = /^-?0\.(0*)/.exec(text)?.[1].length;
  const digits = zeros === undefined ? 2 : Math.min(PICO_DIGITS, zeros + 3);
  return usdDigits[digits].format(/** @type {any} */ (text));
}

/** Every digit. @param {bigint} pico */
export const usdExact = (pico) => usdFull.format(/** @type {any} */ (decimal(pico)));

/** A limit: cents only where it has some, and all its digits below a cent. @param {bigint} pico */
export const usdLimit = (pico) => (pico % CENT === 0n ? usdRound.format(/** @type {any} */ (decimal(pico))) : usdExact(pico));

/** Labels of an axis: each with the decimals that one of them needs, and never one alone: $2.50, not $2.5. @param {number[]} dollars */
export function usdTicks(dollars) {
  const unit = Math.max(...dollars) >= 1000 ? 1000 ** Math.floor(Math.log10(Math.max(...dollars)) / 3) : 1;
  const needed = Math.max(...dollars.map((value) => (value / unit).toFixed(8).replace(/\.?0+$/, "").split(".")[1]?.length ?? 0));
  return dollars.map((value) => usdAxis[value < unit && (value === 0 || unit > 1) ? 0 : needed === 1 && unit === 1 ? 2 : needed].format(value));
}

/** @param {number | bigint} n */
export const count = (n) => countFull.format(n);
/** A number of things: `1 key`, `12 keys`, `200+ keys`. @param {number} n @param {string} word @param {string} [sign] after the number */
export const plural = (n, word, sign = "") => `${count(n)}${sign} ${word}${n === 1 && !sign ? "" : "s"}`;
/** @param {number} n */
export const compact = (n) => (n < 1000 ? countFull : countShort).format(n);
/** @param {number} part @param {number} [whole] */
export const percent = (part, whole = 1) => (whole === 0 ? "–" : percentShort.format(part / whole));

/** Change against an earlier value, with its sign. @param {number} now @param {number} before */
export const change = (now, before) =>
  before === 0 ? (now === 0 ? "–" : "new") : number({ style: "percent", signDisplay: "exceptZero", maximumFractionDigits: 0 }).format(now / before - 1);

/** @param {number} ms */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${seconds.format(ms / 1000)} s`;
  const whole = Math.round(ms / 1000);
  return `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ""}`;
}

/** Time until an instant, in its two largest units. @param {Date} then @param {Date} now */
export function until(then, now) {
  const minutes = Math.max(0, Math.round((+then - +now) / 60_000));
  const [d, hr, m] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24, minutes % 60];
  return d ? `${d} d ${hr} h` : hr ? `${hr} h ${m} min` : `${m} min`;
}

/** @typedef {{ day: Intl.DateTimeFormat, fullDay: Intl.DateTimeFormat, time: Intl.DateTimeFormat, instant: Intl.DateTimeFormat, parts: Intl.DateTimeFormat }} Formats */

/** @param {string} zone @returns {Formats} */
function formats(zone) {
  /** @param {Intl.DateTimeFormatOptions} options @param {string} [locale] */
  const date = (options, locale) => new Intl.DateTimeFormat(locale, { timeZone: zone, hourCycle: "h23", ...options });
  return {
    day: date({ month: "short", day: "numeric" }),
    fullDay: date({ weekday: "short", month: "short", day: "numeric", year: "numeric" }),
    time: date({ hour: "2-digit", minute: "2-digit", second: "2-digit" }),
    instant: date({ month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }),
    parts: date({ year: "numeric", month: "2-digit", day: "2-digit" }, "en-CA"),
  };
}

let zone = "UTC";
let zoned = formats(zone);
let calendar = formats("UTC");

/** Zone of the instance, in which every time is shown. @param {string} name */
export function setZone(name) {
  zone = name;
  zoned = formats(name);
}
export const zoneName = () => zone;

/** @param {Date} d */
export const day = (d) => zoned.day.format(d);
/** @param {Date} d */
export const fullDay = (d) => zoned.fullDay.format(d);
/** @param {Date} d */
export const time = (d) => zoned.time.format(d);
/** @param {Date} d */
export const instant = (d) => zoned.instant.format(d);
/** Date of the instance's zone as YYYY-MM-DD. @param {Date} d */
export const isoDay = (d) => zoned.parts.format(d);
/** Label of a date YYYY-MM-DD. @param {string} date */
export const dayOf = (date) => calendar.day.format(new Date(`${date}T00:00:00Z`));
/** @param {string} date */
export const fullDayOf = (date) => calendar.fullDay.format(new Date(`${date}T00:00:00Z`));

/** Date so many days later. @param {string} date YYYY-MM-DD @param {number} days */
export function shiftDay(date, days) {
  const d = new Date(`${date}T00:00:00Z`);
  d.setUTCDate(d.getUTCDate() + days);
  return d.toISOString().slice(0, 10);
}

/** Days from the first to the second date. @param {string} from @param {string} to */
export const daysBetween = (from, to) => Math.round((+new Date(`${to}T00:00:00Z`) - +new Date(`${from}T00:00:00Z`)) / 86_400_000);

/** Time since an instant. @param {Date} then @param {Date} [now] */
export function since(then, now = new Date()) {
  const s = Math.max(0, Math.round((+now - +then) / 1000));
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`;
  return day(then);
}

/** Letters with which spreadsheets begin a formula. */
const FORMULA = /^[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]/;

/** Lines of a CSV file (RFC 4180); no cell can be read as a formula. @param {string[]} head @param {(string | number)[][]} rows */
export function csv(head, rows) {
  const cell = (value) => {
    const text = typeof value === "string" && Number.isNaN(Number(value)) ? value.replace(FORMULA, "'$&") : String(value);
    return /[,"\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [head, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}
