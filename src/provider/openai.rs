//! OpenAI: chat, responses and embeddings; embedded prices. A chat stream reports usage only on
//! request.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
};
use crate::conversation::{Capabilities, Effort, ReasoningStyle};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "openai",
    base_url: BaseUrl::Fixed("https://api.openai.com/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[
        Endpoint::at(Dialect::Chat, "/chat/completions"),
        Endpoint::at(Dialect::Responses, "/responses"),
        Endpoint::embeddings("/embeddings"),
    ],
    place: PlaceRule::HostLabel("api.openai.com"),
    price: PriceRule::Sheet("openai"),
    // reasoning models reject `max_tokens`; all current models accept this field
    output_cap_field: "max_completion_tokens",
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::OPENAI,
    limits: Some("openai"),
    capabilities,
};

/// Capabilities of an OpenAI model at any vendor, by its name. An unknown model keeps the
/// capabilities of `Capabilities::chat`.
pub(super) fn capabilities(model: &str) -> Capabilities {
    let reasoning = match model {
        _ if is_in_family(model, "gpt-3.5")
            || is_in_family(model, "gpt-4")
            || is_in_family(model, "gpt-4o")
            || is_in_family(model, "gpt-4.1") =>
        {
            ReasoningStyle::None
        }
        _ if is_in_family(model, "gpt-5.1") => {
            ReasoningStyle::Effort(&[Effort::None, Effort::Low, Effort::Medium, Effort::High])
        }
        _ if model.starts_with("gpt-5.") => ReasoningStyle::Effort(&[
            Effort::None,
            Effort::Low,
            Effort::Medium,
            Effort::High,
            Effort::XHigh,
        ]),
        _ if is_in_family(model, "gpt-5") => {
            ReasoningStyle::Effort(&[Effort::Minimal, Effort::Low, Effort::Medium, Effort::High])
        }
        _ => ReasoningStyle::Effort(&[Effort::Low, Effort::Medium, Effort::High]),
    };
    let is_reasoning = ["o1", "o3", "o4", "gpt-5"]
        .into_iter()
        .any(|family| model.starts_with(family));
    Capabilities {
        reasoning,
        sampling: !is_reasoning,
        penalties: !is_reasoning,
        ..Capabilities::chat()
    }
}

/// True for the family's name and its variants: `gpt-5`, `gpt-5-mini`, not `gpt-5.1`.
fn is_in_family(model: &str, family: &str) -> bool {
    model
        .strip_prefix(family)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openai_reasoning_models_accept_efforts_and_reject_sampling() {
        for (model, least, sampling) in [
            ("gpt-4.1-mini", None, true),
            ("gpt-4o-2024-08-06", None, true),
            ("o3-mini", Some(Effort::Low), false),
            ("gpt-5-nano", Some(Effort::Minimal), false),
            ("gpt-5.1", Some(Effort::None), false),
            ("gpt-5.4-2026-03-05", Some(Effort::None), false),
            ("our-deployment", Some(Effort::Low), true),
        ] {
            let capabilities = capabilities(model);
            let first = match capabilities.reasoning {
                ReasoningStyle::Effort(efforts) => efforts.first().copied(),
                _ => None,
            };
            assert_eq!((first, capabilities.sampling), (least, sampling), "{model}");
        }
    }
}
