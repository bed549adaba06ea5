//! Ollama by its own `/api/chat`, for every client: the older way in. Servers that are too old for `/v1/messages` and `/v1/responses`
//! have it too, whether a model is to think can be said in it, and a stream that was cut off shows. What OpenAI's
//! dialect has and this has not is lost, so where `/v1` is there, the preset `ollama` passes more on.

use super::{BaseUrl, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule};
use crate::conversation::{Capabilities, Effort, ReasoningStyle, SystemTurns};
use crate::dialect::{Dialect, Framing};

pub(super) static PRESET: Preset = Preset {
    name: "ollama_native",
    base_url: BaseUrl::Fixed("http://127.0.0.1:11434"),
    credential: CredentialStyle::Bearer,
    needs_key: false,
    endpoints: &[
        Endpoint::at(Dialect::Ollama, "/api/chat").framed(Framing::Lines),
        Endpoint::at(Dialect::Embeddings, "/v1/embeddings"),
    ],
    price: PriceRule::Free,
    output_cap_member: "num_predict",
    stream_usage_opt_in: false,
    on_disconnect: OnDisconnect::Abort,
    zero_usage_is_real: true,
    default_headers: &[],
    capabilities,
};

fn capabilities(model: &str) -> Capabilities {
    Capabilities {
        reasoning: reasoning(model),
        image_urls: false,
        documents: false,
        // there is no choice among tools but to offer none
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

/// Families that think; a model that does not is refused with a 400 if it is told to.
fn reasoning(model: &str) -> ReasoningStyle {
    let name = model.rsplit('/').next().unwrap_or(model);
    let is = |family: &str| name.starts_with(family);
    if is("gpt-oss") {
        return ReasoningStyle::Effort(&[Effort::Low, Effort::Medium, Effort::High]);
    }
    let thinks = ["qwen3", "deepseek-r1", "deepseek-v3.1", "magistral"]
        .into_iter()
        .any(is);
    if thinks && !name.contains("coder") && !name.contains("instruct") {
        ReasoningStyle::Switch
    } else {
        ReasoningStyle::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_families_that_think_are_told_to() {
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
