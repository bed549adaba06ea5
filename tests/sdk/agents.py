"""Coding agents from their npm packages against the built binary in front of a scripted upstream: one prompt and one round
trip of a shell tool per agent and vendor dialect; and in front of strict vendors, which refuse as their models do: a prompt, and a session of
two tools with thinking on, without one 400. Usage: agents.py BINARY FOLDER-OF-NODE-MODULES
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import script
import strict_vendors
from stage import ask, free_port, stop, wait_until_ready

CANARY = "sk-upstream-canary-4242"
# name in the configuration, type, path behind the scripted upstream's address, model
VENDORS = [
    ("anthropic", "anthropic", "/v1", "claude-agent-test"),
    ("openai", "openai", "/v1", "gpt-agent-test"),
    ("gemini", "gemini", "/v1beta", "gemini-3-agent-test"),
    ("groq", "groq", "/openai/v1", "oss-agent-test"),
]
# runs that are a conformance case, keyed by the name without the id
NAMED = {
    name[4:]: name
    for name in (
        "b05 claude code on anthropic: a prompt",
        "t04 claude code on gemini: a tool round trip",
        "t05 claude code on groq: a tool round trip",
        "b07 codex on openai: a prompt",
        "t06 codex on anthropic: a tool round trip",
    )
}
SECONDS = 120


class Fault(Exception):
    pass


def demand(condition, what):
    if not condition:
        raise Fault(what)


def config(port, folder, upstream, strict):
    providers = "".join(
        f'[providers.{name}]\ntype = "{kind}"\nbase_url = "{upstream}{path}"\napi_key = "file:{folder}/upstream.key"\n'
        f'price = {{ input = "1.00", output = "5.00" }}\nmodels = ["{model}"]\n'
        for name, kind, path, model in VENDORS
    )
    return f'listen = "127.0.0.1:{port}"\ndata = "{folder}/data"\npicker_aliases = "on"\n{providers}' + strict_vendors.config(folder, strict)


class Stage:
    """Gateway, its upstream and a virtual key."""

    def __init__(self, binary, folder):
        self.upstream, self.strict, self.folder = script.Script(), strict_vendors.StrictScript(), Path(folder)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        key_file = self.folder / "upstream.key"
        key_file.write_text(CANARY)
        key_file.chmod(0o600)
        (self.folder / "gatekeeper.toml").write_text(config(port, folder, self.upstream.url, self.strict.url))
        made = subprocess.run([binary, "init", "--data", f"{folder}/data"], text=True, capture_output=True, timeout=30)
        found = re.search(r"sk-gk-master-[\w-]+", made.stdout)
        if made.returncode != 0 or not found:
            sys.exit(f"init failed: {made.stdout}{made.stderr}")
        self.admin, self.log = found.group(), f"{folder}/serve.log"
        with open(self.log, "wb") as output:
            command = [binary, "serve", "--config", f"{folder}/gatekeeper.toml"]
            self.server = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        wait_until_ready(self.url, self.server, self.log)
        budgets = [{"limit": "1000", "period": "total", "action": "block"}]
        team = ask("POST", f"{self.url}/v1/teams", self.admin, {"name": "agents", "models": ["*"], "budgets": budgets})["id"]
        self.key = ask("POST", f"{self.url}/v1/keys", self.admin, {"name": "agent", "team": team, "models": ["*"]})["key"]

    def stop(self):
        stop(self.server)

    def home(self):
        """Environment with an empty home and project: no settings of the machine's user are read."""
        home = Path(tempfile.mkdtemp(prefix="home-", dir=self.folder))
        project = home / "project"
        project.mkdir()
        return home, project

    def environment(self, home, **more):
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TERM") if name in os.environ}
        return {**kept, "HOME": str(home), "NO_PROXY": "*", "DISABLE_AUTOUPDATER": "1", **more}


def run(command, environment, project):
    """Runs an agent to its exit; kills its process group at the timeout."""
    agent = subprocess.Popen(
        command, env=environment, cwd=project, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )
    try:
        out, errors = agent.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(agent.pid, signal.SIGKILL)
        out, errors = agent.communicate()
        raise Fault(f"it did not end within {SECONDS} s: {out[-500:]} {errors[-1500:]}")
    demand(agent.returncode == 0, f"it ended with {agent.returncode}: {out[-1500:]} {errors[-1500:]}")
    return out


def claude(stage, modules, model, prompt, url=None, thinking=False):
    home, project = stage.home()
    environment = stage.environment(
        home,
        ANTHROPIC_BASE_URL=url or stage.url,
        ANTHROPIC_AUTH_TOKEN=stage.key,
        ANTHROPIC_SMALL_FAST_MODEL=model,
        ANTHROPIC_DEFAULT_HAIKU_MODEL=model,
        CLAUDE_CONFIG_DIR=str(home / ".claude"),
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_TELEMETRY="1",
        **({"MAX_THINKING_TOKENS": "8000"} if thinking else {}),
    )
    command = [f"{modules}/.bin/claude", "-p", prompt, "--model", model, "--allowedTools", "Bash", "--output-format", "json"]
    answer = json.loads(run(command, environment, project))
    demand(not answer.get("is_error"), f"it tells an error: {json.dumps(answer)[:1500]}")
    return answer["result"]


def codex(stage, modules, model, prompt, built_in=False, url=None, thinking=False):
    home, project = stage.home()
    settings = home / ".codex"
    settings.mkdir()
    provider = 'model_provider = "gate"\n' if not built_in else f'openai_base_url = "{stage.url}/v1"\n'
    (settings / "config.toml").write_text(
        f'model = "{model}"\n{provider}approval_policy = "never"\nsandbox_mode = "danger-full-access"\n'
        # with a blocking budget; the input from the vendor's own search is unbounded
        'web_search = "disabled"\n'
        + ('model_reasoning_effort = "high"\nmodel_reasoning_summary = "auto"\n' if thinking else "") +
        f'[model_providers.gate]\nname = "gate"\nbase_url = "{url or stage.url}/v1"\nenv_key = "GATE_KEY"\nwire_api = "responses"\n'
        "[analytics]\nenabled = false\n"
    )
    if built_in:
        (settings / "auth.json").write_text(json.dumps({"OPENAI_API_KEY": stage.key}))
    environment = stage.environment(home, CODEX_HOME=str(settings), GATE_KEY=stage.key)
    last = home / "last.txt"
    command = [f"{modules}/.bin/codex", "exec", "--skip-git-repo-check", "--output-last-message", str(last), prompt]
    run(command, environment, project)
    return last.read_text()


def prompted(agent, stage, modules, model):
    said = agent(stage, modules, model, f"{script.ASKED}, nothing else.")
    demand(said.strip() == "OK", f"it says {said!r} instead of OK")


def with_tool(agent, stage, modules, model):
    before = len(stage.upstream.seen)
    said = agent(stage, modules, model, f"{script.ASKS_TOOL} once and tell what it said.")
    demand(script.PROOF in said, f"it says {said!r} without what the tool said")
    results = [seen for seen in stage.upstream.seen[before:] if script.PROOF in json.dumps(seen["body"])]
    demand(results, "the upstream never saw the tool's result")


def before_strict_vendor(does, stage, model):
    """A run after which the strict vendor has refused nothing, and has been called."""
    refused, before = len(stage.strict.refused), len(stage.strict.seen)
    try:
        does()
    finally:
        demand(len(stage.strict.refused) == refused, f"the vendor refused: {stage.strict.refused[refused:]}")
    demand(len(stage.strict.seen) > before, f"{model} was not called")


def thinking_session(agent, stage, modules, model):
    said = agent(stage, modules, model, f"{script.ASKS_BOTH} in turn and tell what they said.", thinking=True)
    demand(script.PROOF in said and script.SECOND_PROOF in said, f"it says {said!r} without what the tools said")


def foreign_upstream_is_spared(stage):
    """Vendor-specific headers reach only their vendor."""
    for seen in stage.upstream.seen:
        path, body, headers = seen["path"], json.dumps(seen["body"]), seen["headers"]
        demand(CANARY in json.dumps(headers), f"{path}: the upstream's credential is missing")
        demand("sk-gk-" not in json.dumps(seen), f"{path}: a virtual key reached the upstream")
        if not path.startswith("/v1/messages"):
            for word in ("cache_control", "context_management", "output_config", '"thinking"'):
                demand(f'"{word.strip(chr(34))}":' not in body, f"{path}: {word} went to another vendor")
            demand("anthropic-beta" not in headers and "anthropic-version" not in headers, f"{path}: Anthropic's headers")


def books_agree(stage):
    usage = ask("GET", f"{stage.url}/v1/usage?start=2000-01-01&end=2100-01-01", stage.admin)
    output = Path(stage.log).read_text()
    demand("panicked" not in output, f"the server panicked: {output[output.find('panicked') - 200:][:1500]}")
    demand(CANARY not in output and "sk-gk-" not in output, "a secret stands in the server's output")
    billed = [seen for seen in stage.upstream.seen + stage.strict.seen if seen["method"] == "POST" and "count_tokens" not in seen["path"]]
    demand(int(usage["total"]["requests"]) == len(billed), f"{usage['total']} but the upstream answered {len(billed)} calls")


def sent(upstream, before, path):
    return [seen for seen in upstream.seen[before:] if seen["method"] == "POST" and seen["path"].split("?")[0] == path]


def members(seen, words=()):
    """Fields of one request and occurrences of each word. A blocking budget adds an output cap."""
    body = json.dumps(seen["body"])
    return sorted(set(seen["body"]) - {"max_output_tokens"}), {word: body.count(f'"{word}":') for word in words}


def arrives_as_without_us(agent, stage, modules, model, path, words, headers):
    """Sends the prompt without the gateway; the request through the gateway must have equal fields."""
    direct, before = script.Script(), len(stage.upstream.seen)
    try:
        agent(stage, modules, model, f"{script.ASKED}, nothing else.")
        agent(stage, modules, model, f"{script.ASKED}, nothing else.", url=direct.url)
        ours, theirs = sent(stage.upstream, before, path), sent(direct, 0, path)
    finally:
        direct.shutdown()
    demand(theirs and len(ours) == len(theirs), f"{len(ours)} requests in place of {len(theirs)}")
    for mine, own in zip(ours, theirs):
        demand(members(mine, words) == members(own, words), f"{members(mine, words)} in place of {members(own, words)}")
        for name in headers:
            demand(mine["headers"].get(name) == own["headers"].get(name), f"{name}: {mine['headers'].get(name)}")
    return ours


def claudes_own_fields(stage, modules):
    """P06: Anthropic's own fields and headers reach Anthropic."""
    words = ("cache_control", "context_management", "output_config", "thinking", "role")
    headers = ("anthropic-beta", "anthropic-version")
    ours = arrives_as_without_us(claude, stage, modules, "claude-agent-test", "/v1/messages", words, headers)
    demand(any(members(seen, words)[1]["cache_control"] for seen in ours), "it sends no cache_control, so this shows nothing")
    demand(any(seen["headers"].get("anthropic-beta") for seen in ours), "it sends no beta, so this shows nothing")


def codexs_own_fields(stage, modules):
    """B07: one request to OpenAI with every field that Codex sent."""
    words = ("type", "encrypted_content", "namespace", "prompt_cache_key", "store")
    ours = arrives_as_without_us(codex, stage, modules, "gpt-agent-test", "/v1/responses", words, ())
    demand(len(ours) == 1, f"{len(ours)} requests for one prompt")


def one_upgrade_attempt(stage, modules):
    """B06: the built-in provider tries a WebSocket once, receives 426, and posts once."""
    before = len(stage.upstream.seen)
    said = codex(stage, modules, "gpt-agent-test", f"{script.ASKED}, nothing else.", built_in=True)
    demand(said.strip() == "OK", f"it says {said!r} instead of OK")
    demand(len(sent(stage.upstream, before, "/v1/responses")) == 1, f"{stage.upstream.seen[before:]}"[:1500])


def picker_lists(stage, modules):
    """B09: with discovery on, the picker's cache lists names that begin with claude or anthropic."""
    home, project = stage.home()
    environment = stage.environment(
        home, ANTHROPIC_BASE_URL=stage.url, ANTHROPIC_AUTH_TOKEN=stage.key, CLAUDE_CONFIG_DIR=str(home / ".claude"),
        CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY="1", DISABLE_TELEMETRY="1",
    )
    command = [f"{modules}/.bin/claude", "-p", f"{script.ASKED}, nothing else.", "--model", "claude-agent-test"]
    run(command, environment, project)
    deadline, listed = time.monotonic() + 10, ""
    while time.monotonic() < deadline and "gpt-agent-test" not in listed:
        listed = "".join(found.read_text() for found in (home / ".claude").rglob("*model*.json"))
        time.sleep(0.1)
    demand("anthropic/gpt-agent-test" in listed, f"the cache lists {listed[:500]!r}")


def cases(stage, modules):
    for agent_name, agent in (("claude code", claude), ("codex", codex)):
        if not Path(modules, ".bin", agent_name.split()[0]).exists():
            print(f"SKIPPED agents: {agent_name} is not installed", flush=True)
            continue
        for vendor, _, _, name in strict_vendors.TARGETS:
            model = f"{vendor}/{name}"
            for what, does in (("a prompt", prompted), ("two tools and thinking", thinking_session)):
                run_of = lambda does=does, agent=agent, model=model: does(agent, stage, modules, model)
                yield f"{agent_name} before strict {vendor}: {what}", lambda run=run_of, model=model: before_strict_vendor(run, stage, model)
        for vendor, _, _, model in VENDORS:
            for what, does in (("a prompt", prompted), ("a tool round trip", with_tool)):
                case = f"{agent_name} on {vendor}: {what}"
                yield NAMED.get(case, case), lambda does=does, agent=agent, model=model: does(agent, stage, modules, model)
    yield "p06 all that claude code sends reaches anthropic", lambda: claudes_own_fields(stage, modules)
    yield "b07 all that codex sends reaches openai", lambda: codexs_own_fields(stage, modules)
    yield "b06 codex at the built-in provider", lambda: one_upgrade_attempt(stage, modules)
    yield "b09 claude code discovers models", lambda: picker_lists(stage, modules)
    yield "other vendors are spared what is not theirs", lambda: foreign_upstream_is_spared(stage)
    yield "books agree", lambda: books_agree(stage)


def main(binary, modules):
    passed = failed = 0
    folder = tempfile.mkdtemp(prefix="gatekeeper-agents-")
    stage = Stage(binary, folder)
    try:
        for name, case in cases(stage, modules):
            began = time.monotonic()
            try:
                case()
                passed += 1
                print(f"{name}: passed ({time.monotonic() - began:.1f} s)", flush=True)
            except (Fault, OSError, ValueError, KeyError) as fault:
                failed += 1
                print(f"{name}: FAILED: {fault}", flush=True)
    finally:
        stage.stop()
    if failed:
        print(f"--- the server said\n{Path(stage.log).read_text()[-4000:]}")
    shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(str(Path(sys.argv[1]).resolve()), str(Path(sys.argv[2]).resolve())))
