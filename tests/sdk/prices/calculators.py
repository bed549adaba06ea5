"""Public calculators: litellm's cost functions on its own price map, and genai-prices on the vendors' answers. A calculator
returns USD, or None where it knows no price for the card of a record, so that it would answer with another card's.
"""

import os
import warnings
from datetime import datetime, timezone
from decimal import Decimal

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm  # noqa: E402  (the variable keeps it from asking for a newer map)
from genai_prices import Usage as GenaiUsage, data_snapshot, extract_usage  # noqa: E402
from litellm.exceptions import ModelNotMappedError  # noqa: E402
from litellm.cost_calculator import batch_cost_calculator, cost_per_token  # noqa: E402
from litellm.litellm_core_utils.llm_cost_calc import utils as cost_utils  # noqa: E402
from litellm.types.utils import CacheCreationTokenDetails, CompletionTokensDetailsWrapper, PromptTokensDetailsWrapper, Usage  # noqa: E402

# DeepSeek's rates depend on the hour; this one is not off-peak
BILLED_AT = datetime(2026, 11, 30, 2, tzinfo=timezone.utc)
cost_utils.current_billing_time = lambda: BILLED_AT
litellm.suppress_debug_info = True
warnings.filterwarnings("ignore", module="pydantic")
LITELLM_PROVIDERS = {"together": "together_ai", "cohere": "cohere_chat"}
GENAI_PROVIDERS = {"gemini": "google", "bedrock": "aws"}
RESIDENCIES = {"gov": "fedramp"}


def litellm_usage(record):
    lifetimes = CacheCreationTokenDetails(
        ephemeral_5m_input_tokens=record.count("write"), ephemeral_1h_input_tokens=record.count("write_1h"),
        ephemeral_12h_input_tokens=record.count("write_12h"))
    written = record.count("write") + record.count("write_1h") + record.count("write_12h")
    audio_cached = record.count("audio_cached")
    prompt = PromptTokensDetailsWrapper(
        cached_tokens=record.count("cache_read") + audio_cached, cache_creation_tokens=written, text_tokens=record.count("input") + record.count("cache_read"),
        audio_tokens=record.count("audio_in") + audio_cached, cache_creation_token_details=lifetimes)
    if audio_cached:
        prompt.cached_tokens_details = {"audio_tokens": audio_cached, "text_tokens": record.count("cache_read")}
    else:
        prompt.text_tokens = record.count("input")
    output = CompletionTokensDetailsWrapper(
        reasoning_tokens=record.count("reasoning"), audio_tokens=record.count("audio_out"), image_tokens=record.count("image_out"),
        text_tokens=record.count("output"))
    usage = Usage(prompt_tokens=record.prompt(), completion_tokens=record.output(), total_tokens=record.prompt() + record.output(),
                  prompt_tokens_details=prompt, completion_tokens_details=output)
    if record.geo:
        usage.inference_geo = record.geo
    if record.speed:
        usage.speed = record.speed
    return usage


def litellm_key(record):
    """Name of the record's model in the map; None if the map has no key of the place."""
    if not record.place or record.provider == "openai":
        return record.model
    if record.provider == "azure":
        zones = ("global", "global-standard") if record.place == "global" else (record.place,)
        return next((f"{zone}/{record.model}" for zone in zones if f"azure/{zone}/{record.model}" in litellm.model_cost), None)
    located = f"bedrock/{record.place}/{record.model}"
    if located in litellm.model_cost:
        return f"{record.place}/{record.model}"
    return record.model if record.is_base else None


def by_litellm(record):
    if record.tools:
        return None
    model = litellm_key(record)
    if model is None:
        return None
    try:
        return Decimal(repr(sum(litellm_parts(record, model))))
    except ModelNotMappedError:
        return None


def litellm_parts(record, model):
    """Costs of prompt and completion."""
    provider = LITELLM_PROVIDERS.get(record.provider, record.provider)
    if record.tier == "batch":
        return batch_cost_calculator(litellm_usage(record), model, provider)
    tier = None if record.tier == "standard" else record.tier
    residency = RESIDENCIES.get(record.place, record.place) if record.provider == "openai" and record.place else None
    call = "embedding" if record.mode == "embedding" else "completion"
    return cost_per_token(model=model, custom_llm_provider=provider, usage_object=litellm_usage(record),
                          service_tier=tier, data_residency=residency, call_type=call)


def genai_flavor(record, answer):
    if record.mode == "embedding":
        return "embeddings" if record.provider != "mistral" else None
    if record.provider in ("openai", "azure", "deepseek"):
        return "responses" if answer["object"] == "response" else "chat"
    return "default"


def genai_context(record, model):
    """Context of the record's tier; None if the list has no prices for it."""
    if not record.is_base and not record.speed:
        return None
    wanted = {"processing": "batch"} if record.tier == "batch" else {"service_tier": record.tier}
    wanted = {"speed": record.speed} if record.speed else wanted
    if wanted == {"service_tier": "standard"}:
        return {}
    return wanted if any(variant.when == wanted for variant in model.price_variants or []) else None


def by_genai(record, answer):
    provider = GENAI_PROVIDERS.get(record.provider, record.provider)
    listed = next(one for one in data_snapshot.get_snapshot().providers if one.id == provider)
    model = listed.find_model(record.model)
    context = model and genai_context(record, model)
    if context is None or record.tools.keys() - {"web_search", "file_search"}:
        return None
    if listed.extractors and genai_flavor(record, answer):
        usage = extract_usage({**answer, "model": record.model}, provider_id=provider, api_flavor=genai_flavor(record, answer)).usage
    else:
        usage = GenaiUsage(input_tokens=record.prompt(), output_tokens=record.output(), cache_read_tokens=record.count("cache_read"))
    if record.tools and provider != "anthropic":
        usage.web_searches, usage.storage_searches = record.tools.get("web_search", 0), record.tools.get("file_search", 0)
    return data_snapshot.get_snapshot().calc(usage, record.model, provider, None, BILLED_AT, context or None).total_price
