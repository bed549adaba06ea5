//! Ollama: models on a machine of the operator's own, so they cost nothing. A key is sent if one is configured (a hosted or
//! fenced-in Ollama takes one), and none is needed.

use super::{
    BaseUrl, CompatRules, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule,
    SupportedFields,
};
use crate::conversation::Capabilities;
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "ollama",
    base_url: BaseUrl::Fixed("http://127.0.0.1:11434/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: false,
    endpoints: &[
        Endpoint::at(Dialect::Chat, "/chat/completions").borrowing(&CHAT),
        Endpoint::at(Dialect::Messages, "/messages"),
        Endpoint::at(Dialect::Embeddings, "/embeddings"),
    ],
    price: PriceRule::Free,
    output_cap_member: "max_tokens",
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    zero_usage_is_real: true,
    default_headers: &[],
    capabilities: |_| Capabilities::chat(),
};

/// It passes over what it does not know, so the newer name of the cap would cap nothing.
static CHAT: CompatRules = CompatRules {
    takes: SupportedFields::All,
    renames: &[("max_completion_tokens", "max_tokens")],
    value_map: &[],
    one_choice: true,
};
