"""Answers of vendors to one request, in their own dialects, with the usage of a record. Prices nothing."""

SEARCH = {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search"}}
ITEMS = {
    "web_search": SEARCH, "web_search_preview": SEARCH,
    "file_search": {"type": "file_search_call", "id": "f", "status": "completed", "queries": ["x"]},
    "code_interpreter": {"type": "code_interpreter_call", "status": "completed"},
}
EXECUTED = {"browser_search": "browser.search", "browser_open": "browser.open"}


def filled(members):
    return {name: value for name, value in members.items() if value}


def openai_details(record):
    written = record.count("write") + record.count("write_12h")
    lifetimes = {"ttl_30m_tokens": record.count("write"), "ttl_12h_tokens": record.count("write_12h")}
    prompt = {"cached_tokens": record.count("cache_read"), "cache_write_tokens": written, "audio_tokens": record.count("audio_in")}
    if written:
        prompt["cache_write_tokens_details"] = lifetimes
    output = {"reasoning_tokens": record.count("reasoning"), "audio_tokens": record.count("audio_out")}
    return filled(prompt), filled(output)


def chat(record):
    prompt, output = openai_details(record)
    total = record.prompt() + record.output()
    usage = {"prompt_tokens": record.prompt(), "completion_tokens": record.output(), "total_tokens": total,
             "prompt_tokens_details": prompt, "completion_tokens_details": output}
    if record.provider == "deepseek":
        usage["prompt_cache_hit_tokens"] = record.count("cache_read")
    message = {"role": "assistant", "content": "hi"}
    executed = [name for tool, uses in record.tools.items() for name in [EXECUTED[tool]] * uses]
    if executed:
        message["executed_tools"] = [{"index": at, "type": name, "arguments": "{}"} for at, name in enumerate(executed)]
    answer = {"id": "a", "object": "chat.completion", "model": record.model, "usage": usage,
              "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    return answer | ({"service_tier": record.tier} if record.tier != "standard" else {})


def responses(record):
    prompt, output = openai_details(record)
    items = [ITEMS[tool] | ({"container_id": f"c{use}"} if tool == "code_interpreter" else {})
             for tool, uses in record.tools.items() for use in range(uses)]
    usage = {"input_tokens": record.prompt(), "output_tokens": record.output(), "total_tokens": record.prompt() + record.output(),
             "input_tokens_details": prompt, "output_tokens_details": output}
    answer = {"id": "r", "object": "response", "status": "completed", "model": record.model, "output": items,
              "tools": [{"type": tool} for tool in record.tools], "usage": usage}
    return answer | ({"service_tier": record.tier} if record.tier != "standard" else {})


def messages(record):
    five, hour = record.count("write"), record.count("write_1h")
    usage = {"input_tokens": record.count("input"), "output_tokens": record.output(), "cache_read_input_tokens": record.count("cache_read"),
             "cache_creation_input_tokens": five + hour,
             "cache_creation": {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour},
             "output_tokens_details": {"thinking_tokens": record.count("reasoning")}, "service_tier": record.tier}
    usage |= filled({"speed": record.speed, "inference_geo": record.geo})
    usage |= filled({"server_tool_use": filled({"web_search_requests": record.tools.get("web_search", 0)})})
    return {"id": "a", "type": "message", "role": "assistant", "model": record.model, "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "hi"}], "usage": usage}


def gemini(record):
    audio_in, audio_cached = record.count("audio_in"), record.count("audio_cached")
    cached = record.count("cache_read") + audio_cached
    audio_out, image_out = record.count("audio_out"), record.count("image_out")
    by_kind = lambda total, **kinds: [{"modality": kind, "tokenCount": count} for kind, count in kinds.items() if count] + [
        {"modality": "TEXT", "tokenCount": total - sum(kinds.values())}]
    candidates = record.output() - record.count("reasoning")
    usage = {"promptTokenCount": record.prompt(), "candidatesTokenCount": candidates, "thoughtsTokenCount": record.count("reasoning"),
             "totalTokenCount": record.prompt() + record.output(), "cachedContentTokenCount": cached,
             "promptTokensDetails": by_kind(record.prompt(), AUDIO=audio_in + audio_cached),
             "cacheTokensDetails": by_kind(cached, AUDIO=audio_cached),
             "candidatesTokensDetails": by_kind(candidates, AUDIO=audio_out, IMAGE=image_out)}
    if record.tier != "standard":
        usage["serviceTier"] = record.tier
    content = {"role": "model", "parts": [{"text": "hi"}]}
    return {"candidates": [{"index": 0, "content": content, "finishReason": "STOP"}], "modelVersion": record.model, "usageMetadata": usage}


def converse(record):
    five, hour = record.count("write"), record.count("write_1h")
    usage = {"inputTokens": record.count("input"), "outputTokens": record.output(), "totalTokens": record.prompt() + record.output(),
             "cacheReadInputTokens": record.count("cache_read"), "cacheWriteInputTokens": five + hour,
             "cacheDetails": [{"ttl": ttl, "inputTokens": count} for ttl, count in (("5m", five), ("1h", hour)) if count]}
    answer = {"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": "end_turn", "usage": usage}
    return answer | ({"serviceTier": {"type": record.tier}} if record.tier != "standard" else {})


def cohere(record):
    units = {"input_tokens": record.prompt(), "output_tokens": record.output()}
    return {"id": "a", "finish_reason": "COMPLETE", "message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]},
            "usage": {"billed_units": units, "tokens": units}}


def embedding(record):
    return {"object": "list", "model": record.model, "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
            "usage": {"prompt_tokens": record.prompt(), "total_tokens": record.prompt()}}


def answer(record):
    if record.mode == "embedding":
        return embedding(record)
    by_vendor = {"anthropic": messages, "gemini": gemini, "bedrock": converse, "cohere": cohere}
    return by_vendor.get(record.provider, responses if record.mode == "responses" else chat)(record)


def request(record):
    """Path and body of the client's request."""
    turn = [{"role": "user", "content": "hi"}]
    if record.mode == "embedding":
        return "/v1/embeddings", {"input": "hi"}
    if record.provider == "anthropic":
        return "/v1/messages", {"messages": turn, "max_tokens": 50}
    if record.mode == "responses":
        return "/v1/responses", {"input": "hi", "max_output_tokens": 50, "tools": [{"type": tool} for tool in record.tools]}
    return "/v1/chat/completions", {"messages": turn, "max_tokens": 50}
