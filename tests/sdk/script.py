"""Scripted upstream of the coding agents in the vendors' wire formats: responds to a prompt with a text, to a prompt that
mentions the tool with one call of a shell tool, to one that mentions both with two calls in turn, and to a tool result with its text.
Thinks where the request asks for it. Records all requests.

Speaks Anthropic's Messages, OpenAI's Chat Completions and Responses, Gemini's generateContent, and Bedrock's Converse and InvokeModel,
streamed and unary. A subclass of the server may refuse requests (`refusal`).
"""

import json
import re
import socketserver
import threading
import urllib.parse

from odd_frames import packed_line

ASKS_TOOL = "RUN THE TOOL"
ASKED = "SAY OK"
COMMAND = "echo gatekeeper-was-here-$((40+2))"
PROOF = "gatekeeper-was-here-42"
ASKS_BOTH = "RUN BOTH TOOLS"
SECOND_COMMAND = "echo gatekeeper-was-there-$((40+3))"
SECOND_PROOF = "gatekeeper-was-there-43"
THOUGHT = "I think so."
SEALED = "RXFvQkNrZ0lBUkFCR0FJaVFMMlVvVTBiMU9IWWkreUNIcEJZN1U2RlFXOA=="
SHELLS = ("Bash", "exec_command", "shell_command", "shell", "local_shell")


def texts(value):
    """All strings in a JSON value, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def turns(body):
    return body.get("messages") or body.get("contents") or body.get("input") or []


def tool_names(body):
    for tool in body.get("tools") or (body.get("toolConfig") or {}).get("tools") or []:
        for declared in tool.get("functionDeclarations", [tool]):
            name = declared.get("name") or (declared.get("function") or declared.get("toolSpec") or {}).get("name")
            if name:
                yield name


def reply(body):
    """Output of the model: ("text", text) or ("call", tool name, arguments, number)."""
    said = [text for text in texts(turns(body))]
    asks_both = any(ASKS_BOTH in text for text in said)
    if any(SECOND_PROOF in text for text in said):
        return "text", f"The tools said {PROOF} and {SECOND_PROOF}."
    is_first_done = any(PROOF in text for text in said)
    if is_first_done and not asks_both:
        return "text", f"The tool said {PROOF}."
    command = SECOND_COMMAND if is_first_done else COMMAND
    shell = next((name for name in SHELLS if name in set(tool_names(body))), None)
    if shell and (asks_both or any(ASKS_TOOL in text for text in said)):
        arguments = {"command": command, "description": "prove it"} if shell == "Bash" else {"cmd": command}
        if shell in ("shell", "local_shell"):
            arguments = {"command": ["bash", "-lc", command]}
        elif shell == "shell_command":
            arguments = {"command": command}
        return "call", shell, arguments, 2 if is_first_done else 1
    return "text", "OK"


def sse(events):
    lines = []
    for name, data in events:
        text = data if isinstance(data, str) else json.dumps(data)
        lines.append((f"event: {name}\n" if name else "") + f"data: {text}\n\n")
    return "".join(lines)


def thinks(body):
    """The request turns thinking on."""
    kind = (body.get("thinking") or {}).get("type")
    config = (body.get("generationConfig") or {}).get("thinkingConfig") or {}
    extra = body.get("additionalModelRequestFields") or {}
    return bool(
        kind in ("enabled", "adaptive") or config.get("includeThoughts") or body.get("reasoning") or extra.get("thinking")
        or extra.get("reasoningConfig") or body.get("reasoning_effort") not in (None, "none")
    )


def messages_events(body, said):
    model, usage = body["model"], {"input_tokens": 100, "output_tokens": 1}
    message = {"id": "msg_up", "type": "message", "role": "assistant", "model": model, "content": [], "stop_reason": None,
               "stop_sequence": None, "usage": usage}
    yield "message_start", {"type": "message_start", "message": message}
    at = 0
    if thinks(body):
        at = 1
        block = {"type": "thinking", "thinking": "", "signature": ""}
        yield "content_block_start", {"type": "content_block_start", "index": 0, "content_block": block}
        for delta in ({"type": "thinking_delta", "thinking": THOUGHT}, {"type": "signature_delta", "signature": SEALED}):
            yield "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": 0}
    if said[0] == "text":
        block, delta, stop = {"type": "text", "text": ""}, {"type": "text_delta", "text": said[1]}, "end_turn"
    else:
        block = {"type": "tool_use", "id": f"toolu_up{said[3]}", "name": said[1], "input": {}}
        delta, stop = {"type": "input_json_delta", "partial_json": json.dumps(said[2])}, "tool_use"
    yield "content_block_start", {"type": "content_block_start", "index": at, "content_block": block}
    yield "content_block_delta", {"type": "content_block_delta", "index": at, "delta": delta}
    yield "content_block_stop", {"type": "content_block_stop", "index": at}
    yield "message_delta", {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None},
                            "usage": {"output_tokens": 12}}
    yield "message_stop", {"type": "message_stop"}


def messages_whole(body, said):
    content = [{"type": "text", "text": said[1]}] if said[0] == "text" else [
        {"type": "tool_use", "id": f"toolu_up{said[3]}", "name": said[1], "input": said[2]}]
    return {"id": "msg_up", "type": "message", "role": "assistant", "model": body["model"], "content": content,
            "stop_reason": "end_turn" if said[0] == "text" else "tool_use", "stop_sequence": None,
            "usage": {"input_tokens": 100, "output_tokens": 12}}


def chat_events(body, said):
    def chunk(delta, reason=None, **more):
        return {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1, "model": body["model"],
                "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more}

    yield None, chunk({"role": "assistant", "content": ""})
    if thinks(body) and body.get("vendor") in REASONING_MEMBERS:
        yield None, chunk({REASONING_MEMBERS[body["vendor"]]: THOUGHT})
    if said[0] == "text":
        yield None, chunk({"content": said[1]})
    else:
        call = {"index": 0, "id": f"call_up{said[3]}", "type": "function", "function": {"name": said[1], "arguments": ""}}
        yield None, chunk({"tool_calls": [call]})
        text = json.dumps(said[2])
        for piece in (text[:7], text[7:]):
            yield None, chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    yield None, chunk({}, "stop" if said[0] == "text" else "tool_calls")
    yield None, {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1, "model": body["model"], "choices": [],
                 "usage": {"prompt_tokens": 100, "completion_tokens": 12, "total_tokens": 112}}
    yield None, "[DONE]"


def chat_whole(body, said):
    message = {"role": "assistant", "content": said[1] if said[0] == "text" else None}
    if said[0] == "call":
        function = {"name": said[1], "arguments": json.dumps(said[2])}
        message["tool_calls"] = [{"id": f"call_up{said[3]}", "type": "function", "function": function}]
    return {"id": "chatcmpl-up", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop" if said[0] == "text" else "tool_calls"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 12, "total_tokens": 112}}


def responses_item(said):
    if said[0] == "text":
        part = {"type": "output_text", "text": said[1], "annotations": []}
        return {"id": "msg_up", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {"id": f"fc_up{said[3]}", "type": "function_call", "call_id": f"call_up{said[3]}", "name": said[1], "status": "completed",
            "arguments": json.dumps(said[2])}


def reasoning_item():
    summary = [{"type": "summary_text", "text": THOUGHT}]
    return {"id": "rs_up", "type": "reasoning", "summary": summary, "encrypted_content": SEALED}


def responses_whole(body, said, status="completed"):
    usage = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens": 12,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 112}
    done = status == "completed"
    thought = [reasoning_item()] if thinks(body) else []
    return {"id": "resp_up", "object": "response", "created_at": 1, "status": status, "model": body["model"],
            "output": [*thought, responses_item(said)] if done else [], "usage": usage if done else None, "tools": [],
            "parallel_tool_calls": True, "tool_choice": "auto", "metadata": {}, "error": None, "incomplete_details": None}


def responses_events(body, said):
    item, number = responses_item(said), iter(range(100))
    at = 1 if thinks(body) else 0

    def event(kind, **more):
        return kind, {"type": kind, "sequence_number": next(number), **more}

    yield event("response.created", response=responses_whole(body, said, "in_progress"))
    if at:
        thought = reasoning_item()
        place = {"item_id": "rs_up", "output_index": 0, "summary_index": 0}
        yield event("response.output_item.added", output_index=0, item={**thought, "summary": []})
        yield event("response.reasoning_summary_part.added", part={"type": "summary_text", "text": ""}, **place)
        yield event("response.reasoning_summary_text.delta", delta=THOUGHT, **place)
        yield event("response.reasoning_summary_text.done", text=THOUGHT, **place)
        yield event("response.reasoning_summary_part.done", part=thought["summary"][0], **place)
        yield event("response.output_item.done", output_index=0, item=thought)
    empty = {**item, "status": "in_progress", **({"content": []} if said[0] == "text" else {"arguments": ""})}
    yield event("response.output_item.added", output_index=at, item=empty)
    if said[0] == "text":
        place = {"item_id": item["id"], "output_index": at, "content_index": 0}
        yield event("response.content_part.added", part={"type": "output_text", "text": "", "annotations": []}, **place)
        yield event("response.output_text.delta", delta=said[1], logprobs=[], **place)
        yield event("response.output_text.done", text=said[1], logprobs=[], **place)
        yield event("response.content_part.done", part=item["content"][0], **place)
    else:
        place = {"item_id": item["id"], "output_index": at}
        yield event("response.function_call_arguments.delta", delta=item["arguments"], **place)
        yield event("response.function_call_arguments.done", arguments=item["arguments"], name=said[1], **place)
    yield event("response.output_item.done", output_index=at, item=item)
    yield event("response.completed", response=responses_whole(body, said))


def gemini_whole(body, said):
    if said[0] == "text":
        parts = [{"text": said[1]}]
    else:
        parts = [{"functionCall": {"name": said[1], "args": said[2]}, "thoughtSignature": "c2lnLW9mLXRoZS11cHN0cmVhbQ=="}]
    if thinks(body):
        parts.insert(0, {"text": THOUGHT, "thought": True})
    return {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 12, "totalTokenCount": 112},
            "modelVersion": "gemini-script", "responseId": "up"}


def converse_blocks(body, said):
    """Content blocks of Converse: thoughts, then a text or a call."""
    thought = {"reasoningText": {"text": THOUGHT, **({"signature": SEALED} if "claude" in body["model"] else {})}}
    blocks = [{"reasoningContent": thought}] if thinks(body) else []
    if said[0] == "text":
        return blocks + [{"text": said[1]}]
    return blocks + [{"toolUse": {"toolUseId": f"tooluse_up{said[3]}", "name": said[1], "input": said[2]}}]


def converse_end(said):
    usage = {"inputTokens": 100, "outputTokens": 12, "totalTokens": 112}
    return "end_turn" if said[0] == "text" else "tool_use", {"usage": usage, "metrics": {"latencyMs": 1}}


def converse_whole(body, said):
    reason, metadata = converse_end(said)
    return {"output": {"message": {"role": "assistant", "content": converse_blocks(body, said)}}, "stopReason": reason, **metadata}


def converse_events(body, said):
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(converse_blocks(body, said)):
        deltas = [{"text": block["text"]}] if "text" in block else []
        if "reasoningContent" in block:
            deltas = [{"reasoningContent": {name: value}} for name, value in block["reasoningContent"]["reasoningText"].items()]
        if "toolUse" in block:
            use = dict(block["toolUse"])
            deltas = [{"toolUse": {"input": json.dumps(use.pop("input"))}}]
            yield "contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": use}}
        for delta in deltas:
            yield "contentBlockDelta", {"contentBlockIndex": index, "delta": delta}
        yield "contentBlockStop", {"contentBlockIndex": index}
    reason, metadata = converse_end(said)
    yield "messageStop", {"stopReason": reason}
    yield "metadata", metadata


def frames(events):
    """AWS's binary event stream; the payload of a `chunk` is wrapped."""
    return b"".join(packed_line({":event-type": name, "payload": payload}) for name, payload in events)


# where these vendors write reasoning in the chat dialect
REASONING_MEMBERS = {"deepseek": "reasoning_content", "groq": "reasoning"}

WRITERS = {
    "converse": (converse_events, converse_whole),
    "invoke": (lambda body, said: (("chunk", data) for _, data in messages_events(body, said)), messages_whole),
    "messages": (messages_events, messages_whole),
    "chat": (chat_events, chat_whole),
    "responses": (responses_events, responses_whole),
    "gemini": (lambda body, said: iter([(None, gemini_whole(body, said))]), gemini_whole),
}


def dialect_of(path):
    for ending, dialect in (("/messages", "messages"), ("/chat/completions", "chat"), ("/responses", "responses")):
        if path.endswith(ending):
            return dialect
    operation = path.rsplit("/", 1)[1].split("-")[0]
    if operation in ("converse", "invoke"):
        return operation
    return "gemini" if "enerateContent" in path else None


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
        self.server.seen.append({"method": method, "path": path, "headers": headers, "body": body})
        dialect = dialect_of(path.split("?")[0])
        if not dialect:
            self.wfile.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return True
        status, kind, answer = self.answer(path.split("?")[0], dialect, body, headers)
        head = f"HTTP/1.1 {status} Status\r\ncontent-type: {kind}\r\ncontent-length: {len(answer)}\r\n\r\n"
        self.wfile.write(head.encode() + answer)
        return True


    def answer(self, path, dialect, body, headers):
        """Status, media type and bytes of the answer."""
        refused = self.server.refusal(path, body, headers)
        if refused:
            error = {"type": "invalid_request_error", "code": None, "message": refused}
            return 400, "application/json", json.dumps({"type": "error", "error": error, "message": refused}).encode()
        in_path = re.search(r"/model/([^/]+)/", path)
        body = {"model": urllib.parse.unquote(in_path[1]) if in_path else None, **body, "vendor": path.split("/")[1]}
        stream, whole = WRITERS[dialect]
        said = reply(body)
        if path.endswith("-stream"):
            return 200, "application/vnd.amazon.eventstream", frames(stream(body, said))
        if body.get("stream") or "streamGenerateContent" in path:
            return 200, "text/event-stream", sse(stream(body, said)).encode()
        return 200, "application/json", json.dumps(whole(body, said)).encode()


class Script(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def refusal(self, path, body, headers):
        """Reason for which the vendor refuses a request; this one takes everything."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"
