//! Ollama at its own `/api/chat`; free. For servers that predate `/v1/messages` and
//! `/v1/responses`: it can switch reasoning on and off, and a truncated stream is detectable.
//! Fields of OpenAI's dialect without an equivalent are lost; if `/v1` exists, the preset `ollama`
//! keeps more of a request.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
};
use crate::conversation::{Capabilities, Effort, ReasoningStyle, SystemTurns};
use crate::dialect::{Dialect, Framing};

pub(super) static PRESET: Preset = Preset {
    name: "ollama_native",
    base_url: BaseUrl::Fixed("http://127.0.0.1:11434"),
    credential: CredentialStyle::Bearer,
    needs_key: false,
    endpoints: &[
        Endpoint::at(Dialect::Ollama, "/api/chat").with_framing(Framing::Lines),
        Endpoint::embeddings("/v1/embeddings").borrowed(),
    ],
    place: PlaceRule::None,
    price: PriceRule::Free,
    output_cap_field: "num_predict",
    stream_usage_opt_in: false,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::OLLAMA,
    limits: Some("ollama"),
    capabilities,
};

fn capabilities(model: &str) -> Capabilities {
    Capabilities {
        reasoning: reasoning(model),
        image_urls: false,
        documents: false,
        // Ollama has no `tool_choice`
        tool_choice_none: false,
        tool_choice_forced: false,
        parallel_switch: false,
        strict: false,
        system_turns: SystemTurns::First,
        cache_hints: false,
        service_tier: false,
        user: false,
        ..Capabilities::all()
    }
}

/// Reasoning style by model family; other models reject `think` with a 400.
fn reasoning(model: &str) -> ReasoningStyle {
    let name = model.rsplit('/').next().unwrap_or(model);
    let is = |family: &str| name.starts_with(family);
    if is("gpt-oss") {
        return ReasoningStyle::Effort(&[Effort::Low, Effort::Medium, Effort::High]);
    }
    let is_reasoning = ["qwen3", "deepseek-r1", "deepseek-v3.1", "magistral"]
        .into_iter()
        .any(is);
    if is_reasoning && !name.contains("coder") && !name.contains("instruct") {
        ReasoningStyle::Switch
    } else {
        ReasoningStyle::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ollama_reasoning_style_follows_model_family() {
        for (model, expected) in [
            (
                "gpt-oss:20b",
                ReasoningStyle::Effort(&[Effort::Low, Effort::Medium, Effort::High]),
            ),
            ("qwen3:8b", ReasoningStyle::Switch),
            ("library/deepseek-r1:7b", ReasoningStyle::Switch),
            ("qwen3-coder:30b", ReasoningStyle::None),
            ("llama3.2", ReasoningStyle::None),
        ] {
            assert_eq!(reasoning(model), expected, "{model}");
        }
    }
}
