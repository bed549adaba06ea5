// Trials of the dashboard in a real browser, against the demo.

import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { Stage, until } from "./stage.mjs";

const [, , binary, screens] = process.argv;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const PAGES = ["overview", "usage", "requests", "keys", "teams", "models", "audit", "settings", "try"];
const SCRIPT = `<img src=x onerror="window.struck=1"><script>window.struck=1</script>`;

let [passed, failed] = [0, 0];

async function test(name, run) {
  try {
    await run();
    passed += 1;
    console.log(`${name}: passed`);
  } catch (error) {
    failed += 1;
    console.log(`${name}: FAILED ${error instanceof Error ? error.stack : error}`);
  }
}

function equal(found, wanted, what) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(`${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
}

mkdirSync(screens, { recursive: true });
const stage = await Stage.start(binary);
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", headless: true, args: CHROMIUM });
const complaints = [];

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, locale: "en-US", acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => { if (!request.url().startsWith(stage.url) && !request.url().startsWith("data:") && !request.url().startsWith("blob:")) complaints.push(`a request to ${request.url()}`); });
  await page.goto(`${stage.url}/ui/`);
  return page;
}

async function giveKey(page, key) {
  await page.getByRole("button", { name: "Key", exact: true }).click();
  await page.getByLabel("Key", { exact: true }).fill(key);
}

async function signIn(page, key = stage.admin) {
  await giveKey(page, key);
  await page.getByRole("button", { name: "Continue" }).click();
  await page.locator("main h1").first().waitFor();
  await page.waitForFunction(() => !document.body.classList.contains("bare"));
}

/** Opens a page of the dashboard by its link and waits until it has its data. */
async function show(page, path) {
  await page.evaluate((to) => { history.pushState(null, "", to); dispatchEvent(new PopStateEvent("popstate")); }, `/ui/${path}`);
  await settled(page);
}

async function settled(page) {
  await page.waitForFunction(() => document.querySelector("main h1") && !document.querySelector("main .skel"), undefined, { timeout: 60_000 });
}

async function axe(page, name) {
  // the policy of the page forbids injected scripts, so the rules run in the debugger's world
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  equal(violations.map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 160)}`), [], name);
}

const page = await open();

await test("a wrong key is refused at its field", async () => {
  await giveKey(page, `${stage.admin.slice(0, -4)}AAAA`);
  await page.getByRole("button", { name: "Continue" }).click();
  await page.locator(".error:visible").waitFor();
  await axe(page, "sign-in");
});

await test("the overview loads in at most 20 requests and 150 KB, with four calls", async () => {
  const fresh = await open();
  let [files, bytes, calls] = [0, 0, 0];
  fresh.on("response", async (response) => {
    const path = new URL(response.url()).pathname;
    if (path.startsWith("/v1/") && path !== "/v1/session") calls += 1;
  });
  await fresh.reload();
  fresh.on("requestfinished", () => { files += 1; });
  const sizes = await fresh.evaluate(() => performance.getEntriesByType("resource").map((one) => one.decodedBodySize));
  bytes = sizes.reduce((a, b) => a + b, 0);
  await signIn(fresh);
  await settled(fresh);
  if (sizes.length > 20 || bytes > 150 * 1024) throw new Error(`${sizes.length} files, ${bytes} bytes`);
  if (calls > 4) throw new Error(`${calls} calls`);
  await fresh.context().close();
});

await signIn(page);

await test("a new key is shown once, works at once, and its first request arrives in the list", async () => {
  await show(page, "keys?create=1");
  await page.getByLabel("Name", { exact: true }).fill("from-the-dashboard");
  await page.getByLabel("Budget in USD").fill("5");
  await page.getByRole("dialog").getByRole("button", { name: "Create key" }).click();
  const key = await page.locator(".secret code").textContent();
  await page.getByRole("button", { name: "Claude Code" }).click();
  const snippet = await page.getByLabel("Snippet", { exact: true }).textContent();
  if (!snippet.includes(key)) throw new Error(snippet);
  if (await page.getByRole("button", { name: "Done" }).isEnabled()) throw new Error("closed before the key was stored");
  await page.getByLabel("I have stored the key").check();
  await page.getByRole("button", { name: "Done" }).click();
  await show(page, "requests");
  const before = await page.locator("tr.pick").count();
  equal(await stage.chat(key), 200, "a call with the new key");
  await page.waitForFunction((n) => document.querySelectorAll("tr.pick").length > n, before);
  await page.locator("tr.pick", { hasText: "from-the-dashboard" }).first().click();
  await page.locator(".panel .sum").waitFor();
  const id = await page.locator(".panel code").first().textContent();
  const { json } = await stage.api("GET", `/v1/requests/${id}`);
  const booked = await page.locator(".panel .sum tfoot td").last().textContent();
  equal(Number(booked.replace("$", "")), Number(json.attempts[0].net_cost_usd), "the booked sum");
  stage.made = key;
});

await test("a disabled key is refused on its next request, and enabled again by undo", async () => {
  await show(page, "keys?q=from-the-dashboard");
  await page.getByRole("button", { name: "Actions for from-the-dashboard" }).click();
  await page.getByRole("button", { name: "Disable …" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Disable" }).click();
  await page.locator(".toast").waitFor();
  equal(await stage.chat(stage.made), 401, "a call with the disabled key");
  await page.getByRole("button", { name: "Undo" }).click();
  await until("the key works again", async () => (await stage.chat(stage.made)) === 200);
});

await test("usage on the page equals the report to the last digit, and its CSV too", async () => {
  await show(page, "usage?by=team&period=month&compare=no");
  const { json } = await stage.api("GET", "/v1/usage?group_by=team");
  const exact = await page.locator("#main .stats .big").first().getAttribute("title");
  equal(Number(exact.replace(/[$,]/g, "")), Number(json.total.cost_usd), "the total");
  const rows = await page.locator("tbody tr").allTextContents();
  equal(rows.length, json.data.length, "rows");
  for (const row of json.data) if (!rows.some((text) => text.startsWith(row.team_name))) throw new Error(`${row.team_name} is missing`);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV" }).click()]);
  const csv = readFileSync(await download.path(), "utf8");
  for (const row of json.data) if (!csv.includes(row.cost_usd)) throw new Error(`${row.cost_usd} is not in ${csv}`);
});

await test("markup in names stays text on every page", async () => {
  const { json: team } = await stage.api("POST", "/v1/teams", { name: `${SCRIPT}`.slice(0, 60) });
  const { json: key } = await stage.api("POST", "/v1/keys", { name: `${SCRIPT}`.slice(0, 60), team: team.id });
  await fetch(`${stage.url}/v1/chat/completions`, { method: "POST", headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json", "x-gatekeeper-tag": "b<i>d" }, body: JSON.stringify({ model: "<b>simulator", messages: [] }) });
  for (const path of PAGES) {
    await show(page, path);
    if (await page.evaluate(() => window.struck)) throw new Error(`a script ran on ${path}`);
    equal(await page.locator("main img, main script, main b > b").count(), 0, `elements made of names on ${path}`);
  }
});

await test("every page is reached from the keyboard", async () => {
  await show(page, "overview");
  await page.keyboard.press("g");
  await page.keyboard.press("u");
  await page.waitForURL("**/ui/usage**");
  await page.keyboard.press("/");
  await page.getByRole("combobox").fill("audit");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/ui/audit**");
  await page.goBack();
  await page.waitForURL("**/ui/usage**");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
  await page.keyboard.press("Escape");
});

for (const theme of ["light", "dark"]) {
  const themed = await open({ colorScheme: theme });
  await themed.screenshot({ path: `${screens}/sign-in-${theme}.png` });
  await signIn(themed);
  for (const path of PAGES) {
    await test(`${path} in ${theme} has no violation of axe's rules`, async () => {
      await show(themed, path);
      await themed.screenshot({ path: `${screens}/${path}-${theme}.png` });
      await axe(themed, path);
    });
  }
  await themed.context().close();
}

const phone = await open({ viewport: { width: 390, height: 844 } });
await signIn(phone);
for (const path of PAGES) {
  await test(`${path} at 390 px does not scroll sideways`, async () => {
    await show(phone, path);
    await phone.screenshot({ path: `${screens}/${path}-phone.png` });
    equal(await phone.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "width");
  });
}

await test("a virtual key sees itself and nothing else", async () => {
  const own = await open();
  await signIn(own, stage.made);
  await own.waitForURL("**/ui/me**");
  await settled(own);
  await own.screenshot({ path: `${screens}/me-light.png` });
  await axe(own, "me");
  equal(await own.locator(".nav a").count(), 4, "links of the navigation and its drawer");
  await own.context().close();
});

await test("no page failed, and none asked another host", async () => equal(complaints, [], "complaints"));

await browser.close();
await stage.stop();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
