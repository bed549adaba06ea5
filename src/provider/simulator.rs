//! Built-in simulator: the upstream of the demo, at an address chosen at start, without a model.
//! Its prices are invented ($1 per million input tokens, $5 per million output tokens) so that
//! budgets are charged.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
};
use crate::conversation::Capabilities;
use crate::dialect::{Dialect, UsageRules};

pub(super) static PRESET: Preset = Preset {
    name: "simulator",
    base_url: BaseUrl::Configured("http://HOST:PORT/v1"),
    credential: CredentialStyle::None,
    needs_key: false,
    endpoints: &[
        Endpoint::at(Dialect::Chat, "/chat/completions")
            .with_usage_rules(UsageRules::UNKNOWN_VENDOR),
        Endpoint::at(Dialect::Messages, "/messages").with_usage_rules(UsageRules::UNKNOWN_VENDOR),
        Endpoint::embeddings("/embeddings").with_usage_rules(UsageRules::UNKNOWN_VENDOR),
        Endpoint::token_count("/messages/count_tokens"),
    ],
    place: PlaceRule::None,
    price: PriceRule::Fixed {
        input: 1_000_000,
        output: 5_000_000,
    },
    output_cap_field: "max_completion_tokens",
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::OPENAI,
    limits: None,
    capabilities: |_| Capabilities::chat(),
};
