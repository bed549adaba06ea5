// Calls of the last hour by provider and deployment, for Models & providers.

import { get, url } from "../api.js";
import { h } from "../dom.js";
import { count, percent, time } from "../format.js";

const HOUR_MS = 3_600_000;

/** @typedef {{ all: number, failed: number }} Calls */
/** @typedef {{ since: string, of: (name: string) => Calls }} Recent */

/**
 * Calls of the last hour by provider, and by `provider/model`. Usage is kept by the hour, so it begins at the full hour before.
 * @param {AbortSignal} signal @returns {Promise<Recent>}
 */
export async function recentCalls(signal) {
  const report = await get(url("/v1/usage", { start: new Date(Date.now() - HOUR_MS).toISOString(), end: new Date().toISOString(), group_by: "provider,model,status" }), signal);
  /** @type {Map<string, Calls>} */
  const sums = new Map();
  for (const row of report.data) {
    for (const name of [row.provider, `${row.provider}/${row.model}`]) {
      const sum = sums.get(name) ?? { all: 0, failed: 0 };
      sums.set(name, { all: sum.all + row.requests, failed: sum.failed + (row.status === "failed" ? row.requests : 0) });
    }
  }
  return { since: time(new Date(report.start)).slice(0, 5), of: (name) => sums.get(name) ?? { all: 0, failed: 0 } };
}

/** Failed calls with their share. @param {Calls} calls */
export const failedCell = ({ all, failed }) => h("td.num", { "data-csv": failed }, failed ? [h("b.lvl-bad", count(failed)), h("span.faint", ` ${percent(failed, all)}`)] : h("span.mute", "0"));
