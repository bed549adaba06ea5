"""Checks the recordings in tests/golden with the vendors' SDKs: each recording is served unmodified to its SDK, and the
parsed result must have every value of the recording. Needs no gateway. Usage: recordings.py
"""

import http.server
import json
import sys
import threading
from pathlib import Path

import anthropic
import cohere
import groq
import mistralai.client
import ollama
import openai
import together
from google import genai
from google.genai import errors, types

from losses import lost

GOLDEN = Path(__file__).parent.parent / "golden"
HELLO = [{"role": "user", "content": "say it"}]
KINDS = {".json": "application/json", ".sse": "text/event-stream", ".ndjson": "application/x-ndjson"}


class Replay(http.server.BaseHTTPRequestHandler):
    """Serves one recording for every request."""

    protocol_version = "HTTP/1.1"
    recording = None
    status = 200

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = self.recording.read_bytes()
        self.send_response(self.status)
        self.send_header("content-type", KINDS[self.recording.suffix])
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def said(path):
    """JSON documents of a recording, in order."""
    text = path.read_text()
    if path.suffix == ".json":
        return [json.loads(text)]
    if path.suffix == ".ndjson":
        return [json.loads(line) for line in text.splitlines()]
    data = [line[len("data: ") :] for line in text.splitlines() if line.startswith("data: ")]
    # the end mark is not JSON, and the SDKs do not expose pings
    return [read for line in data if line != "[DONE]" and (read := json.loads(line)).get("type") != "ping"]


def gemini(url, streamed):
    client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=url))
    asks = {"model": "gemini-3.8-flash", "contents": "say it"}
    answers = client.models.generate_content_stream(**asks) if streamed else [client.models.generate_content(**asks)]
    return [answer.model_dump(mode="json", by_alias=True, exclude_none=True) for answer in answers]


def gemini_error(url, _):
    client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=url))
    try:
        client.models.generate_content(model="gemini-3.8-flash", contents="say it")
    except errors.ClientError as error:
        assert (error.code, bool(error.status), bool(error.message)) == (error.details["error"]["code"], True, True)
        return [error.details]
    raise AssertionError("no error was raised")


def cohere_v2(url, streamed):
    client = cohere.ClientV2(api_key="k", base_url=url)
    asks = {"model": "command-a-plus-05-2026", "messages": HELLO}
    answers = client.chat_stream(**asks) if streamed else [client.chat(**asks)]
    return [answer.model_dump(mode="json") for answer in answers]


def cohere_error(url, _):
    try:
        cohere.ClientV2(api_key="k", base_url=url).chat(model="m", messages=HELLO)
    except cohere.core.api_error.ApiError as error:
        return [error.body]
    raise AssertionError("no error was raised")


def ollama_chat(url, streamed):
    answers = ollama.Client(host=url).chat(model="qwen3:8b", messages=HELLO, stream=streamed)
    return [answer.model_dump(mode="json") for answer in (answers if streamed else [answers])]


def ollama_error(url, streamed):
    read = []
    try:
        for answer in ollama.Client(host=url).chat(model="m", messages=HELLO, stream=streamed):
            read.append(answer.model_dump(mode="json"))
    except ollama.ResponseError as error:
        return read + [{"error": error.error}]
    raise AssertionError("no error was raised")


def dumped(answers, streamed):
    return [answer.model_dump(mode="json", by_alias=True) for answer in (answers if streamed else [answers])]


def openai_chat(url, streamed):
    client = openai.OpenAI(api_key="k", base_url=url, max_retries=0)
    return dumped(client.chat.completions.create(model="m", messages=HELLO, stream=streamed), streamed)


def openai_responses(url, streamed):
    client = openai.OpenAI(api_key="k", base_url=url, max_retries=0)
    return dumped(client.responses.create(model="m", input="say it", stream=streamed), streamed)


def openai_embeddings(url, _):
    client = openai.OpenAI(api_key="k", base_url=url, max_retries=0)
    return dumped(client.embeddings.create(model="m", input="say it", encoding_format="base64"), False)


def anthropic_messages(url, streamed):
    client = anthropic.Anthropic(api_key="k", base_url=url, max_retries=0)
    return dumped(client.messages.create(model="m", max_tokens=99, messages=HELLO, stream=streamed), streamed)


def anthropic_count(url, _):
    client = anthropic.Anthropic(api_key="k", base_url=url, max_retries=0)
    return dumped(client.messages.count_tokens(model="m", messages=HELLO), False)


def groq_chat(url, streamed):
    client = groq.Groq(api_key="k", base_url=url, max_retries=0)
    return dumped(client.chat.completions.create(model="m", messages=HELLO, stream=streamed), streamed)


def mistral_chat(url, streamed):
    chat = mistralai.client.Mistral(api_key="k", server_url=url).chat
    if not streamed:
        return dumped(chat.complete(model="m", messages=HELLO), False)
    return [event.data.model_dump(mode="json", by_alias=True) for event in chat.stream(model="m", messages=HELLO)]


def mistral_embeddings(url, _):
    return dumped(mistralai.client.Mistral(api_key="k", server_url=url).embeddings.create(model="m", inputs=["a"]), False)


def together_chat(url, streamed):
    client = together.Together(api_key="k", base_url=url, max_retries=0)
    return dumped(client.chat.completions.create(model="m", messages=HELLO, stream=streamed), streamed)


def together_embeddings(url, _):
    return dumped(together.Together(api_key="k", base_url=url, max_retries=0).embeddings.create(model="m", input="a"), False)


# folder, reader, status, recordings
TABLE = [
    ("openai", openai_chat, 200, ["answer.json", "text.sse", "parallel_tools.sse"]),
    ("openai", openai_responses, 200, ["responses.json", "responses.sse"]),
    ("openai", openai_embeddings, 200, ["embeddings-float.json"]),
    ("azure", openai_chat, 200, ["answer.json", "stream.sse"]),
    ("openrouter", openai_chat, 200, ["stream.sse"]),
    ("anthropic", anthropic_messages, 200, ["answer.json", "text.sse", "thinking_tool.sse"]),
    ("anthropic", anthropic_count, 200, ["count_tokens.json"]),
    ("groq", groq_chat, 200, ["answer.json", "stream.sse"]),
    ("mistral", mistral_chat, 200, ["answer.json", "stream.sse", "tool.sse"]),
    ("mistral", mistral_embeddings, 200, ["embeddings.json"]),
    ("together", together_chat, 200, ["answer.json", "stream.sse"]),
    ("together", together_embeddings, 200, ["embeddings.json"]),
    ("gemini", gemini, 200, ["text.json", "tool.json", "blocked.json", "text.sse", "tool.sse", "blocked.sse", "malformed.sse"]),
    ("gemini", gemini_error, 429, ["limit.json"]),
    ("gemini", gemini_error, 400, ["key.json"]),
    ("cohere", cohere_v2, 200, ["text.json", "tool.json", "text.sse", "tool.sse", "failed.sse"]),
    ("cohere", cohere_error, 429, ["limit.json"]),
    ("cohere", cohere_error, 498, ["key.json"]),
    ("ollama", ollama_chat, 200, ["text.json", "tool.json", "length.json", "text.ndjson", "tool.ndjson", "unmetered.ndjson"]),
    ("ollama", ollama_error, 200, ["failed.ndjson"]),
    ("ollama", ollama_error, 404, ["unknown.json"]),
]


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Replay)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    passed = failed = 0
    for folder, read, Replay.status, names in TABLE:
        for name in names:
            Replay.recording = GOLDEN / folder / name
            try:
                recorded, understood = said(Replay.recording), read(url, Replay.recording.suffix != ".json")
                losses = lost(recorded, understood)
                assert len(recorded) == len(understood), f"{len(recorded)} were recorded, {len(understood)} read"
                assert not losses, "; ".join(losses)
                passed += 1
                print(f"recording {folder}/{name}: passed")
            except Exception as error:
                failed += 1
                print(f"recording {folder}/{name}: FAILED: {type(error).__name__}: {error}")
    print(f"recordings: {passed} passed, {failed} failed")
    server.shutdown()
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
