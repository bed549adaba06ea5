//! DeepSeek: the chat and Responses dialects at its root, the messages dialect below `/anthropic`,
//! so that every client is passed through and its reasoning returns to the model; embedded prices,
//! at the peak rate.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CompatRules, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
    SupportedFields,
};
use crate::conversation::{Capabilities, Effort, ReasoningStyle};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "deepseek",
    base_url: BaseUrl::Fixed("https://api.deepseek.com"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[
        Endpoint::at(Dialect::Chat, "/chat/completions").with_compat(&CHAT),
        Endpoint::at(Dialect::Messages, "/anthropic/v1/messages").borrowed(),
        Endpoint::at(Dialect::Responses, "/responses").borrowed(),
    ],
    place: PlaceRule::None,
    price: PriceRule::Sheet("deepseek"),
    output_cap_field: "max_tokens",
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::BORROWED,
    limits: Some("deepseek"),
    capabilities,
};

static CHAT: CompatRules = CompatRules {
    fields: SupportedFields::All,
    renames: &[("max_completion_tokens", "max_tokens")],
    value_map: &[],
    one_choice: true,
};

fn capabilities(model: &str) -> Capabilities {
    Capabilities {
        reasoning: ReasoningStyle::Effort(&[Effort::Low, Effort::High, Effort::Max]),
        images: model.contains("flash"),
        documents: false,
        json_schema: false,
        strict: false,
        service_tier: false,
        returned_reasoning: true,
        ..Capabilities::chat()
    }
}
