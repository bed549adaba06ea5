"""Independent judge as the upstream: llmock plays seven vendors, breaks calls on demand, and grades the reaction of its
client, which is the gateway. Each case runs twice: the vendor's model by its own name, with the official SDKs and their usual retries;
then a route of that model, with the gateway's retries and SDKs that repeat nothing. Usage: judge.py BINARY
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import anthropic
import openai

from stage import ask, free_port, stop, wait_until_ready

# name and type, path of the vendor's base URL at the judge, model, client SDK
VENDORS = [
    ("openai", "/v1", "gpt-judged", "openai"),
    ("anthropic", "/anthropic/v1", "claude-judged", "anthropic"),
    ("gemini", "/gemini/v1beta", "gemini-judged", "openai"),
    ("cohere", "/cohere", "command-judged", "anthropic"),
    ("mistral", "/mistral/v1", "mistral-judged", "anthropic"),
    ("groq", "/groq/openai/v1", "groq-judged", "openai"),
    ("together", "/together/v1", "together-judged", "openai"),
]
# injected fault, and true for a stream
FAULTS = [
    ("nothing", None, False),
    ("nothing in a stream", None, True),
    ("a 429 that says when", {"type": "fail", "status": 429, "retry_after": 1}, False),
    ("a 429 before a stream", {"type": "fail", "status": 429, "retry_after": 1}, True),
    ("a 500", {"type": "fail", "status": 500}, False),
    ("a 503", {"type": "fail", "status": 503}, True),
    ("a 400", {"type": "fail", "status": 400}, False),
    ("a truncated stream", {"type": "stream_fault", "kind": "truncate", "after_chunks": 2}, True),
    ("a dropped stream", {"type": "stream_fault", "kind": "disconnect", "after_chunks": 2}, True),
    ("a malformed stream", {"type": "stream_fault", "kind": "malformed", "after_chunks": 2}, True),
]


class Judge:
    def __init__(self):
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        command = [str(Path(sys.executable).with_name("llmock")), "serve", "--port", str(port), "--log-level", "error"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                self.asked("GET", "/_llmock/scenario")
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        self.stop()
        sys.exit("the judge did not start")

    def asked(self, method, path, body=None):
        return ask(method, self.url + path, body=body)

    def stop(self):
        stop(self.process)


def config(port, folder, judge):
    providers = "".join(
        f'[providers.{name}]\ntype = "{name}"\nbase_url = "{judge}{path}"\napi_key = "file:{folder}/upstream.key"\n'
        f'price = {{ input = "1.00", output = "5.00" }}\nmodels = ["{model}"]\n'
        for name, path, model, _ in VENDORS
    )
    routes = "".join(f'[routes.routed-{name}]\ntargets = ["{name}/{model}"]\n' for name, _, model, _ in VENDORS)
    return f'listen = "127.0.0.1:{port}"\ndata = "{folder}/data"\n{providers}{routes}'


def said(client, model, prompt, stream):
    """Requests one response through the SDK; retries a truncated one once."""
    messages = [{"role": "user", "content": prompt}]
    for attempt in (1, 2):
        try:
            if isinstance(client, openai.OpenAI):
                answer = client.chat.completions.create(model=model, messages=messages, stream=stream)
                if not stream:
                    return answer.choices[0].message.content
                return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
            if not stream:
                return client.messages.create(model=model, messages=messages, max_tokens=200).content[0].text
            with client.messages.stream(model=model, messages=messages, max_tokens=200) as answer:
                return answer.get_final_text()
        except (openai.BadRequestError, anthropic.BadRequestError):
            return "refused"
        except (openai.APIError, anthropic.APIError):
            if attempt == 2 or not stream:
                raise


def main(binary):
    folder = tempfile.mkdtemp(prefix="gatekeeper-judge-")
    judge, passed, failed = Judge(), 0, 0
    url = f"http://127.0.0.1:{(port := free_port())}"
    Path(folder, "upstream.key").write_text("sk-upstream-canary-4242")
    Path(folder, "upstream.key").chmod(0o600)
    Path(folder, "gatekeeper.toml").write_text(config(port, folder, judge.url))
    made = subprocess.run([binary, "init", "--data", f"{folder}/data"], text=True, capture_output=True, timeout=30)
    admin, log = re.search(r"sk-gk-master-[\w-]+", made.stdout).group(), f"{folder}/serve.log"
    with open(log, "wb") as output:
        server = subprocess.Popen([binary, "serve", "--config", f"{folder}/gatekeeper.toml"], stdout=output, stderr=output)
    try:
        wait_until_ready(url, server, log)
        team = ask("POST", f"{url}/v1/teams", admin, {"name": "judged", "models": ["*"]})["id"]
        key = ask("POST", f"{url}/v1/keys", admin, {"name": "judged", "team": team, "models": ["*"]})["key"]
        clients = {
            ("openai", False): openai.OpenAI(base_url=f"{url}/v1", api_key=key, timeout=60),
            ("anthropic", False): anthropic.Anthropic(base_url=url, api_key=key, timeout=60),
            ("openai", True): openai.OpenAI(base_url=f"{url}/v1", api_key=key, timeout=60, max_retries=0),
            ("anthropic", True): anthropic.Anthropic(base_url=url, api_key=key, timeout=60, max_retries=0),
        }
        cases = [(routed, *vendor) for routed in (False, True) for vendor in VENDORS]
        for routed, name, _, model, client in cases:
            model, name = (f"routed-{name}", f"route to {name}") if routed else (model, name)
            for what, fault, stream in FAULTS:
                judge.asked("POST", "/_llmock/scenario", {"behaviors": [fault] if fault else []}) if fault else None
                try:
                    text = said(clients[client, routed], model, f"{name}: {what}", stream)
                    assert text and (text == "refused") == (what == "a 400"), f"it said {text!r}"
                    passed += 1
                    print(f"{name}, {what}: passed", flush=True)
                except Exception as flaw:  # any exception of an SDK is a failed case
                    failed += 1
                    print(f"{name}, {what}: FAILED: {type(flaw).__name__}: {flaw}", flush=True)
        verdict = judge.asked("GET", "/_llmock/verdict")
        for finding in verdict["findings"]:
            print(f"    {finding['severity']}: {finding['code']}: {finding['title']} {finding['path']}")
        counts = {name: verdict[name] for name in ("calls", "attempts", "faults_injected", "errors", "warnings")}
        print(f"FIGURE llmock's verdict: {json.dumps(counts)}")
        verdict_good = verdict["passed"] and verdict["faults_injected"] >= len(VENDORS) * 16
        passed, failed = passed + verdict_good, failed + (not verdict_good)
        print(f"llmock's verdict: {'passed' if verdict_good else 'FAILED'}")
    finally:
        stop(server)
        judge.stop()
    if failed:
        print(f"--- the server said\n{Path(log).read_text()[-3000:]}")
    shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(str(Path(sys.argv[1]).resolve())))
