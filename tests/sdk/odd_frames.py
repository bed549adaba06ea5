"""Packs the odd recordings of Bedrock, one event a line, into AWS's binary event stream beside them. A line has `:event-type` or
`:exception-type` and `payload`; the payload of a `chunk` is an event of Anthropic, which InvokeModel wraps. `{":cut_bytes": N}` as the last
line leaves out the last N bytes. Usage: odd_frames.py [--check]   (--check writes nothing and fails on a difference)
"""

import base64
import json
import struct
import sys
import zlib
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "golden" / "bedrock" / "odd"


def frame(headers, payload):
    """One message: lengths and their checksum, headers, payload, checksum of all of it."""
    listed = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode() for name, value in headers
    )
    prelude = struct.pack("!II", len(listed) + len(payload) + 16, len(listed))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + listed + payload
    return message + struct.pack("!I", zlib.crc32(message))


def packed_line(line):
    payload = line["payload"]
    exception = line.get(":exception-type")
    kind = (":exception-type", exception) if exception else (":event-type", line[":event-type"])
    if line.get(":event-type") == "chunk":
        wrapped = {"bytes": base64.b64encode(compact(payload)).decode()}
        payload = {**wrapped, **({"p": line["p"]} if "p" in line else {})}
    headers = [kind, (":content-type", "application/json"), (":message-type", "exception" if exception else "event")]
    return frame(headers, compact(payload))


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def pack(text):
    """The binary stream of a recording's text."""
    lines = [json.loads(line) for line in text.splitlines() if line]
    cut = lines.pop()[":cut_bytes"] if lines and ":cut_bytes" in lines[-1] else 0
    stream = b"".join(packed_line(line) for line in lines)
    return stream[: len(stream) - cut]


def main():
    status = 0
    for recording in sorted(FOLDER.glob("*.jsonl")):
        stream, target = pack(recording.read_text()), recording.with_suffix(".bin")
        if "--check" not in sys.argv:
            target.write_bytes(stream)
        elif not target.exists() or target.read_bytes() != stream:
            status = 1
            print(f"odd frames {target.name}: FAILED: the file is not what this program makes")
        else:
            print(f"odd frames {target.name}: passed")
    return status


if __name__ == "__main__":
    sys.exit(main())
