"""Structured output by Pydantic models with bounds (`ge`, `le`, lengths), through LangChain as it comes, at strict vendors that refuse the
keywords of bounds: the vendor takes the schema, its bounds stand in the descriptions, the header names the change, and the model is filled.
Usage: structured.py BINARY
"""

import json
import sys
import tempfile
from pathlib import Path

import agents
import httpx
import script
import strict_vendors
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

ANSWER = {"name": "Ada", "age": 36, "tags": ["math"]}
# provider, model, vendor of the strict rules
ADDED = ("anthropic-strict", "anthropic", "/anthropic-strict/v1", "claude-sonnet-4-6")
MODELS = ["anthropic-strict/claude-sonnet-4-6", "bedrock-claude/anthropic.claude-opus-4-6-v1", "gemini-strict/gemini-3.8-flash"]
# of arrays Claude takes the smallest length of 0 or 1
BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "maxItems")


class Person(BaseModel):
    """A person."""

    name: str = Field(min_length=1, max_length=40)
    age: int = Field(ge=0, le=120, description="age in years")
    tags: list[str] = Field(min_length=1, max_length=3)


def said(body):
    """The answer: a call of the tool where the model must call one, else the text."""
    tools = list(script.tool_names(body))
    if tools:
        return "call", tools[0], ANSWER, 1
    return "text", json.dumps(ANSWER)


def schemas(value):
    """Objects in a body that describe properties."""
    if isinstance(value, dict):
        if isinstance(value.get("properties"), dict) and "age" in value["properties"]:
            yield value
        for inner in value.values():
            yield from schemas(inner)
    elif isinstance(value, str) and value.startswith("{"):
        # Bedrock's Converse has the schema as a text
        yield from schemas(json.loads(value))
    elif isinstance(value, list):
        for inner in value:
            yield from schemas(inner)


def fault_of(stage, model, method, streamed):
    """Nothing, or what is wrong with one structured answer."""
    named = []
    hooks = {"response": [lambda response: named.append(response.headers.get("x-gatekeeper-dropped-params", ""))]}
    client = ChatOpenAI(
        model=model, base_url=f"{stage.url}/v1", api_key=stage.key, max_retries=0, http_client=httpx.Client(event_hooks=hooks),
    )
    chain = client.with_structured_output(Person, method=method, include_raw=True)
    refused, before = len(stage.strict.refused), len(stage.strict.seen)
    if streamed:
        answer = {}
        for part in chain.stream("Who is Ada?"):
            answer.update(part)
    else:
        answer = chain.invoke("Who is Ada?")
    if stage.strict.refused[refused:] or len(stage.strict.seen) != before + 1:
        return f"the vendor refused {stage.strict.refused[refused:]} of {len(stage.strict.seen) - before} calls"
    if answer["parsed"] != Person(**ANSWER):
        return f"the answer is {answer}"
    if len(named) != 1:
        return f"the client asked {len(named)} times"
    sent = list(schemas(stage.strict.seen[-1]["body"]))
    if len(sent) != 1:
        return f"{len(sent)} schemas went up: {stage.strict.seen[-1]['body']}"
    if model.startswith("gemini"):
        return None
    if method == "function_calling":
        # the tool is not strict, and its schema may have bounds
        return None
    age = sent[0]["properties"]["age"]
    if any(f'"{word}":' in json.dumps(sent) for word in BOUNDS):
        return f"bounds went up: {sent}"
    if any(text not in age["description"] for text in ("age in years", "minimum: 0", "maximum: 120")):
        return f"the bounds are not in the description: {age}"
    return None if "response_format" in named[0] else f"the header names {named[0]!r}"


def main(binary):
    strict_vendors.TARGETS.append(ADDED)
    strict_vendors.VENDOR_AT["anthropic-strict"] = "anthropic"
    script.reply = said
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="gatekeeper-structured-") as folder:
        stage = agents.Stage(binary, folder)
        try:
            for model in MODELS:
                for method in ("json_schema", "function_calling"):
                    for streamed in (False, True):
                        how = "stream" if streamed else "whole"
                        try:
                            fault = fault_of(stage, model, method, streamed)
                        except Exception as error:  # whatever the client raises is the fault
                            fault = f"{type(error).__name__}: {error}"
                        passed, failed = passed + (fault is None), failed + (fault is not None)
                        result = "passed" if fault is None else f"FAILED: {fault[:2000]}"
                        print(f"langchain {method} {how} with bounds at {model}: {result}", flush=True)
        finally:
            stage.stop()
        if failed:
            print(f"--- the server said\n{Path(stage.log).read_text()[-4000:]}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(str(Path(sys.argv[1]).resolve())))
