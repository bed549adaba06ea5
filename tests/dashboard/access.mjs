// Who gets in, and who sees and may do what: sign-in, throttling, one-time links, roles.

import { PAGES, equal } from "./kit.mjs";
import { Empty, until } from "./stage.mjs";

const PASSWORD = "a long password of a person";

/** Creates a person and sets the password by the link in the browser. */
async function invite(kit, stage, email, membership) {
  const { json: user } = await stage.api("POST", "/v1/users", { name: email.split("@")[0], email, memberships: [membership] });
  const { json: link } = await stage.api("POST", `/v1/users/${user.id}/invitation`, {});
  const page = await kit.open(stage, {}, link.path);
  await page.getByLabel("New password").fill(PASSWORD);
  await page.getByRole("button", { name: "Continue" }).click();
  await kit.entered(page);
  return page;
}

async function signIn(page, email, password) {
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

export async function access(kit, stage) {
  const { json: teams } = await stage.api("GET", "/v1/teams");
  const [own, other] = [teams.data.find((team) => team.name === "engineering"), teams.data.find((team) => team.name === "research") ?? teams.data.find((team) => team.name === "marketing")];

  await kit.test("a wrong key is refused at its field", async () => {
    const page = await kit.open(stage);
    await kit.enterKey(page, `${stage.admin.slice(0, -4)}AAAA`);
    await page.locator(".error:visible").waitFor();
    await kit.axe(page, "sign-in");
    await page.context().close();
  });

  await kit.test("a team admin sees its team and no other, and can make a key for it", async () => {
    const page = await invite(kit, stage, "lead@example.com", { role: "admin", team: own.id });
    for (const path of PAGES.filter((one) => one !== "audit" && one !== "try" && one !== "models")) {
      await kit.show(page, path);
      const text = await page.locator("main").innerText();
      if (text.includes(other.name)) throw new Error(`${path} names ${other.name}`);
      equal(await page.locator("main .note.bad").count(), 0, `failures on ${path}`);
    }
    equal(await page.locator("#side .nav a", { hasText: "Audit log" }).count(), 0, "links to the audit log");
    await kit.show(page, "teams");
    if (!(await page.locator("main").innerText()).includes(own.name)) throw new Error("its own team is missing");
    equal(await page.getByRole("button", { name: "Create team" }).count(), 0, "buttons that make a team");
    await kit.show(page, "keys?create=1");
    await page.getByLabel("Name", { exact: true }).fill("made-by-the-lead");
    equal(await page.getByLabel("Team", { exact: true }).locator("option").allTextContents(), [own.name], "teams to choose from");
    await page.getByRole("dialog").getByRole("button", { name: "Create key" }).click();
    const key = await page.locator(".secret code").textContent();
    equal(await stage.chat(key), 200, "a call with the key");
    await page.getByLabel("I have stored the key").check();
    await page.getByRole("button", { name: "Done" }).click();
    const status = await page.evaluate((id) => fetch(`/v1/teams/${id}`).then((one) => one.status), other.id);
    equal(status, 404, "the other team by its id");
    await page.context().close();
  });

  await kit.test("a viewer is offered no change, and the API refuses one", async () => {
    const page = await invite(kit, stage, "viewer@example.com", { role: "viewer" });
    for (const path of PAGES.filter((one) => one !== "audit" && one !== "try")) {
      await kit.show(page, path);
      equal(await page.locator("main .note.bad").count(), 0, `failures on ${path}`);
      const offered = await page.getByRole("main").getByRole("button", { name: /Create|Disable(?!d)|Rotate|Actions for|Invite|Purge|Test |Correct|New link/ }).allTextContents();
      equal(offered, [], `offered on ${path}`);
    }
    await page.keyboard.press("c");
    equal(await page.locator("dialog[open]").count(), 0, "dialogs after the shortcut");
    await page.reload();
    await kit.entered(page);
    const status = await page.evaluate((team) => fetch("/v1/keys", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ name: "no", team }) }).then((one) => one.status), own.id);
    equal(status, 403, "a key made by the API");
    await page.getByRole("button", { name: "Sign out" }).first().click();
    await page.getByLabel("E-mail").waitFor();
    await page.context().close();
  });

  await kit.test("a wrong password says so at its field, and many are slowed down", async () => {
    const page = await kit.open(stage);
    await signIn(page, "viewer@example.com", "not the password");
    await page.locator(".error:visible").waitFor();
    await page.screenshot({ path: `${kit.screens}/wrong-password-light.png` });
    // an address is refused after many failures, whatever the accounts
    let tries = 0;
    await until("the sign-in is throttled", async () => {
      const answers = await page.evaluate((from) => Promise.all(Array.from({ length: 10 }, (_, i) => fetch("/v1/sign-in", {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ email: `nobody-${from + i}@example.com`, password: "not the password" }),
      }).then((one) => one.status))), tries += 10);
      return answers.includes(429);
    });
    await signIn(page, "viewer@example.com", PASSWORD);
    await page.locator(".error:visible", { hasText: /wait|again|later|many/i }).waitFor();
    await page.context().close();
  });
}

export async function firstStart(kit, stage, binary) {
  await kit.test("the link of setup makes the owner, who adds a provider, makes a key and sees the first request arrive", async () => {
    const empty = await Empty.start(binary);
    try {
      const page = await kit.open(empty, {}, await empty.setupLink());
      await page.screenshot({ path: `${kit.screens}/first-start-light.png` });
      await kit.axe(page, "first start");
      await page.getByLabel("Name").fill("Ada");
      await page.getByLabel("E-mail").fill("ada@example.com");
      await page.getByLabel("New password").fill(PASSWORD);
      await page.getByRole("button", { name: "Continue" }).click();
      await kit.entered(page);
      await page.getByRole("heading", { name: "First steps" }).waitFor();
      await page.screenshot({ path: `${kit.screens}/first-steps-light.png` });
      await kit.axe(page, "first steps");
      await page.getByRole("button", { name: "Add a provider" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByRole("button", { name: "Add provider" }).click();
      await dialog.locator(".error:visible", { hasText: "api_key" }).waitFor();
      await dialog.getByLabel("Type").selectOption("openai_compatible");
      await dialog.getByLabel("Name", { exact: true }).fill("local");
      await dialog.getByLabel("Address").fill(await stage.simulator());
      await dialog.getByLabel("Models").fill("simulator-small");
      await dialog.getByLabel("Dollars per million input tokens").fill("1");
      await dialog.getByLabel("Dollars per million output tokens").fill("5");
      await page.screenshot({ path: `${kit.screens}/add-provider-light.png` });
      await kit.axe(page, "add a provider");
      await dialog.getByRole("button", { name: "Add provider" }).click();
      await page.getByText("Configured: local.").waitFor();
      await page.getByRole("main").getByRole("link", { name: "Create a key" }).click();
      await page.getByLabel("Name", { exact: true }).fill("first");
      await page.getByLabel("Team", { exact: true }).fill("pioneers");
      await page.getByRole("dialog").getByRole("button", { name: "Create key" }).click();
      const key = await page.locator(".secret code").textContent();
      await page.screenshot({ path: `${kit.screens}/key-created-light.png` });
      await page.getByLabel("I have stored the key").check();
      await page.getByRole("button", { name: "Done" }).click();
      await kit.show(page, "overview");
      await page.getByRole("heading", { name: "First steps" }).waitFor();
      equal(await empty.chat(key), 200, "the first call");
      await page.getByRole("button", { name: "Show it" }).click();
      await page.locator(".panel .sum").waitFor();
      const used = await kit.open(empty, {}, empty.link);
      await used.getByLabel("New password").fill(PASSWORD);
      await used.getByRole("button", { name: "Continue" }).click();
      await used.locator(".error:visible").waitFor();
      await used.context().close();
      await page.context().close();
    } finally {
      await empty.stop();
    }
  });
}
