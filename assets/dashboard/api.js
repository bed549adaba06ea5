// Client of the control plane's API. The credential stays in memory: it ends with the page.

/** Refusal or failure with the API's own words. */
export class ApiError extends Error {
  /** @param {number} status @param {string} code @param {string} message @param {string | null} param */
  constructor(status, code, message, param) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
  }
}

let credential = "";

/** @param {string} key an administrative or a virtual key; empty: none */
export const useCredential = (key) => { credential = key; };
export const hasCredential = () => credential !== "";

/**
 * One call. @param {string} method @param {string} path @param {unknown} [body] @param {AbortSignal} [signal]
 * @param {Record<string, string>} [headers] @returns {Promise<Response>}
 */
export async function send(method, path, body, signal, headers = {}) {
  const head = new Headers(headers);
  if (credential) head.set("authorization", `Bearer ${credential}`);
  if (body !== undefined) head.set("content-type", "application/json");
  let response;
  try {
    response = await fetch(path, { method, headers: head, body: body === undefined ? undefined : JSON.stringify(body), signal, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "unreachable", "The gateway does not answer; check that it runs and try again.", null);
  }
  if (response.ok) return response;
  throw await refusal(response);
}

/** @param {Response} response */
async function refusal(response) {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text);
    return new ApiError(response.status, error.code ?? error.type ?? "", error.message, error.param ?? null);
  } catch {
    return new ApiError(response.status, "", text.slice(0, 300) || `The gateway answered ${response.status}.`, null);
  }
}

/** @param {string} method @param {string} path @param {unknown} [body] @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function call(method, path, body, signal) {
  const response = await send(method, path, body, signal);
  return response.status === 204 ? null : response.json();
}

/** @param {string} path @param {AbortSignal} [signal] @returns {Promise<any>} */
export const get = (path, signal) => call("GET", path, undefined, signal);

/** Path with its query; empty values are left out. @param {string} path @param {Record<string, string | number | undefined>} query */
export function url(path, query) {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== "") q.set(name, String(value));
  const text = q.toString();
  return text ? `${path}?${text}` : path;
}

/**
 * Pages of a list up to `max` entries. @param {string} path @param {Record<string, string | number | undefined>} query
 * @param {number} max @param {AbortSignal} [signal] @returns {Promise<{ data: any[], more: boolean }>}
 */
export async function list(path, query, max, signal) {
  /** @type {any[]} */
  const data = [];
  let after;
  do {
    const page = await get(url(path, { ...query, after }), signal);
    data.push(...page.data);
    after = page.next ?? undefined;
  } while (after && data.length < max);
  return { data, more: Boolean(after) };
}

/** Saves what the server sends as a file. @param {string} path @param {string} name */
export async function download(path, name) {
  const response = await send("GET", path, undefined, undefined, { accept: "text/csv" });
  save(await response.blob(), name);
}

/** @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
