// Every page once in Firefox: it has its data, nothing fails, nothing scrolls sideways, and keyboard and chart work as in Chromium.

import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";
import { PAGES, equal } from "./kit.mjs";

const FIREFOX = "/usr/bin/firefox-esr";
const SIZES = [[1280, 900], [390, 844]];
const DEADLINE_MS = 60_000;

const settled = (page) => page.waitForFunction(() => document.querySelector("main h1:not([data-old])") && !document.querySelector("main .skel"), { timeout: DEADLINE_MS });

async function show(page, path) {
  await page.evaluate((to) => { document.querySelector("main h1")?.setAttribute("data-old", ""); history.pushState(null, "", to); dispatchEvent(new PopStateEvent("popstate")); }, `/ui/${path}`);
  await settled(page);
}

/** Signs in with a key in a browser of its own size. */
async function enter(browser, stage, [width, height], complaints) {
  const page = await (await browser.createBrowserContext()).newPage();
  page.on("pageerror", (error) => complaints.push(String(error.message ?? error)));
  page.on("console", (message) => { if (message.type() === "error") complaints.push(message.text()); });
  await page.setViewport({ width, height });
  await page.goto(`${stage.url}/ui/`);
  await page.locator("::-p-aria(Key[role='button'])").click();
  await page.locator("input[type=password]").fill(stage.admin);
  await page.locator("button[type=submit]").click();
  await page.waitForFunction(() => !document.body.classList.contains("bare"), { timeout: DEADLINE_MS });
  await settled(page);
  return page;
}

export async function firefox(kit, stage) {
  if (!existsSync(FIREFOX)) {
    console.log("SKIPPED dashboard in Firefox: no firefox-esr, and it cannot be installed");
    return;
  }
  const browser = await puppeteer.launch({ browser: "firefox", executablePath: FIREFOX, headless: true });
  const complaints = [];
  try {
    for (const size of SIZES) {
      await kit.test(`every page works in Firefox at ${size[0]} px`, async () => {
        const page = await enter(browser, stage, size, complaints);
        for (const path of PAGES) {
          await show(page, path);
          equal(await page.evaluate(() => [document.documentElement.scrollWidth <= innerWidth, document.querySelectorAll("main .note.bad").length]), [true, 0], path);
          await page.screenshot({ path: `${kit.screens}/${path}-firefox-${size[0]}.png` });
        }
      });
    }
    await kit.test("keys and the chart answer in Firefox as in Chromium", async () => {
      const page = await enter(browser, stage, SIZES[0], complaints);
      await page.keyboard.press("g");
      await page.keyboard.press("u");
      await page.waitForFunction(() => location.pathname === "/ui/usage", { timeout: DEADLINE_MS });
      await settled(page);
      await page.focus(".scrub");
      await page.keyboard.press("ArrowLeft");
      await page.waitForSelector(".tip:not([hidden])");
      const text = await page.evaluate(() => document.querySelector(".scrub").getAttribute("aria-valuetext"));
      if (!/total \$/.test(text)) throw new Error(text);
      await page.keyboard.press("?");
      await page.waitForSelector("dialog[open]");
    });
    await kit.test("no script failed in Firefox", async () => equal(complaints, [], "complaints"));
  } finally {
    await browser.close();
  }
}
