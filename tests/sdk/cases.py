"""Python clients in their usual form. Each case prints one line, which stage.py counts."""

import json
import os
import sys
import traceback
import urllib.request

import anthropic
import openai
import pydantic
from openai.types.responses import Response, ResponseStreamEvent

URL, KEY, POOR = os.environ["GK_URL"], os.environ["GK_KEY"], os.environ["GK_POOR_KEY"]
WORDS = "Grüße aus dem Wald 🌲"
HELLO = [{"role": "user", "content": "hello"}]
CHAT_TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("get_weather", "get_time")
]
MESSAGE_TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in ("get_weather", "get_time")]
CASES = []


def case(function):
    CASES.append(function)
    return function


def chat(key=KEY, **more):
    return openai.OpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0, timeout=20, **more)


def claude(key=KEY, **more):
    return anthropic.Anthropic(base_url=URL, api_key=key, max_retries=0, timeout=20, **more)


def seen_last():
    with urllib.request.urlopen(os.environ["GK_SEEN"], timeout=10) as answer:
        return json.loads(answer.read())[-1]


def raises(kind, status, call):
    try:
        call()
    except kind as error:
        assert type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}"
        assert error.status_code == status, f"{error.status_code} instead of {status}: {error}"
        return error
    raise AssertionError(f"no {kind.__name__}")


def code(error):
    return error.body["code"]


def word(error):
    return error.body["error"]["type"]


@case
def openai_chat():
    answer = chat().chat.completions.create(model="o-text", messages=HELLO)
    assert answer.choices[0].message.content == WORDS
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (19, 7)
    assert answer.model == "o-text-2026-10-01" and answer.model_extra["x_unknown"] == {"kept": [1.0, "é"]}


@case
def openai_chat_says_what_it_cost():
    answer = chat().chat.completions.with_raw_response.create(model="o-text", messages=HELLO, max_tokens=50)
    assert answer.headers["x-gatekeeper-cost-usd"].rstrip("0") == "0.000054", answer.headers
    assert answer.headers["x-gatekeeper-provider"] == "chatty"
    assert answer.headers["x-gatekeeper-request-id"].startswith("req_")


def cached(**more):
    """One answer of the cache for both languages: only the first request of all is a miss."""
    return chat().chat.completions.with_raw_response.create(model="cached", messages=HELLO, max_tokens=64, temperature=0.5, **more)


@case
def cache_shares_an_answer_between_whole_and_streamed():
    first = cached()
    assert first.headers["x-gatekeeper-cache"] == "miss", first.headers
    assert first.parse().choices[0].message.content == WORDS
    again = cached()
    assert again.headers["x-gatekeeper-cache"] == "exact", again.headers
    assert again.parse().choices[0].message.content == WORDS
    assert again.parse().id != first.parse().id
    assert again.parse().usage.total_tokens == first.parse().usage.total_tokens
    streamed = cached(stream=True)
    assert streamed.headers["x-gatekeeper-cache"] == "exact", streamed.headers
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed.parse() if chunk.choices) == WORDS


@case
def openai_stream():
    chunks = list(chat().chat.completions.create(model="o-text", messages=HELLO, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == WORDS
    assert seen_last()["body"]["stream_options"]["include_usage"] is True
    assert not [chunk for chunk in chunks if chunk.usage or not chunk.choices], "a usage chunk nobody asked for"
    assert chunks[-1].choices[0].finish_reason == "stop"


@case
def openai_stream_with_usage():
    options = {"include_usage": True}
    chunks = list(chat().chat.completions.create(model="o-text", messages=HELLO, stream=True, stream_options=options))
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    assert len(usages) == 1 and chunks[-1].usage.total_tokens == 26


@case
def openai_tools():
    messages = [*HELLO]
    answer = chat().chat.completions.create(model="o-tools", messages=messages, tools=CHAT_TOOLS, tool_choice="auto")
    calls = answer.choices[0].message.tool_calls
    assert [(call.id, call.function.name) for call in calls] == [("call_Ab1", "get_weather"), ("call_Ab2", "get_time")]
    assert json.loads(calls[0].function.arguments) == {"city": "Köln", "days": 3}
    messages.append(answer.choices[0].message)
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in calls]
    answer = chat().chat.completions.create(model="o-tools", messages=messages, tools=CHAT_TOOLS)
    assert answer.choices[0].message.content == "3 days of rain"
    sent = seen_last()["body"]["messages"]
    assert sent[1]["tool_calls"][0]["function"]["arguments"] == calls[0].function.arguments and len(sent) == 4


@case
def openai_tools_stream():
    with chat().chat.completions.stream(model="o-tools", messages=HELLO, tools=CHAT_TOOLS) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert [call.function.arguments for call in calls] == ['{"city":"Köln","days":3}', "{}"]
    assert final.choices[0].finish_reason == "tool_calls"


@case
def openai_models():
    models = chat().models.list().data
    names = [model.id for model in models]
    assert "o-text" in names and "c-text" in names, names
    assert "o-other" not in names, "a model that the key may not call"
    assert all(model.object == "model" and model.owned_by for model in models)


@case
def openai_wrong_key():
    error = raises(openai.AuthenticationError, 401, lambda: chat("sk-gk-ci-wrong").models.list())
    assert code(error) == "authentication_error"
    call = lambda: chat("sk-nonsense").chat.completions.create(model="o-text", messages=HELLO)
    raises(openai.AuthenticationError, 401, call)


@case
def openai_model_not_allowed():
    call = lambda: chat().chat.completions.create(model="o-other", messages=HELLO)
    assert code(raises(openai.PermissionDeniedError, 403, call)) == "model_not_allowed"


@case
def openai_unknown_model():
    call = lambda: chat(POOR).chat.completions.create(model="no-such-model", messages=HELLO)
    assert code(raises(openai.NotFoundError, 404, call)) == "model_not_found"


@case
def openai_over_budget():
    client = openai.OpenAI(base_url=f"{URL}/v1", api_key=POOR, max_retries=2)
    call = lambda: client.chat.completions.create(model="o-text", messages=HELLO)
    assert code(raises(openai.APIStatusError, 402, call)) == "budget_exceeded"


@case
def openai_bad_request_of_the_upstream():
    error = raises(openai.BadRequestError, 400, lambda: chat().chat.completions.create(model="o-400", messages=HELLO))
    assert "string too long" in str(error)


@case
def openai_bad_request_of_ours():
    call = lambda: chat().chat.completions.create(model="o-text", messages=HELLO, stream="perhaps")
    raises(openai.BadRequestError, 400, call)


@case
def openai_rate_limit_of_the_upstream():
    error = raises(openai.RateLimitError, 429, lambda: chat().chat.completions.create(model="o-429", messages=HELLO))
    assert error.response.headers["retry-after"] == "7"


@case
def openai_upstream_failures_are_not_the_users():
    for model in ("o-500", "o-401"):
        call = lambda: chat().chat.completions.create(model=model, messages=HELLO)
        error = raises(openai.InternalServerError, 502, call)
        assert code(error) == "upstream_error" and "4242" not in str(error)


@case
def openai_truncated_stream_is_an_error():
    words = []
    try:
        for chunk in chat().chat.completions.create(model="o-cut", messages=HELLO, stream=True):
            words += [chunk.choices[0].delta.content or ""] if chunk.choices else []
    except openai.APIError:
        assert "".join(words) == "Grüße aus dem"
        return
    raise AssertionError("a truncated stream ended as if it were whole")


def fits(events):
    """Checks that every event has the fields required by the SDK's types and that numbers have no gap; returns the types."""
    types = pydantic.TypeAdapter(ResponseStreamEvent)
    known = [event for event in events if event.type != "response.tide"]
    for event in known:
        types.validate_python(event.to_dict(mode="json"))
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(numbers))), numbers
    return [event.type for event in events]


@case
def openai_responses_of_openai_itself():
    answer = chat().responses.create(model="r-all", input="hello")
    assert answer.output_text == "Ein 🦀 läuft." and answer.usage.input_tokens_details.cached_tokens == 1500
    kinds = fits(list(chat().responses.create(model="r-all", input="hello", stream=True)))
    assert "response.tide" in kinds and kinds[-1] == "response.completed"
    items = [item.to_dict() for item in answer.output]
    chat().responses.create(model="r-all", input=items, store=False)
    assert seen_last()["body"]["input"] == items


@case
def openai_responses_of_a_chat_vendor():
    answer = chat().responses.create(model="o-text", input="hello", instructions="be brief")
    assert answer.output_text == WORDS and (answer.usage.input_tokens, answer.usage.output_tokens) == (19, 7)
    Response.model_validate(answer.to_dict(mode="json"))
    assert [message["role"] for message in seen_last()["body"]["messages"]] == ["system", "user"]
    kinds = fits(list(chat().responses.create(model="o-text", input="hello", stream=True)))
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] == "response.completed", kinds


@case
def openai_responses_of_anthropic_accumulate():
    fits(list(chat().responses.create(model="c-think", input="hello", stream=True)))
    with chat().responses.stream(model="c-think", input="hello") as stream:
        final = stream.get_final_response()
    thoughts = final.output[0]
    assert thoughts.type == "reasoning" and thoughts.summary[0].text == "First think."
    again = [thoughts.to_dict(), {"role": "user", "content": "and?"}]
    list(chat().responses.create(model="c-think", input=again, stream=True))
    sent = seen_last()["body"]["messages"]
    assert "EqQBCgIYAhIkSIGNATURE==" in json.dumps(sent), f"{again} {sent}"
    chat().responses.create(model="c-text", input=again)
    sent = seen_last()["body"]["messages"]
    assert "SIGNATURE" not in json.dumps(sent), f"another model's: {sent}"


@case
def openai_responses_tools_of_anthropic():
    tools = [{**tool["function"], "type": "function", "strict": None} for tool in CHAT_TOOLS]
    answer = chat().responses.create(model="c-tools", input="hello", tools=tools)
    calls = [item for item in answer.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    assert json.loads(calls[0].arguments) == {"city": "Köln", "days": 3}


@case
def openai_responses_truncated_stream_is_an_error():
    for model in ("o-cut", "c-cut"):
        kinds = []
        try:
            for event in chat().responses.create(model=model, input="hello", stream=True):
                kinds.append(event.type)
        except openai.APIError as error:
            assert "response.output_text.delta" in kinds and "broke off" in str(error), f"{kinds} {error}"
        else:
            raise AssertionError("a truncated stream ended as if it were whole")


@case
def openai_responses_refusals():
    call = lambda: chat(POOR).responses.create(model="o-text", input="hello")
    assert code(raises(openai.APIStatusError, 402, call)) == "budget_exceeded"
    call = lambda: chat().responses.create(model="o-text", input="hello", background=True)
    raises(openai.InternalServerError, 501, call)


@case
def anthropic_messages():
    answer = claude().messages.create(model="c-text", messages=HELLO, max_tokens=100)
    assert answer.content[0].text == WORDS and answer.stop_reason == "end_turn"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (21, 9)
    assert seen_last()["body"] == {"model": "c-text", "messages": HELLO, "max_tokens": 100}


@case
def anthropic_messages_by_x_api_key_and_with_betas():
    betas = "context-1m-2025-08-07,other-2026-01-01"
    headers = {"x-api-key": KEY, "anthropic-beta": betas, "authorization": anthropic.omit}
    claude().messages.create(model="c-text", messages=HELLO, max_tokens=100, extra_headers=headers)
    sent = seen_last()["headers"]
    assert sent["anthropic-beta"] == betas and sent["anthropic-version"], sent


@case
def anthropic_stream():
    with claude().messages.stream(model="c-text", messages=HELLO, max_tokens=100) as stream:
        assert "".join(stream.text_stream) == WORDS
        final = stream.get_final_message()
    assert (final.usage.input_tokens, final.usage.output_tokens, final.stop_reason) == (21, 9, "end_turn")


@case
def anthropic_thinking_stream_keeps_its_signature():
    with claude().messages.stream(model="c-think", messages=HELLO, max_tokens=100) as stream:
        thinking, redacted, text = stream.get_final_message().content
    assert (thinking.thinking, thinking.signature) == ("First think.", "EqQBCgIYAhIkSIGNATURE==")
    assert redacted.data == "EmwKAhgBEgyREDACTED==" and text.text == "Then speak."


@case
def anthropic_tools():
    messages = [*HELLO]
    answer = claude().messages.create(model="c-tools", messages=messages, max_tokens=100, tools=MESSAGE_TOOLS)
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert [(call.id, call.name) for call in calls] == [("toolu_01", "get_weather"), ("toolu_02", "get_time")]
    assert calls[0].input == {"city": "Köln", "days": 3} and answer.stop_reason == "tool_use"
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"} for call in calls]
    messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    answer = claude().messages.create(model="c-tools", messages=messages, max_tokens=100, tools=MESSAGE_TOOLS)
    assert answer.content[0].text == "3 days of rain"


@case
def anthropic_tools_stream():
    with claude().messages.stream(model="c-tools", messages=HELLO, max_tokens=100, tools=MESSAGE_TOOLS) as stream:
        final = stream.get_final_message()
    assert [block.input for block in final.content if block.type == "tool_use"] == [{"city": "Köln", "days": 3}, {}]


@case
def anthropic_models():
    names = [model.id for model in claude().models.list(limit=1)]
    assert "c-text" in names and "c-other" not in names, names
    assert len(names) == len(set(names)), "pages overlap"
    first = claude().models.list().data[0]
    assert first.type == "model" and first.display_name and first.created_at


@case
def anthropic_wrong_key():
    call = lambda: claude("sk-gk-ci-wrong").messages.create(model="c-text", messages=HELLO, max_tokens=100)
    error = raises(anthropic.AuthenticationError, 401, call)
    assert word(error) == "authentication_error" and error.body["request_id"]


@case
def anthropic_model_not_allowed():
    call = lambda: claude().messages.create(model="c-other", messages=HELLO, max_tokens=100)
    assert word(raises(anthropic.PermissionDeniedError, 403, call)) == "permission_error"


@case
def anthropic_unknown_model():
    call = lambda: claude(POOR).messages.create(model="no-such-model", messages=HELLO, max_tokens=100)
    assert word(raises(anthropic.NotFoundError, 404, call)) == "not_found_error"


@case
def anthropic_over_budget():
    call = lambda: claude(POOR).messages.create(model="c-text", messages=HELLO, max_tokens=100)
    assert word(raises(anthropic.PaymentRequiredError, 402, call)) == "billing_error"


@case
def anthropic_bad_request_of_the_upstream():
    call = lambda: claude().messages.create(model="c-400", messages=HELLO, max_tokens=100)
    error = raises(anthropic.BadRequestError, 400, call)
    assert word(error) == "invalid_request_error" and "valid list" in str(error)


@case
def anthropic_missing_max_tokens():
    call = lambda: claude().post("/v1/messages", cast_to=object, body={"model": "c-text", "messages": HELLO})
    error = raises(anthropic.BadRequestError, 400, call)
    assert "max_tokens" in str(error)


@case
def anthropic_rate_limit_of_the_upstream():
    call = lambda: claude().messages.create(model="c-429", messages=HELLO, max_tokens=100)
    error = raises(anthropic.RateLimitError, 429, call)
    assert error.response.headers["retry-after"] == "7" and word(error) == "rate_limit_error"


@case
def anthropic_upstream_failures_are_not_the_users():
    for model in ("c-500", "c-529", "c-401"):
        try:
            claude().messages.create(model=model, messages=HELLO, max_tokens=100)
        except anthropic.APIStatusError as error:
            assert error.status_code in (502, 503, 529), f"{model}: {error.status_code}"
            assert word(error) in ("api_error", "overloaded_error")
        else:
            raise AssertionError(f"{model}: no error")


@case
def anthropic_truncated_stream_is_an_error():
    words = []
    try:
        with claude().messages.stream(model="c-cut", messages=HELLO, max_tokens=100) as stream:
            words.extend(stream.text_stream)
    except anthropic.APIError:
        assert "".join(words) == "Grüße aus"
        return
    raise AssertionError("a truncated stream ended as if it were whole")


ODD = [{"role": "user", "content": "x-odd-lines"}]


@case
def openai_stream_with_id_lines_pings_and_a_cost_has_no_event_of_a_comment():
    with chat().chat.completions.create(model="o-text", messages=ODD, stream=True) as stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == WORDS, text


@case
def openai_responses_stream_with_id_lines_pings_and_a_cost_has_no_event_of_a_comment():
    with chat().responses.create(model="r-all", input="x-odd-lines", stream=True) as stream:
        kinds = [event.type for event in stream]
    assert kinds[-1] == "response.completed", kinds


@case
def anthropic_stream_with_id_lines_pings_and_a_cost_has_no_event_of_a_comment():
    with claude().messages.stream(model="c-text", messages=ODD, max_tokens=100) as stream:
        text = "".join(stream.text_stream)
    assert text == WORDS, text


def main():
    failed = 0
    for function in CASES:
        name = "python " + function.__name__.replace("_", " ")
        try:
            function()
            print(f"{name}: passed", flush=True)
        except Exception as fault:
            failed += 1
            print(f"{name}: FAILED: {type(fault).__name__}: {fault}".replace("\n", " "), flush=True)
            traceback.print_exc()
    return 1 if failed else 0


sys.exit(main())
