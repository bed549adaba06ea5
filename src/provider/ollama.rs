//! Ollama: models on a machine of the operator's own, so they cost nothing. A key is sent if one is configured (a hosted or
//! fenced-in Ollama takes one), and none is needed.

use super::{CredentialStyle, Endpoint, Preset, PriceRule};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "ollama",
    base_url: Some("http://127.0.0.1:11434/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: false,
    endpoints: &[
        Endpoint { dialect: Dialect::Chat, path: "/chat/completions" },
        Endpoint { dialect: Dialect::Messages, path: "/messages" },
    ],
    price: PriceRule::Free,
    output_cap_member: "max_tokens",
    asks_usage: true,
    default_headers: &[],
};
