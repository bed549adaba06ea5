"""A collector and a vendor on loopback: what the gateway exports is decoded by the official message types. collector.py BINARY"""
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

BINARY = sys.argv[1]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PROMPT = "prompt-canary"
bodies, counts = [], {"passed": 0, "failed": 0}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/traces":
            bodies.append((dict(self.headers), body))
            answer, kind = b"", "application/x-protobuf"
        else:
            message = {"role": "assistant", "content": "answer-canary"}
            answer = json.dumps({
                "id": "c", "object": "chat.completion", "created": 1, "model": "m",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16},
            }).encode()
            kind = "application/json"
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def check(name, holds, found=""):
    counts["passed" if holds else "failed"] += 1
    print(f"otlp {name}: {'passed' if holds else f'FAILED: {found}'}")


def wait(condition, what):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    sys.exit(f"{what} did not happen")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def spans():
    decoded = [ExportTraceServiceRequest.FromString(body) for _, body in bodies]
    return [span for request in decoded for of_resource in request.resource_spans for scope in of_resource.scope_spans for span in scope.spans]


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def call(port, key):
    body = json.dumps({"model": "m", "max_tokens": 20, "messages": [{"role": "user", "content": PROMPT}]}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", data=body, method="POST")
    for name, value in {"authorization": f"Bearer {key}", "content-type": "application/json", "traceparent": f"00-{TRACE}-{PARENT}-01"}.items():
        request.add_header(name, value)
    with urllib.request.urlopen(request, timeout=20) as answer:
        answer.read()
    refused = urllib.request.Request(request.full_url, data=body.replace(b'"m"', b'"unknown"'), method="POST", headers={name: value for name, value in request.header_items() if name.lower() != "content-length"})
    try:
        urllib.request.urlopen(refused, timeout=20)
    except urllib.error.HTTPError as error:
        error.read()


def examine():
    wait(lambda: len(spans()) == 3, "three spans")
    for headers, body in bodies:
        request = ExportTraceServiceRequest.FromString(body)
        # unknown or misplaced fields would be lost or moved
        check("every byte is a known field in its order", request.SerializeToString() == body)
        resource = attributes(request.resource_spans[0].resource.attributes)
        check("the resource names the service", resource.get("service.name") == "gatekeeper", resource)
        check("the body is announced as protocol buffers", headers.get("content-type") == "application/x-protobuf", headers)
        check("no content and no key leave", not any(secret in body for secret in [PROMPT.encode(), b"answer-canary", b"sk-gk-"]))
    attempt, request, refused = sorted(spans(), key=lambda span: (span.status.code == Status.STATUS_CODE_ERROR, -span.kind))
    check("an attempt is a client span below the request", attempt.kind == Span.SPAN_KIND_CLIENT and attempt.parent_span_id == request.span_id)
    check("the request is a server span below the client's", request.kind == Span.SPAN_KIND_SERVER and request.parent_span_id.hex() == PARENT)
    check("all are in the client's trace", {span.trace_id.hex() for span in spans()} == {TRACE})
    check("times are in order", request.start_time_unix_nano <= attempt.start_time_unix_nano <= attempt.end_time_unix_nano <= request.end_time_unix_nano)
    now = time.time_ns()
    check("times are of now", 0 <= now - request.start_time_unix_nano < 60_000_000_000, request.start_time_unix_nano)
    found = attributes(attempt.attributes)
    expected = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.provider.name": "openai_compatible",
                "gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 4, "server.address": "127.0.0.1"}
    check("names and counts of the attempt", expected.items() <= found.items(), found)
    error = attributes(refused.attributes)
    check("a refusal is one span with its code", error.get("error.type") == "model_not_found" and refused.status.message == "model_not_found", error)


def main():
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    folder, port = tempfile.mkdtemp(), free_port()
    address = f"http://127.0.0.1:{upstream.server_address[1]}"
    with open(os.path.join(folder, "gatekeeper.toml"), "w") as config:
        config.write(f'listen = "127.0.0.1:{port}"\ndata = "data"\n[providers.up]\ntype = "openai_compatible"\nbase_url = "{address}/v1"\n'
                     f'price = "free"\nmodels = ["m"]\n[otlp]\nendpoint = "{address}"\n')
    run = lambda *arguments: subprocess.run([BINARY, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout
    run("init")
    log = open(os.path.join(folder, "log"), "w")
    server = subprocess.Popen([BINARY, "serve"], cwd=folder, stdout=log, stderr=log)
    try:
        wait(lambda: subprocess.run([BINARY, "clock"], cwd=folder, capture_output=True).returncode == 0, "the start")
        run("teams", "create", "eng")
        key = json.loads(run("keys", "create", "--team", "eng", "--json"))["key"]
        call(port, key)
        examine()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)
        upstream.shutdown()
    shutil.rmtree(folder)
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    sys.exit(1 if counts["failed"] else 0)


main()
