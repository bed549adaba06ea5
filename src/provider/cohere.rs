//! Cohere by its own `/v2/chat`; embeddings by the path where it speaks as OpenAI does.

use super::{BaseUrl, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule};
use crate::conversation::{Capabilities, NameRule, ReasoningStyle, SystemTurns};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "cohere",
    base_url: BaseUrl::Fixed("https://api.cohere.com"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[
        Endpoint::at(Dialect::Cohere, "/v2/chat"),
        Endpoint::at(Dialect::Embeddings, "/compatibility/v1/embeddings"),
    ],
    price: PriceRule::Sheet("cohere"),
    output_cap_member: "max_tokens",
    stream_usage_opt_in: false,
    on_disconnect: OnDisconnect::Abort,
    zero_usage_is_real: true,
    default_headers: &[],
    capabilities,
};

fn capabilities(model: &str) -> Capabilities {
    let is_plus = model.starts_with("command-a-plus");
    Capabilities {
        stops_max: 5,
        // they think unless told not to
        reasoning: if is_plus || model.contains("reasoning") {
            ReasoningStyle::Budget {
                min: 0,
                max: 32_000,
            }
        } else {
            ReasoningStyle::None
        },
        images: is_plus || model.contains("vision"),
        documents: false,
        result_images: false,
        tools: !model.contains("aya"),
        parallel_switch: false,
        system_turns: SystemTurns::First,
        cache_hints: false,
        service_tier: false,
        user: false,
        names: NameRule {
            max: 64,
            also: "",
            begins_with_letter: true,
        },
        ..Capabilities::all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_says_what_it_sees_and_whether_it_thinks() {
        let thinks = ReasoningStyle::Budget {
            min: 0,
            max: 32_000,
        };
        for (model, images, reasoning, tools) in [
            ("command-a-03-2025", false, ReasoningStyle::None, true),
            ("command-a-plus-05-2026", true, thinks, true),
            ("command-a-reasoning-08-2025", false, thinks, true),
            ("command-a-vision-07-2025", true, ReasoningStyle::None, true),
            ("c4ai-aya-expanse-32b", false, ReasoningStyle::None, false),
        ] {
            let takes = capabilities(model);
            assert_eq!(
                (takes.images, takes.reasoning, takes.tools),
                (images, reasoning, tools),
                "{model}"
            );
        }
    }
}
