// Trials of the dashboard in a real browser, against the demo with an invented month. With `pictures` and a folder as the last
// arguments it writes the pictures of the documentation instead.

import { mkdirSync } from "node:fs";
import { access, firstStart } from "./access.mjs";
import { cache } from "./cache.mjs";
import { captures } from "./captures.mjs";
import { components, readme } from "./components.mjs";
import { keys } from "./keys.mjs";
import { Kit, equal } from "./kit.mjs";
import { budgets, narrow, own, texts, themes } from "./pages.mjs";
import { reports } from "./reports.mjs";
import { Stage } from "./stage.mjs";
import { states } from "./states.mjs";

const [, , binary, screens, pictures] = process.argv;
mkdirSync(screens, { recursive: true });
const stage = await Stage.start(binary, ["--history", "30d"]);
const kit = await Kit.start(screens);

async function trials() {
  await budgets(kit, stage);
  // before the trials fill the pages with their own names
  await themes(kit, stage);
  await narrow(kit, stage);
  await states(kit, stage);
  await captures(kit, stage);
  await access(kit, stage);
  const page = await kit.enter(stage);
  await reports(kit, stage, page);
  await keys(kit, stage, page);
  await texts(kit, stage, page);
  await own(kit, stage);
  await cache(kit, stage, binary);
  await firstStart(kit, stage, binary);
  await kit.test("no page failed, and none asked another host", async () => equal(kit.complaints, [], "complaints"));
}

try {
  if (pictures) {
    await readme(kit, stage, screens);
    await components(kit, stage, await kit.enter(stage, stage.admin, { viewport: { width: 1200, height: 900 } }), screens);
  } else {
    await trials();
    console.log(`${kit.passed} passed, ${kit.failed} failed`);
  }
} finally {
  await kit.browser.close();
  await stage.stop();
}
process.exit(kit.failed ? 1 : 0);
