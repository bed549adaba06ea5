//! OpenRouter: OpenAI's chat dialect in front of other vendors. The price of a model depends on the
//! vendor that serves it, so no prices are embedded and the configuration must set them.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CompatRules, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
    SupportedFields,
};
use crate::conversation::Capabilities;
use crate::dialect::{Dialect, UsageRules};

pub(super) static PRESET: Preset = Preset {
    name: "openrouter",
    base_url: BaseUrl::Fixed("https://openrouter.ai/api/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[Endpoint::at(Dialect::Chat, "/chat/completions")
        .with_compat(&CHAT)
        .with_open_names(is_open_name)
        .with_usage_rules(UsageRules::RELAY)],
    place: PlaceRule::None,
    price: PriceRule::Required,
    output_cap_field: "max_tokens",
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::OPENAI,
    limits: Some("openrouter"),
    capabilities: |_| Capabilities::chat(),
};

/// OpenRouter ignores `n`.
static CHAT: CompatRules = CompatRules {
    fields: SupportedFields::All,
    renames: &[],
    value_map: &[],
    one_choice: true,
};

/// Names by which OpenRouter chooses the model (`openrouter/auto`, `~author/model-latest`), applies a stored preset
/// (`author/model@preset/name`), or adds paid tools or another price (`:online`, `:nitro`, …). `:free`, `:beta`, `:extended`,
/// `:thinking` and sizes such as `llama3:70b` are names of models.
fn is_open_name(model: &str) -> bool {
    const MODEL_SUFFIXES: [&str; 5] = ["free", "beta", "extended", "thinking", "batch"];
    let suffix = model.rsplit_once(':').map(|(_, suffix)| suffix);
    let is_size = |suffix: &str| suffix.bytes().any(|byte| byte.is_ascii_digit());
    model.starts_with("openrouter/")
        || model.starts_with('~')
        || model.contains('@')
        || suffix.is_some_and(|suffix| !MODEL_SUFFIXES.contains(&suffix) && !is_size(suffix))
}

#[cfg(test)]
mod tests {
    use super::is_open_name;

    #[test]
    fn names_by_which_the_vendor_chooses_or_adds_are_open() {
        for name in [
            "openrouter/auto",
            "~anthropic/claude-latest",
            "@preset/mine",
            "openai/gpt-5.1@preset/mine",
            "openai/gpt-5.1:online",
            "openai/gpt-5.1:nitro",
            "openai/gpt-5.1:floor",
            "openai/gpt-5.1:free:online",
        ] {
            assert!(is_open_name(name), "{name}");
        }
        for name in [
            "openai/gpt-5.1",
            "meta-llama/llama-4:free",
            "anthropic/claude-3.7-sonnet:thinking",
        ] {
            assert!(!is_open_name(name), "{name}");
        }
    }
}
