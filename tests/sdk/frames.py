"""Generates the recordings of Bedrock from the events below: tests/golden/bedrock/*.bin, and invoke.sse, the expected
translation of invoke.bin. AWS publishes no encoder, so the frames are built here; botocore's decoder and parser read each
recording back and check both checksums, the headers and every field. Usage: python frames.py [--check]   (--check writes nothing and fails on a difference)
"""

import base64
import json
import struct
import sys
import zlib
from pathlib import Path

import botocore.session
from botocore.eventstream import EventStream, EventStreamBuffer
from botocore.parsers import EventStreamJSONParser

FOLDER = Path(__file__).parent.parent / "golden" / "bedrock"
SERVICE = botocore.session.get_session().get_service_model("bedrock-runtime")
PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def frame(headers, payload):
    listed = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode() for name, value in headers
    )
    prelude = struct.pack("!II", len(listed) + len(payload) + 16, len(listed))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + listed + payload
    return message + struct.pack("!I", zlib.crc32(message))


def padded(payload):
    """Padding of AWS against guessing content from lengths."""
    size = len(json.dumps(payload)) * 7 % len(PADDING)
    return json.dumps({**payload, "p": PADDING[:size]}, separators=(",", ":"), ensure_ascii=False).encode()


def event(name, payload):
    headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")]
    return frame(headers, padded(payload))


def exception(name, message):
    headers = [(":exception-type", name), (":content-type", "application/json"), (":message-type", "exception")]
    return frame(headers, json.dumps({"message": message}).encode())


def chunk(payload):
    """Anthropic event as wrapped by InvokeModel."""
    return event("chunk", {"bytes": base64.b64encode(json.dumps(payload, ensure_ascii=False).encode()).decode()})


def unwrapped(frames):
    """Anthropic event as streamed by Anthropic itself."""
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join(frames))
    events = [base64.b64decode(json.loads(message.payload)["bytes"]) for message in buffer]
    return b"".join(b"event: %s\ndata: %s\n\n" % (json.loads(event)["type"].encode(), event) for event in events)


def delta(index, **delta):
    return event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})


def texts(index, *pieces):
    return [delta(index, text=piece) for piece in pieces] + [event("contentBlockStop", {"contentBlockIndex": index})]


def call(index, identity, name, *pieces):
    start = {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": identity, "name": name}}}
    inputs = [delta(index, toolUse={"input": piece}) for piece in pieces]
    return [event("contentBlockStart", start), *inputs, event("contentBlockStop", {"contentBlockIndex": index})]


def begun():
    return event("messageStart", {"role": "assistant"})


def stopped(reason, **more):
    return event("messageStop", {"stopReason": reason, **more})


def metadata(uncached, output, **more):
    usage = {"inputTokens": uncached, "outputTokens": output, "totalTokens": uncached + output, **more}
    return event("metadata", {"usage": usage, "metrics": {"latencyMs": 412}})


CACHED = {
    "cacheReadInputTokens": 6,
    "cacheReadInputTokenCount": 6,
    "cacheWriteInputTokens": 8,
    "cacheWriteInputTokenCount": 8,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 5}, {"ttl": "5m", "inputTokens": 3}],
    "serverToolUsage": {},
}

CONVERSE = {
    "stream": [begun(), *texts(0, "Say ", "it: 🦀", " now."), stopped("end_turn"), metadata(10, 5)],
    "cached": [begun(), *texts(0, "from the cache"), stopped("end_turn"), metadata(10, 5, **CACHED)],
    "tools": [
        begun(),
        *texts(0, "Looking."),
        *call(1, "tooluse_a", "get_weather", "", '{"city":', '"Köln",', '"days":3}'),
        *call(2, "tooluse_b", "get_weather", '{"city":"Rom"}'),
        *call(3, "tooluse_c", "get_time", ""),
        stopped("tool_use"),
        metadata(30, 40),
    ],
    "thinking": [
        begun(),
        delta(0, reasoningContent={"text": "First "}),
        delta(0, reasoningContent={"text": "think."}),
        delta(0, reasoningContent={"signature": "EqQBCgIYAhIkSIGNATURE=="}),
        event("contentBlockStop", {"contentBlockIndex": 0}),
        delta(1, reasoningContent={"redactedContent": "UkVEQUNURUQ="}),
        event("contentBlockStop", {"contentBlockIndex": 1}),
        *texts(2, "Then ", "speak."),
        stopped("end_turn"),
        metadata(12, 9),
    ],
    "stopped": [
        begun(),
        *texts(0, "one, two"),
        stopped("stop_sequence", additionalModelResponseFields={"stop_sequence": "three"}),
        metadata(10, 5),
    ],
    "guarded": [begun(), *texts(0, "Sorry, "), stopped("guardrail_intervened"), metadata(10, 5)],
    "failed": [begun(), delta(0, text="Say "), exception("modelStreamErrorException", "the model broke down")],
    "throttled": [exception("throttlingException", "Too many tokens, please wait before trying again.")],
}

STARTED = {
    "type": "message_start",
    "message": {
        "id": "msg_bdrk_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-5-20251101",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 8,
            "cache_read_input_tokens": 6,
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 5},
            "output_tokens": 1,
        },
    },
}


def of_block(index, block, *deltas):
    yield chunk({"type": "content_block_start", "index": index, "content_block": block})
    for piece in deltas:
        yield chunk({"type": "content_block_delta", "index": index, "delta": piece})
    yield chunk({"type": "content_block_stop", "index": index})


INVOKE = {
    "invoke": [
        chunk(STARTED),
        *of_block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "First think."},
            {"type": "signature_delta", "signature": "EqQBCgIYAhIkSIGNATURE=="},
        ),
        *of_block(
            1,
            {"type": "text", "text": ""},
            {"type": "text_delta", "text": "Say it: 🦀"},
            {"type": "text_delta", "text": " now."},
        ),
        chunk(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 25},
            }
        ),
        chunk(
            {
                "type": "message_stop",
                "amazon-bedrock-invocationMetrics": {
                    "inputTokenCount": 10,
                    "outputTokenCount": 25,
                    "invocationLatency": 900,
                    "firstByteLatency": 300,
                    "cacheReadInputTokenCount": 6,
                    "cacheWriteInputTokenCount": 8,
                },
            }
        ),
    ],
    "invoke-failed": [
        chunk(STARTED),
        chunk({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Say "}}),
        exception("serviceUnavailableException", "come back later"),
    ],
}


def decoded(recording, operation):
    """Events as parsed by an AWS client; an exception by its name."""
    buffer = EventStreamBuffer()
    buffer.add_data(recording)
    output = SERVICE.operation_model(operation).get_event_stream_output()
    reader = EventStream(None, output, EventStreamJSONParser(), operation)
    return [message.headers.get(":exception-type") or reader._parse_event(message) for message in buffer]


def check(name, frames, operation):
    """Checks that botocore parses every field except those that AWS does not document."""
    undocumented = {"p", "cacheReadInputTokenCount", "cacheWriteInputTokenCount", "serverToolUsage"}

    def documented(value):
        if isinstance(value, dict):
            return {key: documented(inner) for key, inner in value.items() if key not in undocumented}
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        return [documented(inner) for inner in value] if isinstance(value, list) else value

    read = decoded(b"".join(frames), operation)
    assert len(read) == len(frames), (name, read)
    for raw, event in zip(frames, read):
        buffer = EventStreamBuffer()
        buffer.add_data(raw)
        message = next(iter(buffer))
        if isinstance(event, str):
            continue
        kind = message.headers[":event-type"]
        assert documented(event[kind]) == documented(json.loads(message.payload)), (name, event)


def main():
    made = {"invoke.sse": unwrapped(INVOKE["invoke"])}
    for recordings, operation in [(CONVERSE, "ConverseStream"), (INVOKE, "InvokeModelWithResponseStream")]:
        for name, frames in recordings.items():
            check(name, frames, operation)
            made[f"{name}.bin"] = b"".join(frames)
    for name, recording in made.items():
        if "--check" not in sys.argv:
            (FOLDER / name).write_bytes(recording)
        elif (FOLDER / name).read_bytes() != recording:
            sys.exit(f"botocore reads bedrock {name}: FAILED: the file is not what this program makes")
        else:
            print(f"botocore reads bedrock {name}: passed")


if __name__ == "__main__":
    main()
