// Pictures of the components for docs/dashboard-design.md, and of the overview for the README: `tests/dashboard/run BINARY pictures`.

import { join } from "node:path";

/** Component, page, and the element that shows it. */
const COMPONENTS = [
  ["stats", "overview", ".stats"],
  ["chart", "usage?by=team&period=28d", "figure.chart >> xpath=.."],
  ["budget-bars", "overview", "section[aria-label='Nearest to their limit']"],
  ["bar-list", "overview", "section[aria-label='Models, this month']"],
  ["table", "usage?by=team&period=7d", "section[aria-label='Table']"],
  ["filter-bar", "usage?by=team,model&team=engineering&period=28d", ".filters"],
  ["empty", "requests?model=nothing", "section[aria-label='Requests']"],
  ["navigation", "overview", "#side .nav"],
  ["buttons", "usage?by=team&period=28d", ".head .row"],
  ["segmented", "keys", ".filters .seg"],
  ["legend", "usage?by=team&period=7d", ".legend"],
  ["latencies", "overview", "section[aria-label='Service']"],
];

export async function components(kit, stage, page, folder) {
  const save = (name, locator) => locator.screenshot({ path: join(folder, `${name}.png`) });
  for (const [name, path, place] of COMPONENTS) {
    await kit.show(page, path);
    await save(name, page.locator(place).first());
  }
  await kit.show(page, "usage?by=team&period=28d");
  await page.getByRole("button", { name: "Last 28 days" }).click();
  await save("period-picker", page.locator(".pop:popover-open"));
  await page.keyboard.press("Escape");
  await kit.show(page, "requests?status=failed");
  await page.locator("tr.pick").first().click();
  await page.locator(".panel dl").first().waitFor();
  await save("panel", page.locator(".panel"));
  await kit.show(page, "requests");
  await page.locator("tr.pick").first().waitFor();
  const box = await page.locator("section[aria-label='Requests']").boundingBox();
  await page.screenshot({ path: join(folder, "badges.png"), clip: { ...box, height: 252 } });
  await kit.show(page, "keys");
  await page.getByRole("button", { name: "Choose columns" }).click();
  await save("columns", page.locator(".pop:popover-open"));
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Actions for codex" }).click();
  await page.getByRole("button", { name: "Disable …" }).click();
  await save("dialog", page.locator("dialog[open]"));
  await page.keyboard.press("Escape");
  await page.route("**/metrics", (route) => route.fulfill({ contentType: "text/plain", body: "gatekeeper_degraded{reason=\"clock\"} 1\n" }));
  await kit.show(page, "overview");
  await save("banner", page.locator(".notes").first());
  await page.unroute("**/metrics");
  await kit.show(page, "keys?create=1");
  await save("form", page.locator("dialog[open]"));
  await page.keyboard.press("Escape");
  const { json } = await stage.api("GET", "/v1/keys");
  await stage.api("PATCH", `/v1/keys/${json.data[0].id}`, { disabled: true, rpm: 60 });
  await kit.show(page, "audit");
  await page.locator(".log details", { hasText: "key: " }).first().locator("summary").click();
  await save("diff", page.locator(".log details[open]").first());
  await page.evaluate(async () => {
    const path = document.querySelector("script[src*='main.js']").getAttribute("src").replace("main.js", "parts.js");
    const { skeleton, toast } = await import(path);
    toast("Disabled codex", ["Undo", () => {}]);
    document.getElementById("main").replaceChildren(skeleton(96));
  });
  await save("toast", page.locator(".toast").last());
  await save("skeleton", page.locator(".skel"));
}

/** The overview in both themes, as the README shows it. */
export async function readme(kit, stage, folder) {
  for (const theme of ["light", "dark"]) {
    const page = await kit.enter(stage, stage.admin, { colorScheme: theme, viewport: { width: 1180, height: 860 } });
    await page.mouse.move(0, 0);
    await page.screenshot({ path: join(folder, `overview-${theme}.png`) });
    await page.context().close();
  }
}
