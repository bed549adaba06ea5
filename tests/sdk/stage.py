"""Runner of the client tests: starts the scripted upstream and the built binary, creates two teams with keys, runs the cases
of cases.py and cases.mjs and counts their lines. Usage: stage.py BINARY
"""

import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path

import strict_vendors
from upstream import Upstream

HERE = Path(__file__).parent
CANARY = "sk-upstream-canary-4242"
CHAT_MODELS = ["o-text", "o-tools", "o-cut", "o-400", "o-401", "o-429", "o-500", "o-other"]
RESPONSES_MODELS = ["r-all"]
MESSAGE_MODELS = ["c-text", "c-tools", "c-think", "c-cut", "c-400", "c-401", "c-429", "c-500", "c-529", "c-other"]


def config(port, folder, upstream):
    def provider(name, preset, base_url, models):
        return (
            f'[providers.{name}]\ntype = "{preset}"\nbase_url = "{base_url}"\napi_key = "file:{folder}/upstream.key"\n'
            f'price = {{ input = "1.00", output = "5.00" }}\nmodels = {json.dumps(models)}\n'
        )

    return (
        f'listen = "127.0.0.1:{port}"\ndata = "{folder}/data"\n[limits]\nping_s = 1\n'
        + provider("chatty", "openai_compatible", f"{upstream}/v1", CHAT_MODELS)
        + provider("answering", "openai", f"{upstream}/v1", RESPONSES_MODELS)
        + provider("wordy", "anthropic", f"{upstream}/v1", MESSAGE_MODELS)
        + '[routes.cached]\ntargets = ["chatty/o-text"]\ncache = "exact"\n'
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(method, url, key=None, body=None):
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("content-type", "application/json")
    if key:
        request.add_header("authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


def wait_until_ready(url, process, log):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    sys.exit(f"the server did not get ready:\n{Path(log).read_text()[-4000:]}")


def stop(server):
    """Ends the server by SIGTERM; by SIGKILL if that takes half a minute."""
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        server.kill()


def seen_server(upstream):
    """Serves the recorded upstream requests to the cases of other languages."""

    class Seen(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(upstream.seen).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Seen)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/"


def keys(url, admin):
    def team(name, models, limit):
        budgets = [{"limit": limit, "period": "total", "action": "block"}]
        return ask("POST", f"{url}/v1/teams", admin, {"name": name, "models": models, "budgets": budgets})["id"]

    def key(name, team_id, models):
        return ask("POST", f"{url}/v1/keys", admin, {"name": name, "team": team_id, "models": models})["key"]

    rich = team("clients", ["*"], "1000")
    poor = team("spent", ["*"], "0.000001")
    allowed = [model for model in CHAT_MODELS + RESPONSES_MODELS + MESSAGE_MODELS + ["cached"] if not model.endswith("-other")]
    return {"GK_KEY": key("client", rich, allowed), "GK_POOR_KEY": key("poor", poor, ["*"])}


def run_cases(name, command, environment):
    """Runs the cases of one language and prints their lines; returns (passed, failed)."""
    print(f"--- {name}", flush=True)
    cases = subprocess.run(command, env=environment, cwd=HERE, text=True, stdout=subprocess.PIPE, timeout=600)
    print(cases.stdout, end="", flush=True)
    passed = len(re.findall(r"^.+: passed$", cases.stdout, re.M))
    failed = len(re.findall(r"^.+: FAILED", cases.stdout, re.M))
    if cases.returncode != 0 and failed == 0:
        print(f"{name}: FAILED: ended with {cases.returncode} before its last case", flush=True)
        failed = 1
    return passed, failed


def check_books(url, admin, upstream, log):
    """Checks after the last case that totals agree and that no secret leaked."""
    usage = ask("GET", f"{url}/v1/usage?start=2000-01-01&end=2100-01-01", admin)
    rows, before = [], ""
    while True:
        page = ask("GET", f"{url}/v1/requests?limit=200{before}", admin)
        rows += page["data"]
        if not page.get("next"):
            break
        before = f"&before={page['next']}"
    of_rows = sum(Decimal(str(row["net_cost_usd"])) for row in rows)
    assert Decimal(str(usage["total"]["cost_usd"])) == of_rows, (usage["total"], of_rows)
    assert rows, "the request log has rows"
    output = Path(log).read_text()
    assert CANARY not in output and "sk-gk-" not in output, "a secret stands in the server's output"
    for seen in upstream.seen:
        path = seen["path"].split("?")[0]
        vendor = {"messages": "anthropic", "responses": "openai"}.get(path.rsplit("/", 1)[1])
        if vendor and seen["method"] == "POST":
            refused = strict_vendors.refusers(vendor, path, seen["body"], seen["headers"])
            assert not refused, f"{vendor} refuses what it was sent: {refused}"
        asked = json.dumps(seen)
        assert "sk-gk-" not in asked, "a virtual key reached the upstream"
        assert CANARY in json.dumps(seen["headers"]), "the upstream's credential is missing"


def main(binary):
    with tempfile.TemporaryDirectory(prefix="gatekeeper-sdk-") as folder:
        upstream = Upstream()
        url = f"http://127.0.0.1:{(port := free_port())}"
        key_file = Path(folder, "upstream.key")
        key_file.write_text(CANARY)
        key_file.chmod(0o600)
        Path(folder, "gatekeeper.toml").write_text(config(port, folder, upstream.url))
        init = [binary, "init", "--data", f"{folder}/data"]
        made = subprocess.run(init, cwd=folder, text=True, capture_output=True, timeout=30)
        found = re.search(r"sk-gk-master-[\w-]+", made.stdout)
        if made.returncode != 0 or not found:
            sys.exit(f"init failed: {made.stdout}{made.stderr}")
        admin, log = found.group(), f"{folder}/serve.log"
        with open(log, "wb") as output:
            server = subprocess.Popen(
                [binary, "serve", "--config", f"{folder}/gatekeeper.toml"], cwd=folder, stdout=output, stderr=output
            )
        try:
            wait_until_ready(url, server, log)
            environment = {**os.environ, **keys(url, admin), "GK_URL": url, "GK_SEEN": seen_server(upstream)}
            counts = [
                run_cases("python", [sys.executable, "cases.py"], environment),
                run_cases("node", ["node", "cases.mjs"], environment),
                run_cases("bedrock", [sys.executable, "bedrock.py", binary], environment),
                run_cases("explain", [sys.executable, "explain.py", url, admin], environment),
            ]
            try:
                check_books(url, admin, upstream, log)
                print("books agree and secrets stay where they belong: passed")
                counts.append((1, 0))
            except (AssertionError, KeyError, OSError) as fault:
                print(f"books agree and secrets stay where they belong: FAILED: {fault}")
                counts.append((0, 1))
        finally:
            stop(server)
        passed, failed = map(sum, zip(*counts))
        if failed:
            print(f"--- the server said\n{Path(log).read_text()[-4000:]}")
        print(f"{passed} passed, {failed} failed")
        return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(str(Path(sys.argv[1]).resolve())))
