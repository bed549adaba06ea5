//! Ollama at its OpenAI- and Anthropic-compatible paths: models on the operator's own machine, so
//! they are free. The key is optional; a hosted or proxied Ollama can require one.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CompatRules, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
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
        Endpoint::at(Dialect::Chat, "/chat/completions").with_compat(&CHAT),
        Endpoint::at(Dialect::Messages, "/messages").borrowed(),
        Endpoint::embeddings("/embeddings").borrowed(),
    ],
    place: PlaceRule::None,
    price: PriceRule::Free,
    output_cap_field: "max_tokens",
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::OLLAMA,
    limits: Some("ollama"),
    capabilities: |_| Capabilities::chat(),
};

/// Ollama ignores unknown fields: the cap must have the name that it knows.
static CHAT: CompatRules = CompatRules {
    fields: SupportedFields::All,
    renames: &[("max_completion_tokens", "max_tokens")],
    value_map: &[],
    one_choice: true,
};
