//! Anthropic: messages at its own address, list prices.

use super::{BaseUrl, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule};
use crate::conversation::Capabilities;
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "anthropic",
    base_url: BaseUrl::Own("https://api.anthropic.com/v1"),
    credential: CredentialStyle::XApiKey,
    needs_key: true,
    endpoints: &[Endpoint::at(Dialect::Messages, "/messages"), Endpoint::at(Dialect::TokenCount, "/messages/count_tokens")],
    price: PriceRule::Sheet("anthropic"),
    output_cap_member: "max_tokens",
    asks_usage: false,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[("anthropic-version", "2023-06-01")],
    capabilities: |_| Capabilities::chat(),
};
