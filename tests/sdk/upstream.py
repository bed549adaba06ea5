"""Scripted upstream of the client tests: sends recordings/*.http byte for byte and records all requests.

Path, model, `stream` and a tool result in the last turn select the recording. It invents no response and opens no
connection.
"""

import json
import socketserver
import threading
import time
from pathlib import Path

RECORDINGS = Path(__file__).parent / "recordings"
# longer than the gateway's interval of pings
PAUSE_S = 2.5


def with_odd_lines(recorded):
    """The events of a recording with `id:`, `event:` and `retry:` lines, in two parts with a pause between them, close-delimited."""
    head, _, body = recorded.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"transfer-encoding", b"content-length"))]
    if b"chunked" in head.lower():
        whole = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
        body = whole
    events = [event for event in body.split(b"\n\n") if event.strip()]
    odd = []
    for number, event in enumerate(events):
        name = b"" if event.startswith(b"event:") or event.startswith(b"data: [DONE]") else b"event: message\n"
        odd.append(b"id: %d\n%sretry: 10\n%s\n\n" % (number, name, event.strip(b"\n")))
    yield b"\r\n".join([*lines, b"transfer-encoding: chunked", b"", b""])
    for part in (odd[:2], odd[2:]):
        part = b"".join(part)
        yield b"%x\r\n%s\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def recording_name(path, body):
    dialect = next((name for name in ("messages", "responses") if path.endswith(f"/{name}")), "chat")
    last = (body.get("messages") or [{}])[-1]
    content = last.get("content")
    answers_tool = last.get("role") == "tool" or (
        isinstance(content, list) and any(part.get("type") == "tool_result" for part in content)
    )
    return f"{dialect}-{body.get('model')}{'-stream' if body.get('stream') else ''}{'-after' if answers_tool else ''}"


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        while self.one():
            pass

    def one(self):
        line = self.rfile.readline()
        if not line.strip():
            return False
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers = {}
        while (line := self.rfile.readline()).strip():
            name, value = line.decode("latin-1").split(":", 1)
            headers[name.strip().lower()] = value.strip()
        raw = self.rfile.read(int(headers.get("content-length", 0)))
        body = json.loads(raw or b"{}")
        self.server.seen.append({"method": method, "path": path, "headers": headers, "body": body, "raw": raw.decode()})
        recorded = RECORDINGS / (recording_name(path.split("?")[0], body) + ".http")
        if not recorded.exists():
            self.wfile.write(b"HTTP/1.1 418 Not recorded\r\ncontent-length: 0\r\n\r\n")
            return True
        if "x-odd-lines" in json.dumps(body):
            head, first, *rest = with_odd_lines(recorded.read_bytes())
            self.wfile.write(head + first)
            time.sleep(PAUSE_S)
            self.wfile.write(b"".join(rest))
            return True
        self.wfile.write(recorded.read_bytes())
        return True


class Upstream(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"
