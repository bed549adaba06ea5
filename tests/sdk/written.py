"""Judge of the requests that the gateway wrote: the folder that `GK_WRITTEN` named to the Rust tests has each request that a strict
fake took, and the types of the vendor's own SDK must take it too: known members, types, required members, words, lengths, ranges
and patterns. The types are read from the SDK's modules, never from our table of limits. Usage: written.py FOLDER
"""

import base64
import binascii
import collections
import datetime
import enum
import functools
import inspect
import json
import re
import sys
import types
import typing
from pathlib import Path

import pydantic
import typing_extensions

MISSING = object()


# Walk through the types of a Python SDK: TypedDicts (Stainless), Pydantic models (Speakeasy, Fern, Google, Ollama)

def plain(hint):
    """A type without the wrappers that say nothing about its value, and the constraints that they carried."""
    constraints = []
    while True:
        origin = typing.get_origin(hint)
        if origin in (typing_extensions.Required, typing_extensions.NotRequired, typing_extensions.ReadOnly):
            hint = typing.get_args(hint)[0]
        elif origin is typing.Annotated:
            constraints += hint.__metadata__
            hint = typing.get_args(hint)[0]
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        elif type(origin).__name__ == "TypeAliasType":
            hint = origin.__value__[typing.get_args(hint)]
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        else:
            return hint, constraints


def is_open(hint):
    """A branch for words that a newer vendor may add: no proof that today's vendor takes the word."""
    return "Unrecognized" in str(hint)


def branches(hint):
    """Alternatives of a type; unions inside unions are taken apart."""
    bare, _ = plain(hint)
    if typing.get_origin(bare) in (typing.Union, types.UnionType):
        return [inner for one in typing.get_args(bare) for inner in branches(one)]
    return [hint]


def members_of(hint):
    """Members of a type on the wire: name, type, required; None if the type has no members."""
    if typing_extensions.is_typeddict(hint):
        hints = typing_extensions.get_type_hints(hint, include_extras=True)
        return {wire_name(one) or name: (one, name in hint.__required_keys__) for name, one in hints.items()}
    if inspect.isclass(hint) and issubclass(hint, pydantic.BaseModel):
        return {name: pair for name, pair in model_members(hint)}
    return None


members_of = functools.lru_cache(None)(members_of)


def wire_name(hint):
    """Name in JSON, where an annotation of a TypedDict renames a member."""
    return next((one.alias for one in plain(hint)[1] if getattr(one, "alias", None)), None)


def model_members(model):
    model.model_rebuild()
    rename = model.model_config.get("alias_generator")
    for name, field in model.model_fields.items():
        renamed = next((one.alias for one in field.metadata if getattr(one, "alias", None)), None)
        alias = field.serialization_alias or field.alias or renamed or (rename(name) if callable(rename) else name)
        yield alias, (typing.Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation, field.is_required())


def faults(value, hint, at):
    """Why a value is not of a type; empty if it is."""
    ones = branches(hint)
    _, constraints = plain(hint)
    if len(ones) > 1:
        return union_faults(value, ones, at)
    hint = ones[0]
    hint, more = plain(hint)
    found = one_faults(value, hint, at)
    return found or constraint_faults(value, [*constraints, *more], at)


def union_faults(value, ones, at):
    closed = [one for one in ones if not is_open(one)]
    has_words = any(typing.get_origin(plain(one)[0]) is typing.Literal for one in closed)
    # `Union[Literal[…], Any]`: the words, and whatever comes later
    closed = [one for one in closed if not (has_words and one is typing.Any)]
    tried = [(faults(value, one, at), one) for one in closed]
    if any(not found for found, _ in tried):
        return []
    meant = [found for found, one in tried if is_meant(value, one)] or [found for found, one in tried if is_like(value, one)]
    return min(meant or [found for found, _ in tried], key=len, default=[f"{at}: no type takes it"])


def is_like(value, hint):
    """The value is a list or an object, and so is the branch."""
    bare, _ = plain(hint)
    is_list = typing.get_origin(bare) in (list, tuple, collections.abc.Iterable, collections.abc.Sequence)
    return isinstance(value, list) and is_list or isinstance(value, dict) and members_of(bare) is not None


def is_meant(value, hint):
    """The value names this branch by its `type` or `role`."""
    members = members_of(plain(hint)[0]) if isinstance(value, dict) else None
    if not members:
        return False
    told = [(value[name], members[name][0]) for name in ("type", "role") if name in value and name in members]
    return bool(told) and all(not faults(said, one, "") for said, one in told)


def one_faults(value, hint, at):
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in (typing.Any, object) or isinstance(hint, typing.TypeVar):
        return []
    if hint in (None, type(None)):
        return [] if value is None else [f"{at}: not null"]
    if origin is typing.Literal:
        return [] if value in inner else [f"{at}: {value!r} is not one of {list(inner)}"[:200]]
    members = members_of(hint)
    if members is not None:
        return member_faults(value, members, at)
    if inspect.isclass(hint) and issubclass(hint, enum.Enum):
        # Google's words are read in either case
        return [] if str(value).upper() in [str(one.value).upper() for one in hint] else [f"{at}: {value!r} is not one of {hint.__name__}"]
    if origin in (list, tuple, set, collections.abc.Iterable, collections.abc.Sequence) or getattr(origin, "__name__", "") == "SequenceNotStr":
        if not isinstance(value, list):
            return [f"{at}: not a list"]
        return [fault for number, one in enumerate(value) for fault in faults(one, inner[0], f"{at}[{number}]")]
    if origin in (dict, collections.abc.Mapping):
        if not isinstance(value, dict):
            return [f"{at}: not an object"]
        return [fault for name, one in value.items() for fault in faults(one, inner[1], f"{at}.{name}")]
    return scalar_faults(value, hint, at)


def scalar_faults(value, hint, at):
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    tests = {
        str: isinstance(value, str), bool: isinstance(value, bool), float: number, int: number and float(value).is_integer(),
        bytes: isinstance(value, str) and is_base64(value), datetime.datetime: isinstance(value, str), dict: isinstance(value, dict), list: isinstance(value, list),
    }
    if hint in tests:
        return [] if tests[hint] else [f"{at}: {json.dumps(value)[:60]} is not {hint.__name__}"]
    if inspect.isclass(typing.get_origin(hint) or hint):
        # a class of the SDK's own runtime, for files or streams: no JSON value
        return [f"{at}: not {hint}"]
    raise TypeError(f"{at}: a type that this judge does not know: {hint}")


def is_base64(text):
    """Standard or URL-safe base64, with its padding or without."""
    try:
        base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_").rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
        return True
    except (binascii.Error, ValueError):
        return False


def member_faults(value, members, at):
    if not isinstance(value, dict):
        return [f"{at}: not an object"]
    found = [f"{at}.{name}: unknown" for name in value if name not in members]
    found += [f"{at}.{name}: required" for name, (_, required) in members.items() if required and name not in value]
    for name, (hint, _) in members.items():
        if name in value:
            found += faults(value[name], hint, f"{at}.{name}")
    return found


def constraint_faults(value, constraints, at):
    size = len(value) if isinstance(value, (str, list, dict)) else None
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    found = []
    for one in constraints:
        bars = {name: getattr(one, name, None) for name in ("ge", "le", "gt", "lt", "min_length", "max_length", "pattern")}
        holds = [
            bars["ge"] is None or number is None or number >= bars["ge"],
            bars["le"] is None or number is None or number <= bars["le"],
            bars["gt"] is None or number is None or number > bars["gt"],
            bars["lt"] is None or number is None or number < bars["lt"],
            bars["min_length"] is None or size is None or size >= bars["min_length"],
            bars["max_length"] is None or size is None or size <= bars["max_length"],
            not isinstance(bars["pattern"], str) or not isinstance(value, str) or re.search(bars["pattern"], value),
        ]
        if not all(holds):
            found.append(f"{at}: {json.dumps(value)[:60]} is outside {({name: bar for name, bar in bars.items() if bar is not None})}")
    return found


# Walk through the shapes of botocore

def shape_faults(value, shape, at):
    kind, bars = shape.type_name, shape.metadata
    if getattr(shape, "is_document_type", False):
        return []
    if kind == "structure":
        return structure_faults(value, shape, at)
    if kind == "list":
        if not isinstance(value, list):
            return [f"{at}: not a list"]
        inner = [fault for number, one in enumerate(value) for fault in shape_faults(one, shape.member, f"{at}[{number}]")]
        return inner + range_faults(len(value), bars, at)
    if kind == "map":
        if not isinstance(value, dict):
            return [f"{at}: not an object"]
        names = [fault for name in value for fault in shape_faults(name, shape.key, f"{at}.{name}")]
        inner = [fault for name, one in value.items() for fault in shape_faults(one, shape.value, f"{at}.{name}")]
        return names + inner + range_faults(len(value), bars, at)
    if kind == "string":
        return string_faults(value, shape, at)
    if kind == "blob":
        return [] if isinstance(value, str) and is_base64(value) else [f"{at}: not base64"]
    if kind == "boolean":
        return [] if isinstance(value, bool) else [f"{at}: not a boolean"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or kind in ("integer", "long") and not float(value).is_integer():
        return [f"{at}: {value!r} is not {kind}"]
    return range_faults(value, bars, at)


def structure_faults(value, shape, at):
    if not isinstance(value, dict):
        return [f"{at}: not an object"]
    members = {name: one for name, one in shape.members.items() if one.serialization.get("location") not in ("uri", "header", "querystring")}
    found = [f"{at}.{name}: unknown" for name in value if name not in members]
    found += [f"{at}.{name}: required" for name in shape.required_members if name in members and name not in value]
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        found.append(f"{at}: {len(value)} members of a union")
    return found + [fault for name, one in value.items() if name in members for fault in shape_faults(one, members[name], f"{at}.{name}")]


def string_faults(value, shape, at):
    if not isinstance(value, str):
        return [f"{at}: not a string"]
    bars, found = shape.metadata, []
    if bars.get("enum") and value not in bars["enum"]:
        found.append(f"{at}: {value!r} is not one of {bars['enum']}"[:200])
    pattern = bars.get("pattern")
    if pattern and "\\p{" not in pattern and not re.fullmatch(pattern, value, re.S):
        found.append(f"{at}: {value[:60]!r} does not match {pattern}"[:200])
    return found + range_faults(len(value), bars, at)


def range_faults(size, bars, at):
    inside = bars.get("min", size) <= size <= bars.get("max", size)
    return [] if inside else [f"{at}: {size} is outside {bars.get('min')} to {bars.get('max')}"]


# Judges of the endpoints

@functools.lru_cache(None)
def bedrock():
    import botocore.session

    return botocore.session.get_session().get_service_model("bedrock-runtime")


def converse(body, request):
    operation = "ConverseStream" if request["path"].endswith("-stream") else "Converse"
    named = re.search("/model/([^/]+)/", request["path"])[1].replace("%3A", ":")
    shape = bedrock().operation_model(operation).input_shape
    return shape_faults(body, shape, "") + shape_faults(named, shape.members["modelId"], "modelId")


def invoke(body, request):
    """Claude's own body: the version and betas in place of headers, and no model and stream."""
    own = {name: value for name, value in body.items() if name not in ("anthropic_version", "anthropic_beta")}
    found = [] if body.get("anthropic_version") == "bedrock-2023-05-31" else [".anthropic_version: required"]
    found += [f".{name}: unknown" for name in ("model", "stream") if name in own]
    betas = body.get("anthropic_beta", [])
    return found + messages({**own, "model": request["model"]}, {"headers": [["anthropic-beta", ",".join(betas)]] if betas else []})


# Members of Amazon's documented request; no SDK has a type for it.
TITAN = {"inputText": (str, True), "dimensions": (typing.Literal[256, 512, 1024], False), "normalize": (bool, False), "embeddingTypes": (list[str], False)}


def bedrock_embeddings(body, request):
    """Titan's body, or Cohere's first one without the model, which is in the path."""
    if "titan" in request["model"]:
        return member_faults(body, TITAN, "")
    import cohere

    return member_faults(body, embed_members(cohere.Client.embed, {"texts"}, {"model"}), "")


def cohere_embeddings(body, request):
    import cohere

    return member_faults(body, embed_members(cohere.ClientV2.embed, {"model", "input_type"}, set()), "")


def embed_members(method, required, absent):
    hints = typing.get_type_hints(method, include_extras=True)
    return {name: (hint, name in required) for name, hint in hints.items() if name not in {"return", "request_options", *absent}}


def gemini_embeddings(body, request):
    """A batch as the SDK writes it: its settings of one content stand beside each content."""
    from google.genai import types as google

    member = {
        "model": (str, True), "content": (google.Content, True), "taskType": (str, False), "title": (str, False),
        "outputDimensionality": (int, False),
    }
    found = member_faults(body, {"requests": (list, True)}, "")
    return found + [fault for one in body.get("requests", []) for fault in member_faults(one, member, ".requests[]")]


def messages(body, request):
    import anthropic.types.beta.message_create_params as beta
    import anthropic.types.message_create_params as stable

    module = beta if any(name == "anthropic-beta" for name, _ in request["headers"]) else stable
    return faults(body, streamed(module, "MessageCreateParams", body), "")


def streamed(module, name, body):
    """The variant of typed parameters for a stream or a whole answer."""
    variant = getattr(module, name + ("Streaming" if body.get("stream") else "NonStreaming"))
    return variant


def openai_chat(body, request):
    import openai.types.chat.completion_create_params as module

    return faults(body, streamed(module, "CompletionCreateParams", body), "")


def openai_responses(body, request):
    import openai.types.responses.response_create_params as module

    return faults(body, streamed(module, "ResponseCreateParams", body), "")


def openai_embeddings(body, request):
    from openai.types.embedding_create_params import EmbeddingCreateParams

    return faults(body, EmbeddingCreateParams, "")


def together_chat(body, request):
    import together.types.chat.completion_create_params as module

    return faults(body, streamed(module, "CompletionCreateParams", body), "")


def groq_chat(body, request):
    from groq.types.chat.completion_create_params import CompletionCreateParams

    return faults(body, CompletionCreateParams, "")


def mistral_chat(body, request):
    import mistralai.client.models as models

    return faults(body, models.ChatCompletionStreamRequest if body.get("stream") else models.ChatCompletionRequest, "")


def mistral_embeddings(body, request):
    import mistralai.client.models as models

    return faults(body, models.EmbeddingRequest, "")


def openrouter_chat(body, request):
    from openrouter.components import ChatRequest

    return faults(body, ChatRequest, "")


def cohere_chat(body, request):
    import cohere

    method = cohere.ClientV2.chat_stream if body.get("stream") else cohere.ClientV2.chat
    hints = typing.get_type_hints(method, include_extras=True)
    parameters = inspect.signature(method).parameters
    members = {name: (hints[name], parameters[name].default is inspect.Parameter.empty) for name in hints if name not in ("return", "request_options")}
    return member_faults({name: value for name, value in body.items() if name != "stream"}, members, "")


def ollama_chat(body, request):
    from ollama._types import ChatRequest

    return faults(body, ChatRequest, "")


def generate_content(body, request):
    from google.genai import types as google

    members = {
        "contents": (list[google.Content], True), "systemInstruction": (google.Content, False), "tools": (list[google.Tool], False),
        "toolConfig": (google.ToolConfig, False), "safetySettings": (list[google.SafetySetting], False),
        "generationConfig": (google.GenerationConfig, False), "cachedContent": (str, False), "serviceTier": (google.ServiceTier, False),
    }
    return member_faults(body, members, "")


def together_embeddings(body, request):
    from together.types.embedding_create_params import EmbeddingCreateParams

    return faults(body, EmbeddingCreateParams, "")


# Differences between a vendor and the types of its SDK: place, fault, beginning of the test's name, reason. Where a client speaks the vendor's
# own dialect, the request goes up as it was written, and the vendor is the judge of its client.
EXEMPT = [
    (r"(anthropic|deepseek)/messages|bedrock/invoke", r"\.(temperature|top_p|top_k): unknown", "", "models before Opus 4.7 take them, the types leave them out"),
    (r"anthropic/messages", r"\.(context_management|tools\[\].*)", "inference::relay_messages|invoice::", "the client's own, whose beta is not named in the test"),
    (r"groq/chat", r"\.stream_options: unknown", "", "its SDK's chunk type documents the member that its parameters lack"),
    (r"openai/responses", r"\.(client_metadata|input\[\]\.id|tools\[\]\.\w+): unknown|\.input\[?\]?: ", "inference::responses::passthrough", "Codex's own, recorded"),
    (r"openai/chat", r"\.web_search_options: not an object", "invoice::", "the client's own null"),
    (r"ollama/ollama_chat", r"\.tools\[\]\.function\.parameters\.", "", "the server ignores members of schemas that it does not know"),
    (r"deepseek/chat", r"\.(thinking|messages\[\]\.reasoning_content): unknown", "", "DeepSeek's own members in OpenAI's types"),
    (r"(openai|azure)/(chat|responses)", r"\.(messages\[\]\.(content\[\]\.cache_control|reasoning_content|x_unknown)|x_unknown): unknown", "inference::vendor_limits", "members of a client that speaks the vendor's own dialect, passed on as they are"),
    (r"together/embeddings", r"\.(dimensions|encoding_format): unknown", "inference::matrix", "members of a client that speaks the vendor's own dialect, passed on as they are"),
    (r"xai/chat", r"\.messages\[\]\.reasoning_content: unknown", "", "xAI's own member in OpenAI's types"),
    (r"(deepseek|xai)/.*", r"\.(messages\[\]\.)?x_unknown: unknown", "", "members of the client, which the server ignores"),
    (r"openrouter/chat", r"\.(n|x_unknown|messages\[\]\.(x_unknown|reasoning_content)): unknown", "", "members of the client, which OpenRouter hands on or ignores"),
    (r"together/chat|ollama/chat", r"\.(user|x_unknown|max_completion_tokens|prompt_cache_key|store|service_tier|parallel_tool_calls): unknown", "", "members of the client, which the server ignores"),
]


def is_exempt(place, fault, test):
    return any(
        re.fullmatch(places, place) and re.match(what, fault) and re.match(tests, test) for places, what, tests, _ in EXEMPT
    )


JUDGES = {
    ("openai", "chat"): openai_chat, ("openai", "responses"): openai_responses, ("openai", "embeddings"): openai_embeddings,
    ("azure", "chat"): openai_chat, ("azure", "responses"): openai_responses, ("azure", "embeddings"): openai_embeddings,
    ("anthropic", "messages"): messages, ("bedrock", "converse"): converse, ("bedrock", "invoke"): invoke,
    ("bedrock", "embeddings"): bedrock_embeddings, ("cohere", "embeddings"): cohere_embeddings, ("gemini", "embeddings"): gemini_embeddings,
    ("gemini", "generate_content"): generate_content, ("mistral", "chat"): mistral_chat, ("mistral", "embeddings"): mistral_embeddings,
    ("groq", "chat"): groq_chat, ("cohere", "cohere_chat"): cohere_chat, ("together", "chat"): together_chat,
    ("ollama", "ollama_chat"): ollama_chat, ("openrouter", "chat"): openrouter_chat, ("together", "embeddings"): together_embeddings,
    # these vendors document their endpoints as OpenAI's and Anthropic's
    ("deepseek", "chat"): openai_chat, ("deepseek", "messages"): messages, ("deepseek", "responses"): openai_responses, ("xai", "chat"): openai_chat,
    ("ollama", "chat"): openai_chat, ("ollama", "messages"): messages, ("ollama", "embeddings"): openai_embeddings,
}


def main(folder):
    judged, refused, unjudged = collections.Counter(), collections.Counter(), collections.Counter()
    reasons = collections.defaultdict(lambda: [0, ""])
    for path in sorted(Path(folder).glob("*.json")):
        request = json.loads(path.read_text())
        place = (request["vendor"], request["endpoint"])
        judge = JUDGES.get(place)
        if judge is None:
            unjudged[place] += 1
            continue
        judged[place] += 1
        found = [re.sub(r"\[\d+\]", "[]", fault) for fault in judge(json.loads(request["body"]), request)]
        found = [fault for fault in found if not is_exempt("/".join(place), fault, request["test"])]
        refused[place] += bool(found)
        for general in found:
            reasons[place, general][0] += 1
            reasons[place, general][1] = f"{request['test']} {path.name}"
    for ((vendor, endpoint), fault), (count, example) in sorted(reasons.items()):
        print(f"{vendor}/{endpoint}{fault} ({count} times, as in {example})")
    for place, count in sorted(judged.items()):
        verdict = f"FAILED: {refused[place]} of {count} refused" if refused[place] else "passed"
        print(f"{'/'.join(place)} by the types of the vendor's SDK, {count} requests: {verdict}")
    for place, count in sorted(unjudged.items()):
        print(f"SKIPPED sdk types: {'/'.join(place)} has no SDK with types ({count} requests)")
    passed, failed = sum(not refused[place] for place in judged), sum(bool(refused[place]) for place in judged)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
