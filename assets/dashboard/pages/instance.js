// Cards of Settings about the instance: backup, certificate, prices, and the release with its list of crates.

import { get } from "../api.js";
import { h } from "../dom.js";
import { instant, since, zoneName } from "../format.js";

const DAY_MS = 86_400_000;
// older than a day is worth a look, like a certificate in its last three weeks
const BACKUP_DAYS = 1;
const CERTIFICATE_DAYS = 21;

/** @param {[string, any][]} rows */
const facts = (rows) => h("dl.facts", rows.flatMap(([name, value]) => [h("dt", name), h("dd", value)]));

/** @param {boolean} isWorthALook @param {string} text */
const tag = (isWorthALook, text) => h(`span.tag${isWorthALook ? ".warn" : ".ok"}`, text);

/** @param {AbortSignal} signal */
export async function instanceCards(signal) {
  const [one, clock] = await Promise.all([get("/v1/instance", signal), get("/v1/clock", signal)]);
  return { upkeep: upkeep(one), release: release(one, clock) };
}

/** What everybody may know. @param {string} version */
export const known = (version) => facts([["Version", version], ["Licence", "Apache-2.0"], ["Time zone", zoneName()]]);

/** @param {any} one */
function upkeep(one) {
  const [backup, certificate, prices] = [one.last_backup, one.certificate, one.price_sheet];
  return h("div.stack", facts([
    ["Backup", backup ? [tag(Date.now() - Date.parse(backup.at) > BACKUP_DAYS * DAY_MS, since(new Date(backup.at))), h("span.small.faint", ` by ${backup.by}`)] : tag(true, "none yet")],
    ["Certificate", certificate ? tag(Date.parse(certificate.ends_at) - Date.now() < CERTIFICATE_DAYS * DAY_MS, `until ${instant(new Date(certificate.ends_at))}`) : h("span.mute", "none: the listener has no TLS")],
    ["Prices", [prices.as_of, h("span.small.faint", prices.source === "applied" ? ` applied ${since(new Date(prices.applied_at))}` : " of the release")]],
    ["Seal key", h("code.small", one.seal_key_id)],
  ]), h("p.small.mute", "A backup needs the seal key, which is not in it: keep a copy elsewhere. ", h("code", "gatekeeper backup FILE"), " takes one, ", h("code", "gatekeeper backup verify FILE"), " checks it."));
}

/** @param {any} one @param {any} clock */
function release(one, clock) {
  const hash = one.binary_sha256;
  return h("div.stack", facts([
    ["Version", one.version], ["Licence", "Apache-2.0"], ["Time zone", zoneName()],
    ["Clock", clock.in_step ? "in step" : tag(true, "jumped; see Overview")],
    ["Instance", h("code.small", one.id)],
    ["SHA-256", hash ? h("code.small.wrap", { title: "of the running file" }, hash) : h("span.mute", "being computed")],
  ]), h("p.small.mute", "Crates inside: ", h("code", "/usr/share/doc/gatekeeper/sbom.cdx.json"), " (CycloneDX), and in the file itself for ", h("code", "cargo audit bin"), "."));
}
