// Tables: columns chosen and kept, and copies as CSV with exact values.

import { readFileSync } from "node:fs";
import { equal, pico } from "./kit.mjs";

const heads = (page, place) => page.evaluate((at) => [...document.querySelectorAll(`${at} thead th`)].filter((cell) => cell.offsetParent).map((cell) => cell.textContent), place);

export async function tables(kit, stage, page) {
  await kit.test("columns are chosen by the person, and the choice stays in the browser", async () => {
    await kit.show(page, "keys");
    const place = "section[aria-label='Keys']";
    equal(await heads(page, place), ["Choose", "Key", "Budget", "State", "Models", "Last used", "Expires", "Actions"], "columns");
    await page.getByRole("button", { name: "Choose columns" }).click();
    const menu = page.locator(".pop:popover-open");
    equal(await menu.getByRole("checkbox").count(), 5, "columns to choose; the first stays");
    await menu.getByLabel("Models").uncheck();
    await menu.getByLabel("Expires").uncheck();
    await kit.axe(page, "the menu of columns");
    await page.keyboard.press("Escape");
    await kit.show(page, "overview");
    await kit.show(page, "keys");
    equal(await heads(page, place), ["Choose", "Key", "Budget", "State", "Last used", "Actions"], "columns on the next visit");
    equal(await page.evaluate(() => [...document.querySelectorAll("tbody tr")].every((row) => row.children[4].offsetParent === null)), true, "cells under a hidden head");
    await page.getByRole("button", { name: "Choose columns" }).click();
    await page.locator(".pop:popover-open").getByLabel("Models").check();
    await page.keyboard.press("Escape");
    equal((await heads(page, place)).length, 7, "columns after one came back");
  });

  await kit.test("a table is copied as CSV as it is shown, with exact amounts", async () => {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await kit.show(page, "usage?by=team&period=28d&compare=no");
    await page.getByRole("button", { name: "Copy table as CSV" }).click();
    await page.locator(".toast", { hasText: "rows copied as CSV" }).last().waitFor();
    const [head, ...lines] = (await page.evaluate(() => navigator.clipboard.readText())).trim().split(/\r?\n/).map((line) => line.split(","));
    equal(head, ["team", "Cost", "Share", "Requests", "Refused", "Input", "Cached", "Output"], "head");
    const day = (days) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
    const { json } = await stage.api("GET", `/v1/usage?group_by=team&start=${day(-27)}&end=${day(1)}`);
    equal(lines.map((line) => [line[0], String(pico(line[1])), Number(line[5])]).sort(), json.data.map((row) => [row.team_name, String(pico(row.cost_usd)), row.input_tokens]).sort(), "rows");
  });

  await kit.test("without a clipboard the copy is saved as a file", async () => {
    await kit.show(page, "teams");
    await page.evaluate(() => { Object.defineProperty(navigator, "clipboard", { value: undefined, configurable: true }); });
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Copy table as CSV" }).click()]);
    const text = readFileSync(await download.path(), "utf8");
    if (!text.startsWith("Team,Budget,Models,Limits") || !text.includes("engineering")) throw new Error(text);
    await page.evaluate(() => { delete navigator.clipboard; });
  });
}
