//! Mistral: OpenAI's chat and embeddings dialects with some names of its own; embedded prices. The
//! schema is closed: an unknown field is a 422. The last chunk of a stream always reports usage.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CompatRules, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
    SupportedFields,
};
use crate::conversation::{Capabilities, Effort, IdRule, ReasoningStyle};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "mistral",
    base_url: BaseUrl::Fixed("https://api.mistral.ai/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[
        Endpoint::at(Dialect::Chat, "/chat/completions").with_compat(&CHAT),
        Endpoint::embeddings("/embeddings").with_compat(&EMBEDDINGS),
    ],
    place: PlaceRule::None,
    price: PriceRule::Sheet("mistral"),
    output_cap_field: "max_tokens",
    stream_usage_opt_in: false,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::BORROWED,
    limits: Some("mistral"),
    capabilities,
};

/// Fields of `ChatCompletionRequest` in Mistral's SDK 3.7.
static CHAT: CompatRules = CompatRules {
    fields: SupportedFields::Only(&[
        "model",
        "messages",
        "temperature",
        "top_p",
        "max_tokens",
        "stream",
        "stop",
        "random_seed",
        "metadata",
        "response_format",
        "tools",
        "tool_choice",
        "presence_penalty",
        "frequency_penalty",
        "min_tokens",
        "repetition_penalty",
        "top_k",
        "logprobs",
        "top_logprobs",
        "prompt_logprobs",
        "top_prompt_logprobs",
        "n",
        "prediction",
        "parallel_tool_calls",
        "reasoning_effort",
        "prompt_mode",
        "guardrails",
        "prompt_cache_key",
        "service_tier",
        "safe_prompt",
    ]),
    renames: &[
        ("max_completion_tokens", "max_tokens"),
        ("seed", "random_seed"),
    ],
    value_map: &[("tool_choice", "\"required\"", "\"any\"")],
    one_choice: false,
};

static EMBEDDINGS: CompatRules = CompatRules {
    fields: SupportedFields::Only(&[
        "model",
        "input",
        "metadata",
        "output_dimension",
        "output_dtype",
        "encoding_format",
    ]),
    renames: &[("dimensions", "output_dimension")],
    value_map: &[],
    one_choice: false,
};

/// Beginnings of the names of models that do not reason.
const NOT_REASONING: [&str; 9] = [
    "codestral",
    "ministral",
    "mistral-embed",
    "mistral-large-2",
    "mistral-large-3",
    "mistral-tiny",
    "open-",
    "pixtral",
    "voxtral",
];

/// Mistral's own models reason or do not; those of others that it serves take all efforts of its SDK 3.7.
fn reasoning(model: &str) -> ReasoningStyle {
    if NOT_REASONING.iter().any(|begin| model.starts_with(begin)) {
        ReasoningStyle::None
    } else if model.contains("glm") || model.contains("deepseek") {
        ReasoningStyle::Effort(&Effort::ALL)
    } else {
        ReasoningStyle::Effort(&[Effort::None, Effort::High])
    }
}

/// Call ids are nine letters or digits; a user turn directly after tool results is rejected.
fn capabilities(model: &str) -> Capabilities {
    Capabilities {
        top_k: true,
        documents: false,
        user: false,
        user_after_results: false,
        reasoning: reasoning(model),
        reasoning_by_model: true,
        ids: IdRule {
            min: 9,
            max: 9,
            also: "",
        },
        ..Capabilities::chat()
    }
}
