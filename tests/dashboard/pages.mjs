// Every page: size, calls, markup in names, keyboard, rules of axe, both themes, a narrow screen; screenshots.

import { MARKUP, PAGES, equal } from "./kit.mjs";

const FIRST_FILES = 20;
const FIRST_BYTES = 150 * 1024;
const PAGE_BYTES = 40 * 1024;
const ALL_BYTES = 450 * 1024;
const CALLS = 4;
/** Sum of the shifts of a page while its data comes, as browsers count them; 0.1 is said to be good. */
const SHIFT_MAX = 0.02;

/** Bytes and number of the assets that a page has loaded so far. */
const loaded = (page) => page.evaluate(() => {
  const files = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].filter((one) => !one.name.includes("/v1/") && !one.name.endsWith("/metrics"));
  return { files: files.length, bytes: files.reduce((sum, one) => sum + one.decodedBodySize, 0) };
});

export async function budgets(kit, stage) {
  await kit.test("the overview loads in at most 20 requests and 150 KB and asks the API four times; other pages add at most 40 KB each, and all at most 450 KB", async () => {
    const page = await kit.open(stage);
    const calls = [];
    page.on("request", (request) => {
      const { pathname, search } = new URL(request.url());
      if (!pathname.startsWith("/ui/") && !["/v1/session", "/v1/sign-in"].includes(pathname)) calls.push(pathname + search);
    });
    await kit.enterKey(page, stage.admin);
    await kit.entered(page);
    const first = await loaded(page);
    if (first.files > FIRST_FILES || first.bytes > FIRST_BYTES) throw new Error(`${first.files} files, ${first.bytes} bytes`);
    if (calls.length > CALLS) throw new Error(`calls: ${calls.join(" ")}`);
    if (calls.some((call) => call.startsWith("/v1/requests"))) throw new Error("the overview reads requests");
    let before = first.bytes;
    for (const path of PAGES.slice(1)) {
      await kit.show(page, path);
      const { bytes } = await loaded(page);
      if (bytes - before > PAGE_BYTES) throw new Error(`${path} adds ${bytes - before} bytes`);
      before = bytes;
    }
    if (before > ALL_BYTES) throw new Error(`all pages: ${before} bytes`);
    console.log(`  first load: ${first.files} files, ${first.bytes} bytes; all pages: ${before} bytes`);
    await page.context().close();
  });
}

export async function texts(kit, stage, page) {
  await kit.test("markup in names and in answers stays text on every page", async () => {
    const { json: organization } = await stage.api("POST", "/v1/organizations", { name: MARKUP });
    const { json: team } = await stage.api("POST", "/v1/teams", { name: MARKUP, organization: organization?.id });
    const { json: key } = await stage.api("POST", "/v1/keys", { name: MARKUP, team: team.id });
    const { json: user } = await stage.api("POST", "/v1/users", { name: MARKUP, email: "markup@example.com", memberships: [{ role: "member", team: team.id }] });
    if (!user?.id) throw new Error("no user");
    await fetch(`${stage.url}/v1/chat/completions`, { method: "POST", headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json", "x-gatekeeper-tag": "b<i>d" }, body: JSON.stringify({ model: "<b>simulator", messages: [] }) });
    for (const path of [...PAGES, `teams?team=${team.id}`, "usage?by=key,team", "requests?status=refused"]) {
      await kit.show(page, path);
      if (await page.evaluate(() => window.struck)) throw new Error(`a script ran on ${path}`);
      equal(await page.locator("main img, main script, main b > b").count(), 0, `elements made of names on ${path}`);
    }
    await kit.show(page, "try?model=simulator-small");
    await page.getByLabel("Virtual key").fill(stage.made);
    await page.getByLabel("Prompt").fill(`<b>bold</b> ${MARKUP}`);
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByRole("link", { name: "Its record" }).waitFor();
    equal(await page.locator(".answer *").count(), 0, "elements in the answer");
  });

  await kit.test("every page is reached from the keyboard", async () => {
    await kit.show(page, "overview");
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

  await kit.test("the chart is read with the arrow keys", async () => {
    await kit.show(page, "overview");
    const chart = page.getByRole("slider");
    await chart.focus();
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    const text = await chart.getAttribute("aria-valuetext");
    if (!/total \$/.test(text)) throw new Error(text);
    await page.locator(".tip:visible").waitFor();
  });
}

export async function themes(kit, stage) {
  for (const theme of ["light", "dark"]) {
    const door = await kit.open(stage, { colorScheme: theme });
    await door.screenshot({ path: `${kit.screens}/sign-in-${theme}.png` });
    await door.context().close();
    const page = await kit.enter(stage, stage.admin, { colorScheme: theme });
    for (const path of PAGES) {
      await kit.test(`${path} in ${theme} has no violation of axe's rules`, async () => {
        await kit.show(page, path);
        await page.mouse.move(0, 0);
        await page.screenshot({ path: `${kit.screens}/${path}-${theme}.png` });
        await kit.axe(page, path);
      });
    }
    await page.context().close();
  }
}

export async function stillness(kit, stage) {
  for (const viewport of [{ width: 1280, height: 900 }, { width: 390, height: 844 }]) {
    const page = await kit.enter(stage, stage.admin, { viewport });
    await page.evaluate(() => {
      window.shifted = 0;
      new PerformanceObserver((list) => { for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifted += one.value; }).observe({ type: "layout-shift" });
    });
    await kit.test(`nothing jumps while a page loads at ${viewport.width} px`, async () => {
      for (const path of PAGES) {
        await page.evaluate(() => { window.shifted = 0; });
        await kit.show(page, path);
        // two frames: a shift is reported with the frame that shows it
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50)))));
        const shifted = await page.evaluate(() => window.shifted);
        if (shifted > SHIFT_MAX) throw new Error(`${path}: ${shifted}`);
      }
    });
    await page.context().close();
  }
}

export async function narrow(kit, stage) {
  const phone = await kit.enter(stage, stage.admin, { viewport: { width: 390, height: 844 } });
  for (const path of PAGES) {
    await kit.test(`${path} at 390 px does not scroll sideways`, async () => {
      await kit.show(phone, path);
      await phone.screenshot({ path: `${kit.screens}/${path}-phone.png` });
      equal(await phone.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "width");
    });
  }
  await phone.context().close();
}

export async function legends(kit, page) {
  await kit.test("a legend hides a series, Shift leaves only one, and axis and total follow", async () => {
    await kit.show(page, "usage?by=team&period=28d&compare=no");
    const bars = () => page.locator("figure.chart svg rect:not(.band)").count();
    const label = () => page.locator("figure.chart svg text").evaluateAll((all) => all.map((one) => one.textContent).filter((text) => text.startsWith("$")).at(-1));
    const [all, top] = [await bars(), await label()];
    await page.locator(".legend button").first().click();
    equal(await page.locator(".legend button").first().getAttribute("aria-pressed"), "false", "the state of the button");
    if (await bars() >= all || await label() === top) throw new Error(`${await bars()} of ${all} bars, axis ${await label()}`);
    await page.getByRole("slider").focus();
    await page.keyboard.press("Home");
    equal((await page.getByRole("slider").getAttribute("aria-valuetext")).includes("engineering"), false, "a hidden series in the text");
    await page.locator(".legend button").first().click({ modifiers: ["Shift"] });
    equal(await page.locator(".legend button[aria-pressed='true']").allTextContents(), ["engineering"], "series left by Shift");
  });
}

export async function own(kit, stage) {
  await kit.test("a virtual key sees itself and nothing else", async () => {
    const page = await kit.enter(stage, stage.made);
    await page.waitForURL("**/ui/me**");
    await page.screenshot({ path: `${kit.screens}/me-light.png` });
    await kit.axe(page, "me");
    equal(await page.locator(".nav a").count(), 4, "links of the navigation and its drawer");
    await page.context().close();
  });
}
