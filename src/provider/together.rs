//! Together: OpenAI's chat and embeddings dialects; embedded prices. The last chunk of a stream
//! always reports usage; `logprobs` is a number.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CompatRules, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
    SupportedFields,
};
use crate::conversation::{Capabilities, Effort, ReasoningStyle};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "together",
    base_url: BaseUrl::Fixed("https://api.together.ai/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[
        Endpoint::at(Dialect::Chat, "/chat/completions").with_compat(&CHAT),
        Endpoint::embeddings("/embeddings").borrowed(),
    ],
    place: PlaceRule::None,
    price: PriceRule::Sheet("together"),
    output_cap_field: "max_tokens",
    stream_usage_opt_in: false,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::BORROWED,
    limits: Some("together"),
    capabilities,
};

static CHAT: CompatRules = CompatRules {
    fields: SupportedFields::All,
    renames: &[
        ("max_completion_tokens", "max_tokens"),
        ("top_logprobs", "logprobs"),
    ],
    value_map: &[("logprobs", "true", "1"), ("logprobs", "false", "0")],
    one_choice: false,
};

/// Parts of the names of models that do not reason.
const NOT_REASONING: [&str; 6] = [
    "-instruct",
    "/gemma-2",
    "/gemma-3",
    "/llama-",
    "/meta-llama-",
    "/qwen2",
];

fn reasoning(model: &str) -> ReasoningStyle {
    let name = model.to_ascii_lowercase();
    let is_silent = NOT_REASONING.iter().any(|part| name.contains(part));
    // without a version of its own this one answers at once
    if is_silent || name.ends_with("/deepseek-v3") {
        ReasoningStyle::None
    } else {
        ReasoningStyle::Effort(&[Effort::Low, Effort::Medium, Effort::High])
    }
}

fn capabilities(model: &str) -> Capabilities {
    Capabilities {
        reasoning: reasoning(model),
        reasoning_by_model: true,
        top_k: true,
        documents: false,
        user: false,
        returned_reasoning: model.starts_with("moonshotai/Kimi"),
        ..Capabilities::chat()
    }
}
