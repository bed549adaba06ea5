//! OpenAI: chat and responses at its own address, list prices. Usage on a stream comes only if it is asked for.

use super::{BaseUrl, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule};
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
        Endpoint::at(Dialect::Embeddings, "/embeddings"),
    ],
    price: PriceRule::Sheet("openai"),
    // reasoning models refuse `max_tokens`; all current models take this one
    output_cap_member: "max_completion_tokens",
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    zero_usage_is_real: true,
    default_headers: &[],
    capabilities,
};

/// What a model takes, at whatever vendor has it: by its name. Of one that is not known nothing is taken away but what no
/// conversation needs.
pub(super) fn capabilities(model: &str) -> Capabilities {
    let reasoning = match model {
        _ if is_of(model, "gpt-3.5")
            || is_of(model, "gpt-4")
            || is_of(model, "gpt-4o")
            || is_of(model, "gpt-4.1") =>
        {
            ReasoningStyle::None
        }
        _ if is_of(model, "gpt-5.1") => {
            ReasoningStyle::Effort(&[Effort::None, Effort::Low, Effort::Medium, Effort::High])
        }
        _ if model.starts_with("gpt-5.") => ReasoningStyle::Effort(&[
            Effort::None,
            Effort::Low,
            Effort::Medium,
            Effort::High,
            Effort::XHigh,
        ]),
        _ if is_of(model, "gpt-5") => {
            ReasoningStyle::Effort(&[Effort::Minimal, Effort::Low, Effort::Medium, Effort::High])
        }
        _ => ReasoningStyle::Effort(&[Effort::Low, Effort::Medium, Effort::High]),
    };
    let reasons = ["o1", "o3", "o4", "gpt-5"]
        .into_iter()
        .any(|family| model.starts_with(family));
    Capabilities {
        reasoning,
        sampling: !reasons,
        penalties: !reasons,
        ..Capabilities::chat()
    }
}

/// Whether a name is the family's or one of its members': `gpt-5`, `gpt-5-mini`, not `gpt-5.1`.
fn is_of(model: &str, family: &str) -> bool {
    model
        .strip_prefix(family)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_models_take_efforts_and_no_sampling() {
        for (model, least, sampling) in [
            ("gpt-4.1-mini", None, true),
            ("gpt-4o-2024-08-06", None, true),
            ("o3-mini", Some(Effort::Low), false),
            ("gpt-5-nano", Some(Effort::Minimal), false),
            ("gpt-5.1", Some(Effort::None), false),
            ("gpt-5.4-2026-03-05", Some(Effort::None), false),
            ("our-deployment", Some(Effort::Low), true),
        ] {
            let takes = capabilities(model);
            let first = match takes.reasoning {
                ReasoningStyle::Effort(words) => words.first().copied(),
                _ => None,
            };
            assert_eq!((first, takes.sampling), (least, sampling), "{model}");
        }
    }
}
