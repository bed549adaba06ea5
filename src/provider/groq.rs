//! Groq: OpenAI's chat dialect with a few fields missing; embedded prices. Groq rejects unsupported
//! fields and `n` above 1 with a 400.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CompatRules, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
    SupportedFields,
};
use crate::conversation::{Capabilities, Effort, ReasoningStyle};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "groq",
    base_url: BaseUrl::Fixed("https://api.groq.com/openai/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[Endpoint::at(Dialect::Chat, "/chat/completions").with_compat(&CHAT)],
    place: PlaceRule::None,
    price: PriceRule::Sheet("groq"),
    output_cap_field: "max_completion_tokens",
    // streams always report usage in `x_groq`; the opt-in adds the standard place
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::BORROWED,
    limits: Some("groq"),
    capabilities,
};

static CHAT: CompatRules = CompatRules {
    fields: SupportedFields::AllBut(&["logprobs", "top_logprobs", "logit_bias"]),
    renames: &[],
    value_map: &[],
    one_choice: true,
};

fn capabilities(model: &str) -> Capabilities {
    let efforts: &[Effort] = if model.contains("qwen") {
        &[Effort::None]
    } else {
        &[Effort::Low, Effort::Medium, Effort::High]
    };
    Capabilities {
        reasoning: ReasoningStyle::Effort(efforts),
        images: !model.contains("gpt-oss") && !model.starts_with("llama-3"),
        documents: false,
        ..Capabilities::chat()
    }
}
