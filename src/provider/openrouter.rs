//! OpenRouter: OpenAI's chat dialect in front of other vendors. The price of a model depends on the
//! vendor that serves it, so no prices are embedded and the configuration must set them.

use super::failure_words;
use super::preset::{
    BaseUrl, CompatRules, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule,
    SupportedFields,
};
use crate::conversation::Capabilities;
use crate::dialect::{Dialect, UsageRules};

pub(super) static PRESET: Preset = Preset {
    name: "openrouter",
    base_url: BaseUrl::Fixed("https://openrouter.ai/api/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[Endpoint::at(Dialect::Chat, "/chat/completions")
        .with_compat(&CHAT)
        .with_usage_rules(UsageRules::UNKNOWN_VENDOR)],
    price: PriceRule::Required,
    output_cap_field: "max_tokens",
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::OPENAI,
    capabilities: |_| Capabilities::chat(),
};

/// OpenRouter ignores `n`.
static CHAT: CompatRules = CompatRules {
    fields: SupportedFields::All,
    renames: &[],
    value_map: &[],
    one_choice: true,
};
