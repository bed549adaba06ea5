// The browser and the steps that all trials share.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const PAGES = ["overview", "usage", "requests", "keys", "teams", "models", "audit", "settings", "try"];
export const MARKUP = `<img src=x onerror="window.struck=1"><script>window.struck=1</script>`.slice(0, 60);

export function equal(found, wanted, what) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(`${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
}

/** Pico-dollars of a decimal text such as `$1,234.000000000001`; floats would hide the last digits. */
export function pico(text) {
  const [whole, fraction = ""] = text.replace(/[$,]/g, "").split(".");
  return BigInt(whole + fraction.padEnd(12, "0"));
}

export class Kit {
  passed = 0;
  failed = 0;
  /** Failures of scripts, and requests to another host. */
  complaints = [];

  static async start(screens) {
    const kit = new Kit();
    kit.screens = screens;
    kit.browser = await chromium.launch({ executablePath: "/usr/bin/chromium", headless: true, args: CHROMIUM });
    return kit;
  }

  async test(name, run) {
    try {
      await run();
      this.passed += 1;
      console.log(`${name}: passed`);
    } catch (error) {
      this.failed += 1;
      console.log(`${name}: FAILED ${error instanceof Error ? error.stack : error}`);
    }
  }

  /** A browser of its own at an address of the instance. */
  async open(stage, options = {}, path = "/ui/") {
    const context = await this.browser.newContext({ viewport: { width: 1440, height: 1000 }, locale: "en-US", acceptDownloads: true, ...options });
    const page = await context.newPage();
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.on("request", (request) => { if (!request.url().startsWith(stage.url) && !/^(data|blob):/.test(request.url())) this.complaints.push(`a request to ${request.url()}`); });
    await page.goto(stage.url + path);
    return page;
  }

  async enterKey(page, key) {
    await page.getByRole("button", { name: "Key", exact: true }).click();
    await page.getByLabel("Key", { exact: true }).fill(key);
    await page.getByRole("button", { name: "Continue" }).click();
  }

  async entered(page) {
    await page.waitForFunction(() => !document.body.classList.contains("bare") && !document.querySelector("main .door"));
    await this.settled(page);
  }

  /** Opens the instance and signs in with a key. */
  async enter(stage, key = stage.admin, options = {}) {
    const page = await this.open(stage, options);
    await this.enterKey(page, key);
    await this.entered(page);
    return page;
  }

  /** Opens a page of the dashboard by its link and waits until it has its data. */
  async show(page, path) {
    await page.evaluate((to) => { document.querySelector("main h1")?.setAttribute("data-old", ""); history.pushState(null, "", to); dispatchEvent(new PopStateEvent("popstate")); }, `/ui/${path}`);
    await this.settled(page);
  }

  async settled(page) {
    await page.waitForFunction(() => document.querySelector("main h1:not([data-old])") && !document.querySelector("main .skel"), undefined, { timeout: 60_000 });
  }

  /** Holds the rules of axe against the page. */
  async axe(page, name) {
    // the policy of the page forbids injected scripts, so the rules run in the debugger's world
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    equal(violations.map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 160)}`), [], name);
  }
}
