//! OpenAI: chat and responses at its own address, list prices. Usage on a stream comes only if it is asked for.

use super::{BaseUrl, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule};
use crate::conversation::Capabilities;
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "openai",
    base_url: BaseUrl::Own("https://api.openai.com/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[
        Endpoint::at(Dialect::Chat, "/chat/completions"),
        Endpoint::at(Dialect::Responses, "/responses"),
        Endpoint::at(Dialect::Embeddings, "/embeddings"),
    ],
    price: PriceRule::Sheet("openai"),
    // reasoning models refuse `max_tokens`; all current models take this one
    output_cap_member: "max_completion_tokens",
    asks_usage: true,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    capabilities: |_| Capabilities::chat(),
};
