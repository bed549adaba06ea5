"""Checks the odd recordings in tests/golden/VENDOR/odd with the vendors' SDKs: each is served unmodified to its SDK, and what the SDK reads
must be what index.json expects, and must have every value of the recording. A limitation of the SDK is listed in the index as `sdk_says`.
Needs no gateway; ends within a bounded time. Usage: odd_recordings.py [VENDOR…]
"""

import functools
import http.server
import json
import logging
import re
import signal
import sys
import threading
import warnings
from pathlib import Path

import odd_frames
from losses import lost

GOLDEN = Path(__file__).parent.parent / "golden"
HELLO = [{"role": "user", "content": "say it"}]
SECONDS_MAX = 900
SECONDS_OF_CALL = 30
KINDS = {".json": "application/json", ".sse": "text/event-stream", ".ndjson": "application/x-ndjson", ".bin": "application/vnd.amazon.eventstream"}

# canonical finish of every vendor's word
FINISHES = {
    "stop": "stop stop_sequence end_turn pause_turn eos completed COMPLETE STOP_SEQUENCE STOP load unload",
    "length": "length model_length max_tokens max_output_tokens model_context_window_exceeded MAX_TOKENS",
    "tool": "tool_calls function_call tool_use TOOL_CALL",
    "filter": "content_filter refusal SAFETY RECITATION PROHIBITED_CONTENT SPII BLOCKLIST MODEL_ARMOR guardrail_intervened content_filtered",
    "error": "error failed ERROR TIMEOUT insufficient_system_resource malformed_tool_use malformed_model_output UNEXPECTED_TOOL_CALL "
    "TOO_MANY_TOOL_CALLS MISSING_THOUGHT_SIGNATURE MALFORMED_RESPONSE MALFORMED_FUNCTION_CALL",
}
FINISH = {word: finish for finish, words in FINISHES.items() for word in words.split()}
# HTTP status that an error's word stands for, where the error has no number
STATUS = {
    400: "invalid_request_error context_length_exceeded content_filter tool_use_failed invalid_prompt validationException",
    408: "modelTimeoutException",
    429: "rate_limit_exceeded rate_limit_error throttlingException 429",
    500: "server_error api_error internalServerException",
    503: "service_unavailable service_unavailable_error serviceUnavailableException",
    529: "overloaded_error",
}
STATUS_OF = {word: status for status, words in STATUS.items() for word in words.split()}


class Replay(http.server.BaseHTTPRequestHandler):
    """Serves one recording for every request."""

    protocol_version = "HTTP/1.1"
    recording = None

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = self.recording.read_bytes()
        self.send_response(200)
        self.send_header("content-type", KINDS[self.recording.suffix])
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Seen:
    """What an SDK read: the fields of `expect`, the documents, and the exception if it raised one."""

    def __init__(self):
        self.text = self.reasoning = ""
        self.calls, self.word, self.usage, self.error, self.raised, self.documents = [], None, None, None, None, []

    def call(self, key, name, arguments, identity=None):
        """Begins or continues a call; pieces of one call share the key, and the id if they have one."""
        one = next((call for call in reversed(self.calls) if call["key"] == key), None)
        if one is None or key is None or (identity and name and identity != one["id"]):
            one = {"key": key, "id": identity, "name": "", "arguments": ""}
            self.calls.append(one)
        one["name"] += name or ""
        one["arguments"] += arguments if isinstance(arguments, str) else "" if arguments is None else compact(arguments)

    def count(self, uncached, output, read=0, write=0, reasoning=0):
        self.usage = {"input": uncached, "cached_read": read or 0, "cached_write": write or 0, "output": output, "reasoning": reasoning or 0}

    def fail(self, kind, status=None):
        kind = str(kind) if kind else None
        self.error = {"status": status or STATUS_OF.get(kind), "kind": kind}

    def result(self):
        finish = "error" if self.error else FINISH.get(self.word, "stop") if self.word else "cut"
        finish = "tool" if finish == "stop" and self.calls else "stop" if finish == "tool" and not self.calls else finish
        if finish == "error" and not self.error:
            self.fail(None if self.word in ("error", "failed") else self.word)
        calls = [{"name": call["name"], "arguments": call["arguments"] or "{}"} for call in self.calls]
        return {"text": self.text, "reasoning": self.reasoning, "calls": calls, "finish": finish, "usage": self.usage, "error": self.error}


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def dump(model):
    return model.model_dump(mode="python", by_alias=True, exclude_unset=True)


def read_chat(seen, document, vendor):
    """A chunk or a whole answer of chat completions."""
    for choice in document.get("choices") or []:
        if choice.get("index", 0) != 0:
            continue
        delta = choice.get("delta") or choice.get("message") or {}
        seen.reasoning += delta.get("reasoning_content") or delta.get("reasoning") or ""
        content = delta.get("content") or ""
        for part in [{"text": content}] if isinstance(content, str) else content:
            seen.text += part.get("text") or ""
            seen.reasoning += "".join(thought.get("text") or "" for thought in part.get("thinking") or [])
        seen.text += delta.get("refusal") or ""
        for number, call in enumerate(delta.get("tool_calls") or []):
            function = call.get("function") or {}
            key = call.get("index", number if "message" in choice else None)
            seen.call(key, function.get("name"), function.get("arguments"), call.get("id"))
        seen.word = choice.get("finish_reason") or seen.word
    extension = document.get("x_groq") or {}
    usage = document.get("usage") or extension.get("usage")
    if usage:
        count_chat(seen, usage, vendor)
    if extension.get("error"):
        seen.fail(None)
    if isinstance(document.get("error"), dict):
        fail_chat(seen, document["error"])


def count_chat(seen, usage, vendor):
    inputs = usage.get("prompt_tokens_details") or usage.get("prompt_token_details") or {}
    read = inputs.get("cached_tokens") or usage.get("cached_tokens") or usage.get("num_cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0
    write = inputs.get("cache_write_tokens") or 0
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    # xAI counts reasoning apart from the completion
    output = usage["total_tokens"] - usage["prompt_tokens"] if vendor == "xai" else usage["completion_tokens"]
    seen.count(usage["prompt_tokens"] - read - write, output, read, write, reasoning)


def fail_chat(seen, error):
    error = error if isinstance(error, dict) else {}
    code, status = error.get("code"), error.get("status") or error.get("status_code")
    number = code if isinstance(code, int) else status if isinstance(status, int) else None
    seen.fail(error.get("type") if isinstance(code, int) or not code else code, number)


def chat_of(client, vendor, seen, streamed, failure):
    """Reads by a client in the shape of OpenAI's."""
    try:
        answer = client.chat.completions.create(model="m", messages=HELLO, stream=streamed)
        for one in answer if streamed else [answer]:
            document = dump(one)
            seen.documents.append(document)
            read_chat(seen, document, vendor)
    except failure as error:
        fail_chat(seen, error.body)


def openai_chat(url, vendor, entry, seen, streamed):
    import openai

    client = openai_client(url)
    if entry.get("api") == "responses":
        return openai_responses(client, seen, streamed, openai.APIError)
    chat_of(client, vendor, seen, streamed, openai.APIError)


@functools.cache
def openai_client(url):
    import openai

    return openai.OpenAI(api_key="k", base_url=url, max_retries=0, timeout=SECONDS_OF_CALL)


def openai_responses(client, seen, streamed, failure):
    try:
        answer = client.responses.create(model="m", input="say it", stream=streamed)
        for one in answer if streamed else [answer]:
            document = dump(one)
            seen.documents.append(document)
            read_responses(seen, document) if streamed else read_response(seen, document, True)
    except failure as error:
        fail_chat(seen, error.body)


def read_responses(seen, event):
    kind, item = event.get("type"), event.get("item") or {}
    if kind in ("response.output_text.delta", "response.refusal.delta"):
        seen.text += event["delta"]
    elif kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
        seen.reasoning += event["delta"]
    elif kind == "response.output_item.added" and item.get("type") == "function_call":
        seen.call(event["output_index"], item["name"], item["arguments"])
    elif kind == "response.function_call_arguments.delta":
        seen.call(event["output_index"], "", event["delta"])
    elif kind == "response.function_call_arguments.done":
        next(call for call in seen.calls if call["key"] == event["output_index"])["arguments"] = event["arguments"]
    elif kind == "error":
        seen.fail(event.get("code"))
    elif kind in ("response.completed", "response.incomplete", "response.failed"):
        read_response(seen, event["response"], False)


def read_response(seen, response, whole):
    for item in response["output"] if whole else []:
        seen.text += "".join(part.get("text") or part.get("refusal") for part in item["content"]) if item["type"] == "message" else ""
        seen.reasoning += "".join(part["text"] for part in item["summary"]) if item["type"] == "reasoning" else ""
        if item["type"] == "function_call":
            seen.call(None, item["name"], item["arguments"])
    seen.word = (response.get("incomplete_details") or {}).get("reason") or response["status"]
    if response.get("error"):
        seen.fail(response["error"]["code"])
    if usage := response.get("usage"):
        inputs = usage["input_tokens_details"]
        read, write = inputs["cached_tokens"], inputs["cache_write_tokens"]
        reasoning = usage["output_tokens_details"]["reasoning_tokens"]
        seen.count(usage["input_tokens"] - read - write, usage["output_tokens"], read, write, reasoning)


def groq_chat(url, vendor, entry, seen, streamed):
    import groq

    chat_of(groq.Groq(api_key="k", base_url=url, max_retries=0, timeout=SECONDS_OF_CALL), vendor, seen, streamed, groq.APIError)


def together_chat(url, vendor, entry, seen, streamed):
    import together

    chat_of(together.Together(api_key="k", base_url=url, max_retries=0, timeout=SECONDS_OF_CALL), vendor, seen, streamed, together.APIError)


def mistral_chat(url, vendor, entry, seen, streamed):
    import mistralai.client

    chat = mistralai.client.Mistral(api_key="k", server_url=url, timeout_ms=SECONDS_OF_CALL * 1000).chat
    answers = chat.stream(model="m", messages=HELLO) if streamed else [chat.complete(model="m", messages=HELLO)]
    for one in answers:
        document = (one.data if streamed else one).model_dump(mode="json", by_alias=True, exclude_unset=True)
        seen.documents.append(document)
        read_chat(seen, document, vendor)


def anthropic_messages(url, vendor, entry, seen, streamed):
    import anthropic

    client = anthropic.Anthropic(api_key="k", base_url=url, max_retries=0, timeout=SECONDS_OF_CALL)
    try:
        answer = client.messages.create(model="m", max_tokens=99, messages=HELLO, stream=streamed)
        for one in answer if streamed else [answer]:
            document = dump(one)
            seen.documents.append(document)
            read_messages(seen, document) if streamed else read_message(seen, document)
    except anthropic.APIError as error:
        body = error.body if isinstance(error.body, dict) else {}
        fail_chat(seen, {"type": (body.get("error") or {}).get("type")})


def read_messages(seen, event):
    kind = event.get("type")
    if kind == "message_start":
        read_message(seen, event["message"])
    elif kind == "content_block_start":
        read_block(seen, event["index"], event["content_block"], ("input",))
    elif kind == "content_block_delta":
        delta = event["delta"]
        seen.text += delta.get("text") or ""
        seen.reasoning += delta.get("thinking") or ""
        if event["index"] in [call["key"] for call in seen.calls]:
            seen.call(event["index"], "", delta.get("partial_json"))
    elif kind == "message_delta":
        seen.word = event["delta"].get("stop_reason") or seen.word
        count_messages(seen, event["usage"])
    elif kind == "error":
        seen.fail(event["error"]["type"])


def read_message(seen, message):
    for block in message["content"]:
        read_block(seen, None, block, ())
    seen.word = message.get("stop_reason")
    count_messages(seen, message["usage"])


def read_block(seen, index, block, placeholders):
    seen.text += block["text"] if block["type"] == "text" else ""
    seen.reasoning += block["thinking"] if block["type"] == "thinking" else ""
    if block["type"] == "tool_use":
        is_placeholder = "input" in placeholders and not block["input"]
        seen.call(index, block["name"], None if is_placeholder else block["input"], block["id"])


def count_messages(seen, usage):
    """Counts of a later event replace the earlier ones."""
    last = seen.usage or {"input": None, "cached_read": 0, "cached_write": 0, "output": None, "reasoning": 0}
    names = [("input", "input_tokens"), ("cached_read", "cache_read_input_tokens"), ("cached_write", "cache_creation_input_tokens"), ("output", "output_tokens")]
    seen.usage = {**last, **{ours: usage[theirs] for ours, theirs in names if usage.get(theirs) is not None}}
    seen.usage["reasoning"] = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or last["reasoning"]


def gemini(url, vendor, entry, seen, streamed):
    from google import genai
    from google.genai import errors, types

    client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=url, timeout=SECONDS_OF_CALL * 1000))
    asks = {"model": "gemini-3.8-flash", "contents": "say it"}
    try:
        for answer in client.models.generate_content_stream(**asks) if streamed else [client.models.generate_content(**asks)]:
            document = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
            document.pop("sdkHttpResponse", None)
            seen.documents.append(document)
            read_gemini(seen, document)
    except errors.APIError as error:
        seen.fail(error.status, error.code)


def read_gemini(seen, document):
    for candidate in document.get("candidates") or []:
        for part in (candidate.get("content") or {}).get("parts") or []:
            if part.get("thought"):
                seen.reasoning += part.get("text") or ""
            else:
                seen.text += part.get("text") or ""
            if call := part.get("functionCall"):
                seen.call(None, call["name"], call.get("args"))
        seen.word = candidate.get("finishReason") or seen.word
    if (document.get("promptFeedback") or {}).get("blockReason"):
        seen.word = "content_filter"
    if usage := document.get("usageMetadata"):
        read, thoughts = usage.get("cachedContentTokenCount") or 0, usage.get("thoughtsTokenCount") or 0
        prompt = usage["promptTokenCount"] - read + (usage.get("toolUsePromptTokenCount") or 0)
        seen.count(prompt, (usage.get("candidatesTokenCount") or 0) + thoughts, read, 0, thoughts)


def cohere_chat(url, vendor, entry, seen, streamed):
    import cohere

    client = cohere.ClientV2(api_key="k", base_url=url, timeout=SECONDS_OF_CALL)
    asks = {"model": "command-a-plus-05-2026", "messages": HELLO}
    for answer in client.chat_stream(**asks) if streamed else [client.chat(**asks)]:
        document = answer.model_dump(mode="json", exclude_unset=True)
        seen.documents.append(document)
        read_cohere(seen, document) if streamed else read_cohere_message(seen, document["message"])
        end = document if not streamed else document.get("delta") or {} if document["type"] == "message-end" else {}
        seen.word = end.get("finish_reason") or seen.word
        if end.get("usage"):
            count_cohere(seen, end["usage"])


def read_cohere(seen, event):
    message = (event.get("delta") or {}).get("message") or {}
    content, calls = message.get("content"), message.get("tool_calls")
    seen.reasoning += message.get("tool_plan") or ""
    if isinstance(content, dict):
        seen.text += content.get("text") or ""
        seen.reasoning += content.get("thinking") or ""
    if isinstance(calls, dict):
        function = calls.get("function") or {}
        seen.call(event.get("index"), function.get("name"), function.get("arguments"), calls.get("id"))


def read_cohere_message(seen, message):
    for part in message.get("content") or []:
        seen.text += part.get("text") or ""
        seen.reasoning += part.get("thinking") or ""
    seen.reasoning += message.get("tool_plan") or ""
    for call in message.get("tool_calls") or []:
        seen.call(None, call["function"]["name"], call["function"]["arguments"])


def count_cohere(seen, usage):
    billed = usage.get("billed_units")
    tokens, read = billed or usage["tokens"], 0 if billed else int(usage.get("cached_tokens") or 0)
    seen.count(int(tokens["input_tokens"]) - read, int(tokens["output_tokens"]), read)


def ollama_chat(url, vendor, entry, seen, streamed):
    import ollama

    try:
        answers = ollama.Client(host=url, timeout=SECONDS_OF_CALL).chat(model="gpt-oss:20b", messages=HELLO, stream=streamed)
        for answer in answers if streamed else [answers]:
            document = answer.model_dump(mode="json")
            seen.documents.append(document)
            read_ollama(seen, document)
    except ollama.ResponseError as error:
        seen.fail(None)
        # the SDK's status for an error inside a stream
        assert error.status_code in (-1, 200), error.status_code


def read_ollama(seen, document):
    message = document["message"]
    seen.reasoning += message.get("thinking") or ""
    seen.text += message.get("content") or ""
    for call in message.get("tool_calls") or []:
        seen.call(None, call["function"]["name"], call["function"]["arguments"])
    if document.get("done"):
        seen.word = document.get("done_reason") or "stop"
    prompt, output = document.get("prompt_eval_count"), document.get("eval_count")
    if prompt is not None or output is not None:
        seen.count(prompt, output)


@functools.cache
def bedrock_client(url):
    import botocore.session
    from botocore.config import Config

    session = botocore.session.get_session()
    session.set_credentials("k", "s")
    settings = Config(retries={"total_max_attempts": 1}, read_timeout=SECONDS_OF_CALL)
    return session.create_client("bedrock-runtime", region_name="eu-central-1", endpoint_url=url, config=settings)


def bedrock(url, vendor, entry, seen, streamed):
    from botocore.exceptions import EventStreamError

    client = bedrock_client(url)
    asks = {"modelId": "m", "messages": [{"role": "user", "content": [{"text": "say it"}]}]}
    try:
        if entry["operation"] == "converse":
            read_converse_answer(seen, client.converse(**asks))
        elif entry["operation"] == "invoke":
            for event in client.invoke_model_with_response_stream(modelId="m", body=b"{}")["body"]:
                read_messages(seen, json.loads(event["chunk"]["bytes"]))
        else:
            for event in client.converse_stream(**asks)["stream"]:
                read_converse(seen, event)
    except EventStreamError as error:
        seen.fail(error.response["Error"]["Code"], error.response.get("originalStatusCode"))


def read_converse(seen, event):
    start, delta = event.get("contentBlockStart"), event.get("contentBlockDelta")
    if start and "toolUse" in start["start"]:
        use = start["start"]["toolUse"]
        if use.get("type") != "server_tool_use":
            seen.call(start["contentBlockIndex"], use["name"], "", use["toolUseId"])
    if delta:
        index, delta = delta["contentBlockIndex"], delta["delta"]
        seen.text += delta.get("text") or ""
        seen.reasoning += (delta.get("reasoningContent") or {}).get("text") or ""
        if "toolUse" in delta and index in [call["key"] for call in seen.calls]:
            seen.call(index, "", delta["toolUse"]["input"])
    if stop := event.get("messageStop"):
        seen.word = stop["stopReason"]
    if metadata := event.get("metadata"):
        count_converse(seen, metadata["usage"])


def read_converse_answer(seen, answer):
    for block in answer["output"]["message"]["content"]:
        seen.text += block.get("text") or ""
        seen.text += "".join(one["text"] for one in (block.get("citationsContent") or {}).get("content") or [])
        seen.reasoning += ((block.get("reasoningContent") or {}).get("reasoningText") or {}).get("text") or ""
        if "toolUse" in block and block["toolUse"].get("type") != "server_tool_use":
            seen.call(None, block["toolUse"]["name"], block["toolUse"]["input"])
    seen.word = answer["stopReason"]
    count_converse(seen, answer["usage"])


def count_converse(seen, usage):
    seen.count(usage["inputTokens"], usage["outputTokens"], usage.get("cacheReadInputTokens"), usage.get("cacheWriteInputTokens"))


def recorded(path):
    """JSON documents of a text recording that an SDK hands on: no end mark, no ping, no error, nothing unfinished."""
    text = path.read_text().replace("\r\n", "\n")
    if path.suffix == ".json":
        return [json.loads(text)]
    if path.suffix == ".ndjson":
        data = text.splitlines()
    else:
        blocks = [[line for line in block.split("\n") if line.startswith("data:")] for block in text.split("\n\n")[:-1]]
        data = ["\n".join(line[5:].removeprefix(" ") for line in lines) for lines in blocks if lines]
    documents = []
    for one in data:
        if one and one != "[DONE]":
            document = json.loads(one)
            is_error = document.get("type") == "error" and "error" in document
            if document.get("type") != "ping" and not is_error and ("error" not in document or document["error"] is None):
                documents.append(document)
    return documents


def differences(entry, seen, path):
    """Differences between the index and what the SDK read."""
    says = dict(entry.get("sdk_says") or {})
    raises = says.pop("raises", None)
    says.pop("reason", None)
    if (raises or seen.raised) and raises != (seen.raised and type(seen.raised).__name__):
        return [f"raised {type(seen.raised).__name__}: {str(seen.raised)[:200]}, expected {raises}"]
    if raises:
        return []
    found, expect = seen.result(), {**entry["expect"], **says}
    differ = [f"{name}: {short(found[name])} for {short(expect[name])}" for name in expect if name != "plan_first" and not same(name, expect[name], found[name])]
    if path.suffix == ".bin" or entry["expect"]["error"] or entry.get("operation"):
        return differ
    documents = recorded(path)
    if len(documents) != len(seen.documents):
        return differ + [f"{len(documents)} documents were recorded, {len(seen.documents)} read"]
    losses = [loss for one, read in zip(documents, seen.documents) for loss in lost(one, read)]
    # members that an SDK's closed types leave out
    allowed = entry.get("sdk_drops") or []
    return differ + [loss for loss in losses if not any(re.search(name, loss) for name in allowed)][:3]


def short(value):
    text = compact(value)
    return text if len(text) < 160 else f"{text[:80]}…({len(text)})"


def same(name, expected, found):
    if name == "calls":
        return [(call["name"], parsed(call["arguments"])) for call in expected] == [(call["name"], parsed(call["arguments"])) for call in found]
    if name in ("text", "reasoning"):
        return expected == re.sub("[\ud800-\udfff]", " ", found)
    if name == "usage" and expected and found:
        # a null count is not known at the end of the recording
        return all(expected[count] in (None, found[count]) for count in expected)
    return expected == found


def parsed(arguments):
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


READERS = {
    "openai": openai_chat,
    "anthropic": anthropic_messages,
    "gemini": gemini,
    "bedrock": bedrock,
    "azure": openai_chat,
    "mistral": mistral_chat,
    "groq": groq_chat,
    "cohere": cohere_chat,
    "ollama": ollama_chat,
    "together": together_chat,
    "deepseek": openai_chat,
    "xai": openai_chat,
    "openrouter": openai_chat,
}


def check(url, vendor, entry):
    path = GOLDEN / vendor / "odd" / entry.get("packed", entry["file"])
    if "packed" in entry:
        assert odd_frames.pack(path.with_suffix(".jsonl").read_text()) == path.read_bytes(), "the packed file is out of date"
    Replay.recording, seen = path, Seen()
    try:
        READERS[vendor](url, vendor, entry, seen, path.suffix != ".json")
    except Exception as error:
        seen.raised = error
    return differences(entry, seen, path)


def main(vendors):
    signal.alarm(SECONDS_MAX)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Replay)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    passed = failed = 0
    for vendor in vendors or READERS:
        for entry in json.loads((GOLDEN / vendor / "odd" / "index.json").read_text()):
            differ = check(url, vendor, entry)
            passed, failed = passed + (not differ), failed + bool(differ)
            note = f" (SDK: {entry['sdk_says']['reason']})" if "sdk_says" in entry and not differ else ""
            print(f"odd {vendor}/{entry['file']}: {'FAILED: ' + '; '.join(differ) if differ else 'passed'}{note}")
    print(f"odd recordings: {passed} passed, {failed} failed")
    server.shutdown()
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
