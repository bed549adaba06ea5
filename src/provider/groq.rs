//! Groq: chat nearly as OpenAI has it. Members that no model of theirs takes are a 400 there, and so is a second answer.

use super::{
    BaseUrl, CompatRules, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule,
    SupportedFields,
};
use crate::conversation::{Capabilities, Effort, ReasoningStyle};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "groq",
    base_url: BaseUrl::Fixed("https://api.groq.com/openai/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[Endpoint::at(Dialect::Chat, "/chat/completions").borrowing(&CHAT)],
    price: PriceRule::Sheet("groq"),
    output_cap_member: "max_completion_tokens",
    // a stream reports its usage in `x_groq` anyway; asked for, it comes in the usual place too
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    zero_usage_is_real: true,
    default_headers: &[],
    capabilities,
};

static CHAT: CompatRules = CompatRules {
    takes: SupportedFields::AllBut(&["logprobs", "top_logprobs", "logit_bias"]),
    renames: &[],
    value_map: &[],
    one_choice: true,
};

fn capabilities(model: &str) -> Capabilities {
    let words: &[Effort] = if model.contains("qwen") {
        &[Effort::None]
    } else {
        &[Effort::Low, Effort::Medium, Effort::High]
    };
    Capabilities {
        reasoning: ReasoningStyle::Effort(words),
        documents: false,
        ..Capabilities::chat()
    }
}
