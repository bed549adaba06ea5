"""Final refusals, counted at the listener: OpenAI's and Anthropic's SDKs in Python and JavaScript, with their usual retries, ask once where
repeating cannot help, and Claude Code and Codex with a mistyped or a disabled key end soon and show the reason.
Usage: refusals.py BINARY [FOLDER-OF-AGENTS]
"""

import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import agents
from stage import ask

HERE = Path(__file__).parent
# the refusals of the gateway, by the word that the client's error must have in it
CASES = ("authentication_error", "key_disabled", "model_not_allowed", "model_not_found", "budget_exceeded", "not_supported")
CLIENTS = ("openai", "anthropic")
AGENT_SECONDS = 20


class Listener:
    """Passes connections on to the gateway and counts the heads of requests."""

    HEAD = re.compile(rb"(?:GET|POST) \S+ HTTP/1\.1\r\n")

    def __init__(self, port):
        self.port, self.count = port, 0
        self.door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.door.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.door.accept()
            gateway = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self.pump, args=(client, gateway, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(gateway, client, False), daemon=True).start()

    def pump(self, source, sink, counted):
        try:
            while data := source.recv(65536):
                if counted:
                    self.count += len(self.HEAD.findall(data))
                sink.sendall(data)
        except OSError:
            pass
        for side in (source, sink):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def keys_of(stage):
    """Virtual key of each case."""
    budget = [{"limit": "0.000001", "period": "total", "action": "block"}]
    poor = ask("POST", f"{stage.url}/v1/teams", stage.admin, {"name": "poor", "models": ["*"], "budgets": budget})["id"]
    poor = ask("POST", f"{stage.url}/v1/keys", stage.admin, {"name": "poor", "team": poor})["key"]
    narrow = ask("POST", f"{stage.url}/v1/teams", stage.admin, {"name": "narrow", "models": ["gemini-3-agent-test"]})["id"]
    narrow = ask("POST", f"{stage.url}/v1/keys", stage.admin, {"name": "narrow", "team": narrow})["key"]
    wrong = stage.key[:-1] + ("a" if stage.key[-1] != "a" else "b")
    team = ask("POST", f"{stage.url}/v1/teams", stage.admin, {"name": "former", "models": ["*"]})["id"]
    former = ask("POST", f"{stage.url}/v1/keys", stage.admin, {"name": "former", "team": team})
    ask("PATCH", f"{stage.url}/v1/keys/{former['id']}", stage.admin, {"disabled": True})
    return {"authentication_error": wrong, "key_disabled": former["key"], "model_not_allowed": narrow, "budget_exceeded": poor}


def model_of(case, client):
    if case == "model_not_found":
        return "no-such-model"
    return "gpt-agent-test" if client == "openai" else "claude-agent-test"


def tells(error, client, case):
    """The error of the client names the case; Anthropic's shape has a type of its own."""
    if case == "key_disabled":
        return "401" in error and "disabled" in error
    types = {
        "model_not_allowed": "permission_error",
        "model_not_found": "not_found_error",
        "budget_exceeded": "billing_error",
        "not_supported": "not_found_error",
    }
    return case in error or (client == "anthropic" and types.get(case, case) in error) or "501" in error


def python_call(client, url, key, case):
    import anthropic
    import openai

    turns = [{"role": "user", "content": "Hello"}]
    try:
        if client == "openai":
            api = openai.OpenAI(base_url=f"{url}/v1", api_key=key)
            if case == "not_supported":
                api.images.generate(model="gpt-agent-test", prompt="a cat")
            else:
                api.chat.completions.create(model=model_of(case, client), messages=turns, max_tokens=50)
        else:
            api = anthropic.Anthropic(base_url=url, api_key=key)
            if case == "not_supported":
                api.messages.batches.list()
            else:
                api.messages.create(model=model_of(case, client), messages=turns, max_tokens=50)
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        return f"{error.status_code} {error.response.text}"
    return "no error"


def node_call(client, url, key, case):
    command = ["node", "refusals.mjs", client, url, key, case, model_of(case, client)]
    done = subprocess.run(command, cwd=HERE, text=True, capture_output=True, timeout=60)
    return done.stdout + done.stderr


def claude_call(stage, listener, modules, key):
    """Output of Claude Code with this key, and its seconds."""
    home, project = stage.home()
    environment = stage.environment(
        home, ANTHROPIC_BASE_URL=listener.url, ANTHROPIC_AUTH_TOKEN=key, CLAUDE_CONFIG_DIR=str(home / ".claude"),
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1", DISABLE_TELEMETRY="1",
    )
    began = time.monotonic()
    done = subprocess.run(
        [f"{modules}/.bin/claude", "-p", "Hello", "--model", "claude-agent-test"], env=environment, cwd=project, text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
    )
    return done.stdout + done.stderr, time.monotonic() - began


def codex_call(stage, listener, modules, key):
    """Output of Codex with this key, and its seconds."""
    home, project = stage.home()
    settings = home / ".codex"
    settings.mkdir()
    (settings / "config.toml").write_text(
        'model = "gpt-agent-test"\nmodel_provider = "gate"\napproval_policy = "never"\nsandbox_mode = "danger-full-access"\n'
        f'web_search = "disabled"\n[model_providers.gate]\nname = "gate"\nbase_url = "{listener.url}/v1"\nenv_key = "GATE_KEY"\n'
        'wire_api = "responses"\n[analytics]\nenabled = false\n'
    )
    environment = stage.environment(home, CODEX_HOME=str(settings), GATE_KEY=key)
    began = time.monotonic()
    done = subprocess.run(
        [f"{modules}/.bin/codex", "exec", "--skip-git-repo-check", "Hello"], env=environment, cwd=project, text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
    )
    return done.stdout + done.stderr, time.monotonic() - began


def checks(stage, listener, modules):
    """(name, fault or nothing) of each check."""
    keys = keys_of(stage)
    for language, call in (("python", python_call), ("node", node_call)):
        for client in CLIENTS:
            for case in CASES:
                before = listener.count
                error = call(client, listener.url, keys.get(case, stage.key), case)
                asked = listener.count - before
                fault = None
                if asked != 1:
                    fault = f"it asked {asked} times: {error[:500]}"
                elif not tells(error, client, case):
                    fault = f"its error does not tell why: {error[:500]}"
                yield f"{language} {client}: {case} is asked once", fault
    for name, program, agent in (("claude code", "claude", claude_call), ("codex", "codex", codex_call)):
        if not modules or not Path(modules, ".bin", program).exists():
            print(f"SKIPPED refusals: {name} is not installed", flush=True)
            continue
        for state, case, word in (("mistyped", "authentication_error", "key"), ("disabled", "key_disabled", "disabled")):
            before = listener.count
            said, seconds = agent(stage, listener, modules, keys[case])
            print(f"FIGURE {name} with a {state} key: {seconds:.1f} s, {listener.count - before} calls", flush=True)
            # ten times the usual time; before the header it was ten times more
            fault = None if seconds < AGENT_SECONDS and word in said.lower() else f"{seconds:.0f} s: {said[:1000]}"
            yield f"{name} with a {state} key ends soon and shows the reason", fault


def main(binary, modules=None):
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="gatekeeper-refusals-") as folder:
        stage = agents.Stage(binary, folder)
        try:
            listener = Listener(int(stage.url.rsplit(":", 1)[1]))
            for name, fault in checks(stage, listener, modules):
                passed, failed = passed + (fault is None), failed + (fault is not None)
                print(f"{name}: {'passed' if fault is None else f'FAILED: {fault}'}", flush=True)
        finally:
            stage.stop()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(*(str(Path(argument).absolute()) for argument in sys.argv[1:3])))
