//! OpenRouter: chat as OpenAI has it, in front of other vendors. No list prices of it are shipped, and what it charges for one
//! model depends on who serves it: the configuration must say.

use super::{BaseUrl, Borrowed, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule, Takes};
use crate::conversation::Capabilities;
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "openrouter",
    base_url: BaseUrl::Own("https://openrouter.ai/api/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[Endpoint::at(Dialect::Chat, "/chat/completions").borrowing(&CHAT)],
    price: PriceRule::MustSay,
    output_cap_member: "max_tokens",
    asks_usage: true,
    on_disconnect: OnDisconnect::Abort,
    trusts_zero: false,
    default_headers: &[],
    capabilities: |_| Capabilities::chat(),
};

/// It has no `n` and passes over one.
static CHAT: Borrowed = Borrowed {
    takes: Takes::All,
    renames: &[],
    rewords: &[],
    one_choice: true,
};
