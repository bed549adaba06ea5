//! xAI: OpenAI's chat dialect. It counts reasoning apart from the completion, and the total has both. No prices are
//! embedded: the configuration must set them.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
};
use crate::conversation::Capabilities;
use crate::dialect::{Dialect, UsageRules};

pub(super) static PRESET: Preset = Preset {
    name: "xai",
    base_url: BaseUrl::Fixed("https://api.x.ai/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[Endpoint::at(Dialect::Chat, "/chat/completions")
        .borrowed()
        .with_usage_rules(UsageRules::UNKNOWN_VENDOR)],
    place: PlaceRule::None,
    price: PriceRule::Required,
    output_cap_field: "max_tokens",
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::OPENAI,
    limits: Some("xai"),
    capabilities: |_| Capabilities {
        documents: false,
        ..Capabilities::chat()
    },
};
