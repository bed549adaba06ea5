//! Groq: chat nearly as OpenAI has it. Members that no model of theirs takes are a 400 there, and so is a second answer.

use super::{BaseUrl, Borrowed, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule, Takes};
use crate::conversation::{Capabilities, Effort, ReasoningStyle};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "groq",
    base_url: BaseUrl::Own("https://api.groq.com/openai/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[Endpoint::at(Dialect::Chat, "/chat/completions").borrowing(&CHAT)],
    price: PriceRule::Sheet("groq"),
    output_cap_member: "max_completion_tokens",
    // a stream reports its usage in `x_groq` anyway; asked for, it comes in the usual place too
    asks_usage: true,
    on_disconnect: OnDisconnect::Abort,
    trusts_zero: true,
    default_headers: &[],
    capabilities,
};

static CHAT: Borrowed = Borrowed {
    takes: Takes::AllBut(&["logprobs", "top_logprobs", "logit_bias"]),
    renames: &[],
    rewords: &[],
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
