//! Ollama: models on a machine of the operator's own, so they cost nothing. A key is sent if one is configured (a hosted or
//! fenced-in Ollama takes one), and none is needed.

use super::{BaseUrl, Borrowed, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule, Takes};
use crate::conversation::Capabilities;
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "ollama",
    base_url: BaseUrl::Own("http://127.0.0.1:11434/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: false,
    endpoints: &[
        Endpoint::at(Dialect::Chat, "/chat/completions").borrowing(&CHAT),
        Endpoint::at(Dialect::Messages, "/messages"),
        Endpoint::at(Dialect::Embeddings, "/embeddings"),
    ],
    price: PriceRule::Free,
    output_cap_member: "max_tokens",
    asks_usage: true,
    on_disconnect: OnDisconnect::Abort,
    trusts_zero: true,
    default_headers: &[],
    capabilities: |_| Capabilities::chat(),
};

/// It passes over what it does not know, so the newer name of the cap would cap nothing.
static CHAT: Borrowed = Borrowed {
    takes: Takes::All,
    renames: &[("max_completion_tokens", "max_tokens")],
    rewords: &[],
    one_choice: true,
};
