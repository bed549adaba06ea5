//! Cohere: its own `/v2/chat` and `/v2/embed`; embedded prices.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
};
use crate::conversation::{Capabilities, NameRule, ReasoningStyle, SystemTurns};
use crate::dialect::{Dialect, EmbeddingFormat};

pub(super) static PRESET: Preset = Preset {
    name: "cohere",
    base_url: BaseUrl::Fixed("https://api.cohere.com"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[
        Endpoint::at(Dialect::Cohere, "/v2/chat"),
        Endpoint::native_embeddings(Dialect::Cohere, "/v2/embed", EmbeddingFormat::CohereV2),
    ],
    place: PlaceRule::None,
    price: PriceRule::Sheet("cohere"),
    output_cap_field: "max_tokens",
    stream_usage_opt_in: false,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::COHERE,
    limits: Some("cohere"),
    capabilities,
};

fn capabilities(model: &str) -> Capabilities {
    let is_plus = model.starts_with("command-a-plus");
    Capabilities {
        stop_sequences_max: 5,
        // these models think unless it is disabled
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
        tool_result_images: false,
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
    fn cohere_model_name_determines_images_reasoning_and_tools() {
        let budget = ReasoningStyle::Budget {
            min: 0,
            max: 32_000,
        };
        for (model, images, reasoning, tools) in [
            ("command-a-03-2025", false, ReasoningStyle::None, true),
            ("command-a-plus-05-2026", true, budget, true),
            ("command-a-reasoning-08-2025", false, budget, true),
            ("command-a-vision-07-2025", true, ReasoningStyle::None, true),
            ("c4ai-aya-expanse-32b", false, ReasoningStyle::None, false),
        ] {
            let capabilities = capabilities(model);
            assert_eq!(
                (
                    capabilities.images,
                    capabilities.reasoning,
                    capabilities.tools
                ),
                (images, reasoning, tools),
                "{model}"
            );
        }
    }
}
