//! Any server that speaks OpenAI's chat dialect: the configuration says where it is and what it costs.

use super::{BaseUrl, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule};
use crate::conversation::Capabilities;
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "openai_compatible",
    base_url: BaseUrl::Told("http://HOST:PORT/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: false,
    endpoints: &[
        Endpoint::at(Dialect::Chat, "/chat/completions"),
        Endpoint::at(Dialect::Embeddings, "/embeddings"),
    ],
    price: PriceRule::MustSay,
    // the older name: known to servers that never heard of `max_completion_tokens`
    output_cap_member: "max_tokens",
    asks_usage: true,
    on_disconnect: OnDisconnect::Abort,
    trusts_zero: false,
    default_headers: &[],
    capabilities: |_| Capabilities::chat(),
};
