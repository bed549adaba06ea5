//! OpenRouter: chat as OpenAI has it, in front of other vendors. No list prices of it are shipped, and what it charges for one
//! model depends on who serves it: the configuration must say.

use super::{
    BaseUrl, CompatRules, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule,
    SupportedFields,
};
use crate::conversation::Capabilities;
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "openrouter",
    base_url: BaseUrl::Fixed("https://openrouter.ai/api/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[Endpoint::at(Dialect::Chat, "/chat/completions").borrowing(&CHAT)],
    price: PriceRule::Required,
    output_cap_member: "max_tokens",
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    zero_usage_is_real: false,
    default_headers: &[],
    capabilities: |_| Capabilities::chat(),
};

/// It has no `n` and passes over one.
static CHAT: CompatRules = CompatRules {
    takes: SupportedFields::All,
    renames: &[],
    value_map: &[],
    one_choice: true,
};
