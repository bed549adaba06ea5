//! Any server with OpenAI's chat dialect: the configuration sets base URL and price.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
};
use crate::conversation::Capabilities;
use crate::dialect::{Dialect, UsageRules};

pub(super) static PRESET: Preset = Preset {
    name: "openai_compatible",
    base_url: BaseUrl::Configured("http://HOST:PORT/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: false,
    endpoints: &[
        Endpoint::at(Dialect::Chat, "/chat/completions")
            .with_usage_rules(UsageRules::UNKNOWN_VENDOR)
            .borrowed(),
        Endpoint::embeddings("/embeddings")
            .with_usage_rules(UsageRules::UNKNOWN_VENDOR)
            .borrowed(),
    ],
    place: PlaceRule::None,
    price: PriceRule::Required,
    // the older name: some servers do not know `max_completion_tokens`
    output_cap_field: "max_tokens",
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::OPENAI,
    limits: None,
    capabilities: |_| Capabilities::chat(),
};
