// The demo as a process in a folder of its own, and the calls that the tests make beside the browser.

import { execFile, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

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

/** A gateway as a process, and the calls that the tests make beside the browser. */
class Instance {
  async spawn(binary, args) {
    this.folder ??= mkdtempSync(join(tmpdir(), "gatekeeper-dashboard-"));
    const port = await freePort();
    this.url = `http://127.0.0.1:${port}`;
    this.prepare?.();
    this.child = spawn(binary, [...args, "--listen", `127.0.0.1:${port}`], { cwd: this.folder, stdio: ["ignore", "pipe", "pipe"] });
    this.output = "";
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (text) => { this.output += text; });
    await until("the gateway listens", async () => {
      if (this.child.exitCode !== null) throw new Error(`the gateway ended: ${this.output}`);
      return fetch(`${this.url}/readyz`).then((response) => response.ok, () => false);
    });
    return this;
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
    if (!this.kept) rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The demo: teams, keys and a simulator as its provider. */
export class Stage extends Instance {
  static async start(binary, args = []) {
    const stage = await new Stage().spawn(binary, ["demo", ...args]);
    const secrets = readFileSync(join(stage.folder, "gatekeeper-demo", "demo-secrets.json"), "utf8");
    [stage.admin] = /sk-gk-master-\w+/.exec(secrets);
    return stage;
  }

  /** Address of the simulator. */
  async simulator() {
    const { json } = await this.api("GET", "/v1/providers");
    return json.data[0].base_url;
  }
}

/** An instance that nobody has set up yet, without a provider. */
export class Empty extends Instance {
  static async start(binary) {
    const empty = new Empty();
    empty.binary = binary;
    empty.prepare = () => writeFileSync(join(empty.folder, "gatekeeper.toml"), "");
    return empty.spawn(binary, ["serve", "--create"]);
  }

  /** Path of the link that `gatekeeper setup` prints. */
  async setupLink() {
    const { stdout } = await promisify(execFile)(this.binary, ["setup"], { cwd: this.folder });
    this.link = /\/ui\/link#\w+/.exec(stdout)[0];
    return this.link;
  }
}

/** An instance with cached routes, in front of the simulator. */
export class Cached extends Instance {
  static async start(binary, simulator) {
    const cached = new Cached();
    cached.prepare = () => {
      writeFileSync(join(cached.folder, "gatekeeper.toml"), `[providers.simulator]\ntype = "simulator"\nbase_url = "${simulator}"\nmodels = ["simulator-small"]\n[routes.cached]\ntargets = ["simulator/simulator-small"]\ncache = "exact"\n[routes.alike]\ntargets = ["simulator/simulator-small"]\ncache = "semantic"\n`);
      [cached.admin] = /sk-gk-master-\w+/.exec(execFileSync(binary, ["init"], { cwd: cached.folder, encoding: "utf8" }));
    };
    return cached.spawn(binary, ["serve"]);
  }
}

/** Two deployments behind a route: one at the simulator, one at an address where nobody listens. */
export class Routed extends Instance {
  static async start(binary, simulator) {
    const routed = new Routed();
    routed.prepare = () => {
      const provider = (name, address) => `[providers.${name}]\ntype = "openai_compatible"\nbase_url = "${address}"\nmodels = ["simulator-small"]\nprice = { input = "0.25", output = "1.25" }\n`;
      const targets = `[{ model = "east/simulator-small", weight = 3, rpm = 100 }, { model = "west/simulator-small", weight = 1 }]`;
      writeFileSync(join(routed.folder, "gatekeeper.toml"), `${provider("east", simulator)}${provider("west", "http://127.0.0.1:9/v1")}[routes.fast]\ntargets = ${targets}\n[alerts]\nwebhook = "${simulator}/hook"\n`);
      [routed.admin] = /sk-gk-master-\w+/.exec(execFileSync(binary, ["init"], { cwd: routed.folder, encoding: "utf8" }));
    };
    return routed.spawn(binary, ["serve"]);
  }
}

/** A folder that the scale bench has filled and kept. */
export class Filled extends Instance {
  static async start(binary, folder) {
    const filled = new Filled();
    Object.assign(filled, { folder, kept: true });
    await filled.spawn(binary, ["serve"]);
    const { stdout } = await promisify(execFile)(binary, ["keys", "create", "--admin", "--name", `dashboard-${Date.now()}`, "--role", "owner"], { cwd: folder });
    [filled.admin] = /sk-gk-(?:master|admin)-\w+/.exec(stdout);
    return filled;
  }
}
