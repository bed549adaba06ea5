"""Starts a demo, creates an object of each kind, and runs schemathesis against it: as an owner, and with a virtual key at the
model endpoints."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

SEED = 16
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]
MODELS = "^/v1/(chat|responses|messages|embeddings|models|me)"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Demo:
    def __init__(self, binary, folder):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.output = open(os.path.join(folder, "output"), "w+b")
        command = [binary, "demo", "--listen", self.url.removeprefix("http://"), "--data", os.path.join(folder, "data")]
        self.process = subprocess.Popen(command, stdout=self.output, stderr=subprocess.STDOUT, cwd=folder)
        deadline = time.monotonic() + 60
        while b"Ctrl-C stops" not in self.text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the demo did not start:\n{self.text().decode()}")
            time.sleep(0.05)
        self.admin = re.search(rb"sk-gk-master-\w+", self.text())[0].decode()
        self.virtual = re.search(rb"sk-gk-engineering-\w+", self.text())[0].decode()

    def text(self):
        with open(self.output.name, "rb") as output:
            return output.read()

    def call(self, method, path, body=None, key=None):
        request = urllib.request.Request(self.url + path, method=method, data=json.dumps(body or {}).encode())
        request.add_header("authorization", f"Bearer {key or self.admin}")
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


def objects(demo, suffix):
    """Ids of a new object of each kind."""
    organization = demo.call("POST", "/v1/organizations", {"name": f"org {suffix}"})["id"]
    team = demo.call("POST", "/v1/teams", {"name": f"team {suffix}", "organization": organization})["id"]
    key = demo.call("POST", "/v1/keys", {"name": f"key {suffix}", "team": team})["id"]
    admin = demo.call("POST", "/v1/keys", {"name": f"admin {suffix}", "admin": True, "role": "viewer"})["id"]
    user = {"email": f"{suffix}@example.org", "memberships": [{"role": "viewer", "team": team}]}
    provider = {"name": f"lan-{suffix}", "type": "openai_compatible", "base_url": "http://127.0.0.1:9/v1", "price": "free"}
    demo.call("POST", "/v1/providers", provider | {"api_key": "sk-example", "models": [f"m-{suffix}"]})
    for name in [suffix, f"target-{suffix}"]:
        demo.call("POST", "/v1/routes", {"name": f"route-{name}", "targets": ["simulator-small"]})
    demo.call("POST", "/v1/aliases", {"name": f"alias-{suffix}", "target": f"route-target-{suffix}"})
    return organization, team, demo.call("POST", "/v1/users", user)["id"], [key, admin]


def configuration(demo):
    """Ids that the parameters of paths take; what is deleted is no object that is read."""
    chat = {"model": "simulator-small", "messages": [{"role": "user", "content": "Hello"}]}
    demo.call("POST", "/v1/chat/completions", chat, demo.virtual)
    request = demo.call("GET", "/v1/requests?limit=1")["data"][0]["id"]
    lines = ["[checks.not_a_server_error]", 'expected-statuses = ["2xx", "4xx", "501"]']
    for methods, suffix in [(["GET", "PATCH", "POST"], "kept"), (["DELETE"], "gone")]:
        organization, team, user, keys = objects(demo, suffix)
        ids = {
            "/v1/organizations/{id}": [organization],
            "/v1/teams/{id}": [team],
            "/v1/teams/{id}/members": [team],
            "/v1/users/{id}": [user],
            "/v1/users/{id}/invitation": [user],
            "/v1/keys/{id}": keys,
            "/v1/keys/{id}/rotate": keys[:1],
            "/v1/keys/{id}/resolve": keys[:1],
            "/v1/routes/{id}/drill": ["simulator-small"],
            "/v1/requests/{id}": [request],
            "/v1/audit/proofs/{id}": ["1"],
            "/v1/providers/{id}/test": ["simulator"],
            "/v1/providers/{id}": ["simulator", f"lan-{suffix}"],
            "/v1/routes/{id}": [f"route-{suffix}", f"route-target-{suffix}"],
            "/v1/aliases/{id}": [f"alias-{suffix}"],
        }
        for path, known in ids.items():
            for method in methods:
                lines += [
                    "[[operations]]",
                    f'include-path = "{path}"',
                    f'include-method = "{method}"',
                    f'parameters = {{ "path.id" = {json.dumps(known + ["unknown"])} }}',
                ]
    return "\n".join(lines)


def run(name, demo, folder, key, examples, selection, phases="examples,coverage,fuzzing"):
    command = [
        os.path.join(os.path.dirname(sys.executable), "schemathesis"),
        "--config-file", os.path.join(folder, "schemathesis.toml"),
        "run", f"{demo.url}/openapi.json",
        "--header", f"Authorization: Bearer {key}",
        "--checks", ",".join(CHECKS),
        "--phases", phases,
        "--max-examples", str(examples),
        "--seed", str(SEED),
        "--suppress-health-check", "all",
        "--warnings", "off",
        "--no-color",
        *selection,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    cases = re.search(r"\d+ generated", done.stdout)
    # a phase that had nothing to do is no success
    fuzzed = "Fuzzing (nothing to test)" not in done.stdout
    passed = done.returncode == 0 and fuzzed
    if passed:
        print(f"{name}: passed ({cases[0] if cases else 'no count'})", flush=True)
    else:
        print(f"{name}: FAILED\n{done.stdout[-12000:]}{done.stderr[-2000:]}", flush=True)
    return passed


def main():
    binary, examples = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(binary, folder)
        try:
            with open(os.path.join(folder, "schemathesis.toml"), "w") as file:
                file.write(configuration(demo))
            passed = [
                run("control plane as an owner", demo, folder, demo.admin, examples, ["--exclude-path-regex", MODELS]),
                run("model endpoints with a virtual key", demo, folder, demo.virtual, examples, ["--include-path-regex", MODELS]),
                run("control plane with a virtual key", demo, folder, demo.virtual, max(examples // 10, 1), ["--exclude-path-regex", MODELS], "fuzzing"),
            ]
            alive = demo.process.poll() is None
            print("server runs after all calls: " + ("passed" if alive else "FAILED"))
            passed.append(alive)
        finally:
            demo.stop()
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed")
    sys.exit(0 if all(passed) else 1)


main()
