// Sign-in through `oidc-provider`: code with PKCE, RS256 keys of the provider, and roles of a claim.
// cases.mjs BINARY
import { execFileSync, spawn } from "node:child_process";
import { createServer } from "node:http";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";

const BINARY = process.argv[2];
const folder = mkdtempSync(join(tmpdir(), "gatekeeper-oidc-"));
let passed = 0;
let failed = 0;

function judge(name, isRight, why) {
  if (isRight) passed += 1;
  else failed += 1;
  console.log(`${name}: ${isRight ? "passed" : `FAILED ${why}`}`);
}

async function port() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const groups = { value: ["ai-admins"] };

async function startProvider(at, redirect) {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  const key = { ...(await exportJWK(privateKey)), use: "sig", alg: "RS256", kid: `k-${Math.random()}` };
  const provider = new Provider(`http://127.0.0.1:${at}`, {
    clients: [{ client_id: "gatekeeper", client_secret: "oidc-secret", redirect_uris: [redirect], grant_types: ["authorization_code"], response_types: ["code"] }],
    jwks: { keys: [key] },
    cookies: { keys: ["a key of the test"] },
    claims: { openid: ["sub", "groups"], email: ["email", "email_verified"], profile: ["name"] },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: true } },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, name: id, groups: groups.value }) }),
  });
  const server = createServer(provider.callback()).listen(at, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  return server;
}

/** Cookies of one browser, by host. */
class Browser {
  jars = new Map();

  async fetch(url, options = {}) {
    const host = new URL(url).host;
    const jar = this.jars.get(host) ?? new Map();
    this.jars.set(host, jar);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const answer = await fetch(url, { ...options, redirect: "manual", headers: { ...options.headers, ...(cookie && { cookie }) } });
    for (const line of answer.headers.getSetCookie()) {
      const [pair] = line.split(";");
      const at = pair.indexOf("=");
      if (/max-age=0|expires=Thu, 01 Jan 1970/i.test(line)) jar.delete(pair.slice(0, at));
      else jar.set(pair.slice(0, at), pair.slice(at + 1));
    }
    return answer;
  }

  /** Follows redirects and fills in the forms of the provider. */
  async signIn(url) {
    let answer = await this.fetch(url);
    for (let step = 0; step < 20; step += 1) {
      const location = answer.headers.get("location");
      if (location) {
        url = new URL(location, url).href;
        answer = await this.fetch(url);
        continue;
      }
      const text = await answer.text();
      const action = /<form[^>]*action="([^"]+)"/.exec(text)?.[1];
      if (!action) return { status: answer.status, text };
      const prompt = /name="prompt" value="([^"]+)"/.exec(text)?.[1] ?? "login";
      url = new URL(action, url).href;
      const body = new URLSearchParams(prompt === "login" ? { prompt, login: "ada", password: "x" } : { prompt });
      answer = await this.fetch(url, { method: "POST", body });
    }
    throw new Error("too many steps");
  }
}

const [issuerPort, gatePort] = [await port(), await port()];
const gate = `http://127.0.0.1:${gatePort}`;
writeFileSync(join(folder, "secret"), "oidc-secret", { mode: 0o600 });
writeFileSync(
  join(folder, "gatekeeper.toml"),
  `listen = "127.0.0.1:${gatePort}"\ndata = "data"\n[sign_in.oidc]\nissuer = "http://127.0.0.1:${issuerPort}"\nclient_id = "gatekeeper"\n` +
    `client_secret = "file:${join(folder, "secret")}"\nrole_claim = "groups"\nrole_map = { "ai-admins" = "owner", "look" = "viewer" }\n`,
);
let provider = await startProvider(issuerPort, `${gate}/sign-in/oidc/callback`);
execFileSync(BINARY, ["init"], { cwd: folder, stdio: "ignore" });
const server = spawn(BINARY, ["serve"], { cwd: folder, stdio: "ignore" });

async function actor(browser) {
  const answer = await browser.fetch(`${gate}/v1/session`);
  return answer.status === 200 ? answer.json() : { status: answer.status };
}

try {
  for (let tries = 0; tries < 300; tries += 1) {
    const ready = await fetch(`${gate}/healthz`).catch(() => undefined);
    if (ready) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const ada = new Browser();
  const first = await ada.signIn(`${gate}/sign-in/oidc`);
  judge("sign-in with code and PKCE", first.status === 200 && first.text.includes("url=/ui/"), `${first.status} ${first.text}`);
  const owner = await actor(ada);
  judge("session of an owner", owner.memberships?.[0]?.role === "owner" && owner.email === "ada@example.com", JSON.stringify(owner));
  groups.value = ["look"];
  const again = new Browser();
  await again.signIn(`${gate}/sign-in/oidc`);
  const viewer = await actor(again);
  judge("roles of the latest sign-in", viewer.memberships?.[0]?.role === "viewer" && viewer.actor === owner.actor, JSON.stringify(viewer));
  // the provider comes back with another key
  provider.close();
  provider.closeAllConnections();
  provider = await startProvider(issuerPort, `${gate}/sign-in/oidc/callback`);
  const rotated = new Browser();
  const afterwards = await rotated.signIn(`${gate}/sign-in/oidc`);
  judge("sign-in after the provider rotated its key", afterwards.status === 200 && (await actor(rotated)).actor === owner.actor, `${afterwards.status} ${afterwards.text}`);
  groups.value = ["nothing"];
  const refused = await new Browser().signIn(`${gate}/sign-in/oidc`);
  judge("no mapped group, no session", refused.status === 403 && refused.text.includes("no role"), `${refused.status} ${refused.text}`);
  judge("earlier sessions ended", (await actor(ada)).status === 401, "still open");
} finally {
  server.kill("SIGTERM");
  await new Promise((resolve) => server.once("exit", resolve));
  provider.close();
  provider.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
