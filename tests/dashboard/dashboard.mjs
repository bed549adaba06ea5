// Trials of the dashboard in a real browser, against the demo with an invented month. With `pictures` as the last argument it writes
// the pictures of the documentation instead; with `scale` and a folder it measures the pages on that folder.

import { mkdirSync } from "node:fs";
import { access, firstStart } from "./access.mjs";
import { cache } from "./cache.mjs";
import { captures } from "./captures.mjs";
import { components, readme } from "./components.mjs";
import { keys } from "./keys.mjs";
import { Kit, equal } from "./kit.mjs";
import { firefox } from "./firefox.mjs";
import { budgets, legends, narrow, own, stillness, texts, themes } from "./pages.mjs";
import { reports } from "./reports.mjs";
import { routed } from "./routed.mjs";
import { scale } from "./scale.mjs";
import { Stage } from "./stage.mjs";
import { states } from "./states.mjs";
import { tables } from "./tables.mjs";
import { units } from "./units.mjs";

const [, , binary, screens, task, folder] = process.argv;
mkdirSync(screens, { recursive: true });
const stage = task === "scale" ? null : await Stage.start(binary, ["--history", "30d"]);
const kit = await Kit.start(screens);

async function trials() {
  await units(kit);
  await budgets(kit, stage);
  // before the trials fill the pages with their own names
  await themes(kit, stage);
  await narrow(kit, stage);
  await stillness(kit, stage);
  await states(kit, stage);
  await captures(kit, stage);
  await access(kit, stage);
  const page = await kit.enter(stage);
  await reports(kit, stage, page);
  await tables(kit, stage, page);
  await keys(kit, stage, page);
  await texts(kit, stage, page);
  await legends(kit, page);
  await own(kit, stage);
  await cache(kit, stage, binary);
  await routed(kit, stage, binary);
  await firstStart(kit, stage, binary);
  await firefox(kit, stage);
  await kit.test("no page failed, and none asked another host", async () => equal(kit.complaints, [], "complaints"));
}

try {
  if (task === "pictures") {
    await readme(kit, stage, screens);
    await components(kit, stage, await kit.enter(stage, stage.admin, { viewport: { width: 1200, height: 900 } }), screens);
  } else {
    await (task === "scale" ? scale(kit, binary, folder) : trials());
    console.log(`${kit.passed} passed, ${kit.failed} failed`);
  }
} finally {
  await kit.browser.close();
  await stage?.stop();
}
process.exit(kit.failed ? 1 : 0);
