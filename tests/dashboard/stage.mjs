// The demo as a process in a folder of its own, and the calls that the tests make beside the browser.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const DEADLINE_MS = 60_000;

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Waits for a condition; fails with its name. */
export async function until(name, happened) {
  const end = Date.now() + DEADLINE_MS;
  for (;;) {
    const value = await happened();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${DEADLINE_MS} ms: ${name}`);
    await sleep(50);
  }
}

export class Stage {
  static async start(binary, args = []) {
    const stage = new Stage();
    stage.folder = mkdtempSync(join(tmpdir(), "gatekeeper-dashboard-"));
    const port = await freePort();
    stage.url = `http://127.0.0.1:${port}`;
    stage.child = spawn(binary, ["demo", "--listen", `127.0.0.1:${port}`, ...args], { cwd: stage.folder, stdio: ["ignore", "pipe", "pipe"] });
    stage.output = "";
    for (const stream of [stage.child.stdout, stage.child.stderr]) stream.on("data", (text) => { stage.output += text; });
    await until("the demo listens", async () => {
      if (stage.child.exitCode !== null) throw new Error(`the demo ended: ${stage.output}`);
      return fetch(`${stage.url}/readyz`).then((response) => response.ok, () => false);
    });
    const secrets = readFileSync(join(stage.folder, "gatekeeper-demo", "demo-secrets.json"), "utf8");
    [stage.admin] = /sk-gk-master-\w+/.exec(secrets);
    return stage;
  }

  async api(method, path, body, key = this.admin) {
    const response = await fetch(this.url + path, { method, headers: { authorization: `Bearer ${key}`, "content-type": "application/json" }, body: body && JSON.stringify(body) });
    const text = await response.text();
    return { status: response.status, text, json: text.startsWith("{") ? JSON.parse(text) : null, headers: response.headers };
  }

  /** One model call with a virtual key; returns the status. */
  async chat(key, model = "simulator-small", more = {}) {
    const { status } = await this.api("POST", "/v1/chat/completions", { model, messages: [{ role: "user", content: "Hello" }], ...more }, key);
    return status;
  }

  async stop() {
    this.child.kill("SIGTERM");
    await until("the demo ends", () => this.child.exitCode !== null || this.child.signalCode !== null);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
