// Names of teams and keys by id, read once and again after a minute.

import { list } from "./api.js";

/** @typedef {(id: string) => string} Names */

const FRESH_MS = 60_000;
/** Most keys whose names are read; the others are shown by id. */
const KEYS_MAX = 5_000;
/** @type {{ at: number, map: Map<string, string> } | undefined} */
let known;

/** @param {AbortSignal} signal @returns {Promise<Names>} */
export async function names(signal) {
  if (!known || Date.now() - known.at > FRESH_MS) {
    const [teams, keys] = await Promise.all([list("/v1/teams", { limit: 200 }, KEYS_MAX, signal), list("/v1/keys", { limit: 200 }, KEYS_MAX, signal)]);
    known = { at: Date.now(), map: new Map([...teams.data, ...keys.data].map((one) => [one.id, one.name])) };
  }
  const { map } = known;
  return (id) => map.get(id) ?? id;
}
