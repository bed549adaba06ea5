//! Any server that speaks OpenAI's chat dialect: the configuration says where it is and what it costs.

use super::{CredentialStyle, Endpoint, Preset, PriceRule};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "openai_compatible",
    base_url: None,
    credential: CredentialStyle::Bearer,
    needs_key: false,
    endpoints: &[Endpoint { dialect: Dialect::Chat, path: "/chat/completions" }],
    price: PriceRule::MustSay,
    // the older name: known to servers that never heard of `max_completion_tokens`
    output_cap_member: "max_tokens",
    asks_usage: true,
    default_headers: &[],
};
