"""Bedrock through the gateway: official OpenAI and Anthropic clients, recorded AWS frames as the upstream, and botocore's
signer to check the signatures. Usage: bedrock.py BINARY
"""

import datetime
import http.server
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from unittest import mock

import anthropic
import botocore.session
import openai
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.validate import ParamValidator

import stage
import strict_vendors

GOLDEN = Path(__file__).parent.parent / "golden" / "bedrock"
NOVA, CLAUDE = "eu.amazon.nova-2-lite-v1:0", "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-opus-5"
KEYS = {"access_key_id": "KEY1", "secret_access_key": "canary/4242+x=", "session_token": "token/" + "t" * 300}
HELLO = [{"role": "user", "content": "say it"}]


class Amazon(http.server.BaseHTTPRequestHandler):
    """Serves the recording named by the path and records the requests."""

    protocol_version = "HTTP/1.1"
    answers = {
        "converse": ("application/json", "answer.json"),
        "converse-stream": ("application/vnd.amazon.eventstream", "stream.bin"),
        "invoke": ("application/json", "invoke.json"),
        "invoke-with-response-stream": ("application/vnd.amazon.eventstream", "invoke.bin"),
    }
    seen = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.seen.append((self.path, dict(self.headers.items()), body))
        kind, recording = self.answers[self.path.rsplit("/", 1)[1]]
        recorded = (GOLDEN / recording).read_bytes()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(recorded)))
        self.end_headers()
        self.wfile.write(recorded)

    def log_message(self, *_):
        pass


def signed_by_botocore(url, headers, body):
    """Authorization header by botocore for the same request and time."""
    lower = {name.lower(): value for name, value in headers.items()}
    names = re.search("SignedHeaders=([^,]+)", lower["authorization"]).group(1).split(";")
    added = ("host", "x-amz-date", "x-amz-security-token")
    request = AWSRequest("POST", url, {name: lower[name] for name in names if name not in added}, body)
    now = datetime.datetime.strptime(lower["x-amz-date"], "%Y%m%dT%H%M%SZ")
    keys = Credentials(KEYS["access_key_id"], KEYS["secret_access_key"], KEYS["session_token"])
    with mock.patch("botocore.auth.get_current_datetime", lambda *_: now):
        auth.SigV4Auth(keys, "bedrock", "eu-west-1").add_auth(request)
    assert lower["host"] == auth._host_from_url(url)
    return request.headers["Authorization"], lower["authorization"]


def chat(client):
    answer = client.chat.completions.create(model=NOVA, messages=HELLO)
    assert (answer.choices[0].message.content, answer.usage.prompt_tokens) == ("Say it: 🦀 now.", 10)
    stream = client.chat.completions.create(model=NOVA, messages=HELLO, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    words = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert (words, chunks[-1].usage.completion_tokens) == ("Say it: 🦀 now.", 5)


def messages(client, model, uncached, output):
    with client.messages.stream(model=model, messages=HELLO, max_tokens=100) as stream:
        assert "".join(stream.text_stream) == "Say it: 🦀 now."
        final = stream.get_final_message()
    assert (final.usage.input_tokens, final.usage.output_tokens, final.stop_reason) == (uncached, output, "end_turn")
    answer = client.messages.create(model=model, messages=HELLO, max_tokens=100)
    assert (answer.content[-1].text, answer.usage.output_tokens) == ("Say it: 🦀 now.", 5)


def signatures(url):
    assert len(Amazon.seen) == 10, Amazon.seen
    for path, headers, body in Amazon.seen:
        refused = strict_vendors.refusers("bedrock", path, json.loads(body), {name.lower(): value for name, value in headers.items()})
        assert not refused, f"Bedrock refuses what it was sent: {refused}"
        expected, sent = signed_by_botocore(url + path, headers, body)
        assert sent == expected, (path, sent, expected)


def known_to_botocore(client, claude):
    """Every field that the gateway can send is in botocore's model of Converse."""
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    hint = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{pixel}"}}
    document = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}}
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "s", **hint}]},
        {"role": "user", "content": [{"type": "text", "text": "u", **hint}, image, document]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "result"},
    ]
    schema = {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": {"type": "object"}}}
    more = {"tools": [tool], "stop": ["END"], "service_tier": "flex", "max_tokens": 9000}
    first = len(Amazon.seen)
    # Nova has no answers by a schema
    for model, form in ((NOVA, {"type": "json_object"}), (claude, schema)):
        more["response_format"] = form
        for choice in ({"reasoning_effort": "high"}, {"tool_choice": "required", "temperature": 0.5}):
            try:
                client.chat.completions.create(model=model, messages=messages, **choice, **more)
            except openai.BadRequestError as refused:
                # the recorded answer is no JSON object, which an emulated format must be
                assert model == NOVA and "one JSON object" in str(refused), refused
    shape = botocore.session.get_session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape
    for path, _, body in Amazon.seen[first:]:
        assert path.endswith("/converse"), path
        fault = ParamValidator().validate({**json.loads(body), "modelId": NOVA}, shape).generate_report()
        assert not fault, fault
    sent = b"".join(body for _, _, body in Amazon.seen[first:])
    for member in (b"cachePoint", b"toolChoice", b"outputConfig", b"serviceTier", b"thinking", b"document", b"image", b"toolResult"):
        assert member in sent, member


def vectors():
    made = subprocess.run([sys.executable, "sigv4.py"], check=True, capture_output=True, text=True).stdout
    assert json.loads(made) == json.loads((GOLDEN / "sigv4.json").read_text())


def report(name, case, *arguments):
    try:
        case(*arguments)
        print(f"{name}: passed", flush=True)
    except Exception as fault:
        print(f"{name}: FAILED: {type(fault).__name__}: {fault}".replace("\n", " "), flush=True)


def config(port, folder, upstream):
    keys = "".join(f'{line} = "file:{folder}/{line}"\n' for line in KEYS)
    return (
        f'listen = "127.0.0.1:{port}"\ndata = "{folder}/data"\n[providers.amazon]\ntype = "bedrock"\nbase_url = "{upstream}"\n'
        f'region = "eu-west-1"\n{keys}price = {{ input = "1.00", output = "5.00" }}\nmodels = {json.dumps([NOVA, CLAUDE])}\n'
    )


def main(binary):
    report("botocore reads all recordings of bedrock", subprocess.check_call, [sys.executable, "frames.py", "--check"])
    report("botocore signs as the vectors say", vectors)
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Amazon)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    amazon = f"http://127.0.0.1:{upstream.server_address[1]}"
    with tempfile.TemporaryDirectory(prefix="gatekeeper-sdk-") as folder:
        url = f"http://127.0.0.1:{(port := stage.free_port())}"
        for line, secret in KEYS.items():
            Path(folder, line).write_text(secret)
            Path(folder, line).chmod(0o600)
        Path(folder, "gatekeeper.toml").write_text(config(port, folder, amazon))
        made = subprocess.run([binary, "init", "--data", f"{folder}/data"], cwd=folder, text=True, capture_output=True, timeout=30)
        admin, log = re.search(r"sk-gk-master-[\w-]+", made.stdout).group(), f"{folder}/serve.log"
        with open(log, "wb") as output:
            serve = [binary, "serve", "--config", f"{folder}/gatekeeper.toml"]
            server = subprocess.Popen(serve, cwd=folder, stdout=output, stderr=output)
        try:
            stage.wait_until_ready(url, server, log)
            team = stage.ask("POST", f"{url}/v1/teams", admin, {"name": "clients", "models": ["*"]})["id"]
            key = stage.ask("POST", f"{url}/v1/keys", admin, {"name": "client", "team": team, "models": ["*"]})["key"]
            claude = anthropic.Anthropic(api_key=key, base_url=url, max_retries=0)
            client = openai.OpenAI(api_key=key, base_url=f"{url}/v1", max_retries=0)
            report("openai reads converse", chat, client)
            report("anthropic reads converse", messages, claude, NOVA, 10, 5)
            report("anthropic reads invoke", messages, claude, CLAUDE, 10, 25)
            report("botocore knows all that is sent to converse", known_to_botocore, client, CLAUDE)
            report("botocore signs what was sent alike", signatures, amazon)
            assert "canary" not in Path(log).read_text(), "a secret stands in the server's output"
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


if __name__ == "__main__":
    main(sys.argv[1])
