// Readings of `/metrics`, the text format of Prometheus.

import { send } from "./api.js";

/** @typedef {{ name: string, labels: Record<string, string>, value: number }} Reading */

const LINE = /^(\w+)(?:\{(.*)\})? (\S+)$/;

/** @param {string} text @returns {Reading[]} */
export const parse = (text) => text.split("\n").flatMap((line) => {
  const found = LINE.exec(line);
  if (!found) return [];
  const labels = Object.fromEntries([...(found[2] ?? "").matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));
  return [{ name: found[1], labels, value: Number(found[3]) }];
});

/** @param {AbortSignal} signal */
export async function readMetrics(signal) {
  const all = parse(await (await send("GET", "/metrics", undefined, signal)).text());
  /** @param {string} name */
  const every = (name) => all.filter((one) => one.name === `gatekeeper_${name}`);
  return {
    every,
    /** @param {string} name @param {string} [label] value of its only label @returns {number | undefined} */
    one: (name, label) => every(name).find((one) => label === undefined || Object.values(one.labels).includes(label))?.value,
  };
}

/** @typedef {Awaited<ReturnType<typeof readMetrics>>} Metrics */

/** Deployments of the routes with their state. @param {Metrics} metrics */
export const deployments = (metrics) => metrics.every("deployment_available").map(({ labels: { deployment }, value }) => ({
  name: deployment, available: value === 1,
  running: metrics.one("deployment_in_flight", deployment) ?? 0, cooldowns: metrics.one("deployment_cooldowns_total", deployment) ?? 0,
}));
