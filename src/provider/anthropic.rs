//! Anthropic: messages and token counts, embedded prices. Capabilities follow from the generation
//! in the model's name; an unknown name is treated as the newest generation, which accepts the
//! fewest parameters.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
};
use crate::conversation::{Capabilities, Effort, IdRule, NameRule, ReasoningStyle, SystemTurns};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "anthropic",
    base_url: BaseUrl::Fixed("https://api.anthropic.com/v1"),
    credential: CredentialStyle::XApiKey,
    needs_key: true,
    endpoints: &[
        Endpoint::at(Dialect::Messages, "/messages"),
        Endpoint::token_count("/messages/count_tokens"),
    ],
    place: PlaceRule::None,
    price: PriceRule::Sheet("anthropic"),
    output_cap_field: "max_tokens",
    stream_usage_opt_in: false,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[("anthropic-version", "2023-06-01")],
    failure_words: failure_words::ANTHROPIC,
    limits: Some("anthropic"),
    capabilities,
};

/// Efforts of models that decide themselves how much to think.
const ADAPTIVE: ReasoningStyle = ReasoningStyle::Adaptive(&[
    Effort::Low,
    Effort::Medium,
    Effort::High,
    Effort::XHigh,
    Effort::Max,
]);
/// Efforts of 4.6, the first model with efforts in place of a budget.
const ADAPTIVE_4_6: ReasoningStyle =
    ReasoningStyle::Adaptive(&[Effort::Low, Effort::Medium, Effort::High]);
const BUDGET: ReasoningStyle = ReasoningStyle::Budget {
    min: 1_024,
    max: 64_000,
};

/// Capabilities of a Claude model at any vendor, by its name with or without prefix and date.
pub(super) fn capabilities(model: &str) -> Capabilities {
    let generation = generation(model).unwrap_or((u16::MAX, 0));
    Capabilities {
        // sampling parameters are rejected since 4.7, `temperature` with `top_p` since 4.1
        sampling: generation < (4, 7),
        temperature_with_top_p: generation < (4, 1),
        penalties: false,
        seed: false,
        stop_sequences_max: 8_191,
        reasoning: match generation {
            (..3, _) | (3, ..7) => ReasoningStyle::None,
            (3, _) | (4, ..6) => BUDGET,
            (4, 6) => ADAPTIVE_4_6,
            _ => ADAPTIVE,
        },
        exclusive_reasoning: true,
        signed_reasoning: true,
        json_object: false,
        json_schema: generation >= (4, 1),
        open_schemas: false,
        strict: generation >= (4, 1),
        // later system turns need a beta header, which clients of other dialects cannot send
        system_turns: SystemTurns::First,
        service_tier: false,
        names: NameRule {
            max: 128,
            also: "-",
            begins_with_letter: false,
        },
        ids: IdRule {
            min: 1,
            max: 64,
            also: "_-",
        },
        ..Capabilities::all()
    }
}

/// Major and minor version in the name, without the date: `claude-3-5-sonnet-20241022`,
/// `claude-opus-4-20250514`, `claude-sonnet-5-5`.
fn generation(model: &str) -> Option<(u16, u16)> {
    let name = &model[model.find("claude")?..];
    let name = name.split([':', '@']).next().unwrap_or(name);
    let parts = name.split(['-', '.']);
    let mut numbers = parts
        .filter(|part| part.len() <= 2)
        .map_while(|part| part.parse().ok());
    let major = numbers.next()?;
    Some((major, numbers.next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anthropic_generation_is_read_from_model_name() {
        for (model, expected) in [
            ("claude-3-haiku-20240307", Some((3, 0))),
            ("claude-3-5-sonnet-20241022", Some((3, 5))),
            ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", Some((3, 7))),
            ("claude-opus-4-20250514", Some((4, 0))),
            ("anthropic.claude-opus-4-1-20250805-v1:0", Some((4, 1))),
            ("anthropic.claude-haiku-4-5@20251001", Some((4, 5))),
            ("claude-sonnet-4.5", Some((4, 5))),
            ("us.anthropic.claude-opus-4-6-v1", Some((4, 6))),
            ("claude-sonnet-5", Some((5, 0))),
            ("claude-haiku-5-5", Some((5, 5))),
            ("claude-mythos-preview", None),
            ("some-alias", None),
        ] {
            assert_eq!(generation(model), expected, "{model}");
        }
    }

    #[test]
    fn e21_anthropic_newer_and_unknown_models_reject_sampling_and_think_adaptively() {
        for (model, sampling, both, reasoning) in [
            (
                "claude-3-5-sonnet-20241022",
                true,
                true,
                ReasoningStyle::None,
            ),
            ("claude-3-7-sonnet-20250219", true, true, BUDGET),
            ("claude-sonnet-4-5", true, false, BUDGET),
            ("claude-sonnet-4-6", true, false, ADAPTIVE_4_6),
            ("claude-opus-4-7", false, false, ADAPTIVE),
            ("claude-sonnet-5-5", false, false, ADAPTIVE),
            ("claude-mythos-preview", false, false, ADAPTIVE),
        ] {
            let capabilities = capabilities(model);
            assert_eq!(
                (
                    capabilities.sampling,
                    capabilities.temperature_with_top_p,
                    capabilities.reasoning
                ),
                (sampling, both, reasoning),
                "{model}"
            );
        }
    }
}
