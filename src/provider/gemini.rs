//! Google Gemini: its own `generateContent` and `batchEmbedContents`, with the model in the URL; embedded prices. The
//! generation determines how reasoning is requested and whether signatures must be returned.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
};
use crate::conversation::{Capabilities, Effort, NameRule, ReasoningStyle, SystemTurns};
use crate::dialect::{Dialect, EmbeddingFormat};

pub(super) static PRESET: Preset = Preset {
    name: "gemini",
    base_url: BaseUrl::Fixed("https://generativelanguage.googleapis.com/v1beta"),
    credential: CredentialStyle::XGoogApiKey,
    needs_key: true,
    endpoints: &[
        Endpoint::at(Dialect::Gemini, "/models/{model}:generateContent")
            .with_stream_path("/models/{model}:streamGenerateContent?alt=sse"),
        Endpoint::native_embeddings(
            Dialect::Gemini,
            "/models/{model}:batchEmbedContents",
            EmbeddingFormat::GeminiBatch,
        ),
    ],
    place: PlaceRule::None,
    price: PriceRule::Sheet("gemini"),
    output_cap_field: "maxOutputTokens",
    stream_usage_opt_in: false,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::GEMINI,
    limits: Some("gemini"),
    capabilities,
};

/// First generation with thinking levels in place of budgets, required signatures and media inside
/// results.
const SIGNING_GENERATION: u32 = 3;

fn capabilities(model: &str) -> Capabilities {
    let is_signing = model.starts_with("gemini-")
        && generation(model).is_none_or(|number| number >= SIGNING_GENERATION);
    Capabilities {
        // several models reject them
        penalties: false,
        stop_sequences_max: 5,
        reasoning: reasoning(model),
        image_urls: false,
        parallel_switch: false,
        strict: false,
        system_turns: SystemTurns::First,
        cache_hints: false,
        user: false,
        names: NameRule {
            max: 128,
            also: "-.:",
            begins_with_letter: true,
        },
        signed_calls: is_signing,
        media_within_results: is_signing,
        ..Capabilities::all()
    }
}

/// Number in `gemini-3.1-pro`; `None` for a name such as `gemini-pro-latest`, which is the newest.
fn generation(model: &str) -> Option<u32> {
    let rest = model.strip_prefix("gemini-")?;
    rest.split(|letter: char| !letter.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn reasoning(model: &str) -> ReasoningStyle {
    const WITH_MINIMAL: &[Effort] = &[Effort::Minimal, Effort::Low, Effort::Medium, Effort::High];
    match model {
        _ if !model.starts_with("gemini-") => ReasoningStyle::None,
        _ if model.starts_with("gemini-2.5-flash-lite") => ReasoningStyle::Budget {
            min: 512,
            max: 24_576,
        },
        _ if model.starts_with("gemini-2.5-flash") => ReasoningStyle::Budget {
            min: 0,
            max: 24_576,
        },
        _ if model.starts_with("gemini-2.5-pro") => ReasoningStyle::Budget {
            min: 128,
            max: 32_768,
        },
        _ if generation(model).is_some_and(|number| number < SIGNING_GENERATION) => {
            ReasoningStyle::None
        }
        _ if model.starts_with("gemini-3-pro") => {
            ReasoningStyle::Effort(&[Effort::Low, Effort::High])
        }
        _ if [
            "gemini-3-flash",
            "gemini-3.5-flash-lite",
            "gemini-3.6-flash",
        ]
        .iter()
        .any(|prefix| model.starts_with(prefix)) =>
        {
            ReasoningStyle::Effort(WITH_MINIMAL)
        }
        _ => ReasoningStyle::Effort(&[Effort::Low, Effort::Medium, Effort::High]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gemini_generation_determines_reasoning_style_and_signatures() {
        let budget = |min, max| ReasoningStyle::Budget { min, max };
        let efforts = ReasoningStyle::Effort(&[Effort::Low, Effort::Medium, Effort::High]);
        for (model, reasoning, is_signing) in [
            ("gemini-2.0-flash", ReasoningStyle::None, false),
            ("gemini-2.5-pro", budget(128, 32_768), false),
            ("gemini-2.5-flash", budget(0, 24_576), false),
            ("gemini-2.5-flash-lite", budget(512, 24_576), false),
            (
                "gemini-3-pro-preview",
                ReasoningStyle::Effort(&[Effort::Low, Effort::High]),
                true,
            ),
            ("gemini-3.8-flash", efforts, true),
            ("gemini-4-argon", efforts, true),
            ("gemini-pro-latest", efforts, true),
            ("gemma-4-31b-it", ReasoningStyle::None, false),
        ] {
            let capabilities = capabilities(model);
            assert_eq!(
                (capabilities.reasoning, capabilities.signed_calls),
                (reasoning, is_signing),
                "{model}"
            );
        }
    }
}
