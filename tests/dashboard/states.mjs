// States that a healthy demo does not have: the answers of the API are changed on their way to the browser.

import { equal } from "./kit.mjs";
import { until } from "./stage.mjs";

const METRICS = `gatekeeper_unready 1
gatekeeper_degraded{reason="log_sync"} 1
gatekeeper_degraded{reason="books"} 1
gatekeeper_degraded{reason="restored"} 1
gatekeeper_degraded{reason="clock"} 1
gatekeeper_deployment_available{deployment="fast/east"} 0
gatekeeper_deployment_available{deployment="fast/west"} 1
gatekeeper_deployment_cooldowns_total{deployment="fast/east"} 3
gatekeeper_held_usd 0.25
`;
const BANNERS = ["New requests are refused", "The ledger's log is not synced", "The books are not written", "The books come from a backup", "The clock of the machine jumped", "fast/east is in cooldown", "3 requests were in flight at a crash"];

export async function states(kit, stage) {
  await kit.test("each degraded state has its banner, and the orphans their button", async () => {
    const page = await kit.open(stage);
    let orphans = 3;
    const asked = [];
    await page.route("**/metrics", (route) => route.fulfill({ contentType: "text/plain", body: METRICS }));
    await page.route("**/v1/usage?group_by=team,model", async (route) => {
      const json = await (await route.fetch()).json();
      await route.fulfill({ json: { ...json, orphans_uncorrected: orphans } });
    });
    await page.route("**/v1/ledger/corrections", (route) => {
      asked.push(route.request().postDataJSON());
      orphans = 0;
      return route.fulfill({ json: { object: "corrections", corrected: 3, amount_usd: "-1.25" } });
    });
    await kit.enterKey(page, stage.admin);
    await kit.entered(page);
    equal(await page.locator(".note b").allTextContents(), BANNERS, "banners");
    const service = await page.locator("section[aria-label='Service']").innerText();
    for (const text of ["$0.25", "1 of 2"]) if (!service.includes(text)) throw new Error(`${text} is not in ${service}`);
    await kit.axe(page, "the overview with banners");
    await page.screenshot({ path: `${kit.screens}/degraded-light.png` });
    await page.getByRole("button", { name: "Correct all" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Correct all" }).click();
    await page.locator(".toast", { hasText: "3 requests corrected, $1.25 returned" }).waitFor();
    await kit.settled(page);
    await page.waitForFunction(() => document.querySelectorAll(".note").length === 6);
    equal(asked.map((one) => one.orphans), [true], "corrections");
    await page.context().close();
  });

  await kit.test("settings show the last backup, the certificate and the release", async () => {
    const page = await kit.enter(stage);
    await kit.show(page, "settings");
    const card = page.locator("section[aria-label='Backup, certificate, prices']");
    await card.getByText("none yet").waitFor();
    await card.getByText("the listener has no TLS").waitFor();
    const release = page.locator("section[aria-label='Release']");
    await release.getByText("sbom.cdx.json").waitFor();
    await until("the file is hashed", async () => (await stage.api("GET", "/v1/instance")).json.binary_sha256);
    const { json } = await stage.api("GET", "/v1/instance");
    await fetch(`${stage.url}/v1/backup`, { method: "POST", headers: { authorization: `Bearer ${stage.admin}` } }).then((one) => one.arrayBuffer());
    await kit.show(page, "overview");
    await kit.show(page, "settings");
    await card.locator(".tag.ok").waitFor();
    await release.getByText(json.binary_sha256).waitFor();
    await kit.axe(page, "the settings");
    // an old backup and a certificate that ends soon
    await page.route("**/v1/instance", (route) => route.fulfill({ json: { ...json, last_backup: { at: "2020-01-01T00:00:00Z", by: "local:uid=0" }, certificate: { ends_at: new Date(Date.now() + 864e5).toISOString() } } }));
    await kit.show(page, "overview");
    await kit.show(page, "settings");
    equal(await card.locator(".tag.warn").count(), 2, "warnings");
    await page.context().close();
  });

  await kit.test("latencies on the overview are those of the report, to first content and to the end", async () => {
    const page = await kit.enter(stage);
    const { total } = (await stage.api("GET", "/v1/usage")).json;
    const duration = (ms) => (ms < 1000 ? `${ms} ms` : `${new Intl.NumberFormat("en-US", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 }).format(ms / 1000)} s`);
    const rows = await page.locator("section[aria-label='Service'] .quantiles tbody tr").evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent)));
    equal(rows.map((row) => row.slice(0, 3)), [["First content", duration(total.first_content_p50_ms), duration(total.first_content_p95_ms)], ["Whole answer", duration(total.duration_p50_ms), duration(total.duration_p95_ms)]], "p50 and p95");
    if (!rows.every((row) => /^[\d.]+ m?s$/.test(row[3]))) throw new Error(`p99: ${rows}`);
    await page.context().close();
  });
}
