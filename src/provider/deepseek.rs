//! DeepSeek: OpenAI's chat dialect at its root and Anthropic's messages dialect below `/anthropic`;
//! embedded prices, at the peak rate. Reasons unless told not to, and rejects a conversation with
//! tools whose reasoning is not returned: translated requests use the messages dialect, which
//! carries it.

use super::preset::{
    BaseUrl, CompatRules, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule,
    SupportedFields,
};
use crate::conversation::{Capabilities, ReasoningStyle};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "deepseek",
    base_url: BaseUrl::Fixed("https://api.deepseek.com"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[
        Endpoint::at(Dialect::Messages, "/anthropic/v1/messages"),
        Endpoint::at(Dialect::Chat, "/chat/completions").with_compat(&CHAT),
    ],
    price: PriceRule::Sheet("deepseek"),
    output_cap_field: "max_tokens",
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    capabilities,
};

static CHAT: CompatRules = CompatRules {
    fields: SupportedFields::All,
    renames: &[("max_completion_tokens", "max_tokens")],
    value_map: &[],
    one_choice: true,
};

fn capabilities(model: &str) -> Capabilities {
    Capabilities {
        // the budget only switches reasoning on: DeepSeek ignores its size
        reasoning: ReasoningStyle::Budget {
            min: 0,
            max: 384_000,
        },
        images: model.contains("flash"),
        documents: false,
        json_schema: false,
        strict: false,
        cache_hints: false,
        service_tier: false,
        ..Capabilities::all()
    }
}
