//! Vendors as data: base URL, credential style, dialects, capabilities and price rule of each. The
//! only folder that distinguishes vendors; all other code reads these presets. Must never open a
//! connection or store a secret.

mod anthropic;
mod azure;
mod bedrock;
mod cohere;
mod deepseek;
mod gemini;
mod groq;
mod mistral;
mod ollama;
mod ollama_native;
mod openai;
mod openai_compatible;
mod openrouter;
mod preset;
mod simulator;
mod together;
mod xai;

pub use bedrock::{AwsKeys, RequestToSign, Signer};
pub use preset::litellm_names::{LiteLlmVendor, litellm_vendor};
pub use preset::{
    BaseUrl, BodyWrapper, CompatRules, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset,
    PriceRule, SupportedFields,
};

/// Presets that `[providers.NAME]` can name; each has a file of its own.
pub static REGISTRY: &[&Preset] = &[
    &anthropic::PRESET,
    &azure::PRESET,
    &bedrock::PRESET,
    &cohere::PRESET,
    &deepseek::PRESET,
    &gemini::PRESET,
    &groq::PRESET,
    &mistral::PRESET,
    &ollama::PRESET,
    &ollama_native::PRESET,
    &openai::PRESET,
    &openai_compatible::PRESET,
    &openrouter::PRESET,
    &simulator::PRESET,
    &together::PRESET,
    &xai::PRESET,
];

/// Preset of this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    REGISTRY.iter().copied().find(|preset| preset.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::dialect::{Dialect, Operation};
    use crate::domain::secret::Secret;
    use crate::price::Sheet;

    #[test]
    fn registry_equals_folder() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/provider"))
            .expect("the folder");
        let files: BTreeSet<String> = folder
            .map(|file| {
                file.expect("a file")
                    .file_name()
                    .to_string_lossy()
                    .trim_end_matches(".rs")
                    .to_owned()
            })
            .filter(|file| !["mod", "preset"].contains(&file.as_str()))
            .collect();
        let presets: BTreeSet<String> = REGISTRY
            .iter()
            .map(|preset| preset.name.to_owned())
            .collect();
        assert_eq!(presets, files);
        assert!(REGISTRY.iter().all(|preset| find(preset.name).is_some()));
        assert!(find("unknown").is_none());
    }

    #[test]
    fn preset_urls_join_and_price_sheets_exist() {
        let sheet = Sheet::embedded();
        for preset in REGISTRY {
            let url = match preset.base_url {
                BaseUrl::Fixed(url) | BaseUrl::Configured(url) => url.to_owned(),
                BaseUrl::Regional(url) => url("a-region-1"),
            };
            assert!(!url.ends_with('/'), "{}", preset.name);
            assert!(!preset.endpoints.is_empty(), "{}", preset.name);
            assert!(
                preset
                    .endpoints
                    .iter()
                    .all(|endpoint| endpoint.path.starts_with('/')),
                "{}",
                preset.name
            );
            if let PriceRule::Sheet(vendor) = preset.price {
                assert!(
                    sheet.models(vendor).any(|row| row.is_priced()),
                    "{}",
                    preset.name
                );
            }
        }
        let endpoint =
            |preset: &Preset, operation| preset.endpoint(operation, Dialect::Messages, "m");
        assert!(endpoint(&openai::PRESET, Operation::TokenCount).is_none());
        assert_eq!(
            endpoint(&ollama::PRESET, Operation::Conversation).map(|endpoint| endpoint.path),
            Some("/messages")
        );
    }

    #[test]
    fn base_url_is_taken_with_and_without_the_version() {
        for (preset, written, complete) in [
            ("openai", "https://a.example", "https://a.example/v1"),
            ("openai", "https://a.example/v1", "https://a.example/v1"),
            ("openai", "https://a.example/x", "https://a.example/x"),
            ("anthropic", "https://a.example", "https://a.example/v1"),
            ("groq", "https://a.example", "https://a.example/openai/v1"),
            ("gemini", "https://a.example", "https://a.example/v1beta"),
            ("ollama", "http://a:11434", "http://a:11434/v1"),
            ("ollama_native", "http://a:11434/v1", "http://a:11434"),
            ("azure", "https://r.example/openai/v1", "https://r.example"),
            (
                "azure",
                "https://r.example/openai",
                "https://r.example/openai",
            ),
            ("cohere", "https://a.example/v2", "https://a.example"),
            ("openai_compatible", "http://a:8000", "http://a:8000"),
            ("openai_compatible", "http://a:8000/v1", "http://a:8000/v1"),
        ] {
            let preset = find(preset).expect("a preset");
            assert_eq!(
                preset.complete_base_url(written),
                complete,
                "{}",
                preset.name
            );
        }
    }

    #[test]
    fn compat_rules_accept_fields_added_by_the_gateway() {
        for preset in REGISTRY {
            for endpoint in preset.endpoints {
                let Some(compat) = endpoint.compat else {
                    continue;
                };
                let mut added = vec!["model"];
                if endpoint.dialect == Dialect::Chat
                    && endpoint.operation == Operation::Conversation
                {
                    added.extend([preset.output_cap_field, "messages", "stream"]);
                    added.extend(preset.stream_usage_opt_in.then_some("stream_options"));
                }
                for field in added
                    .iter()
                    .copied()
                    .chain(compat.renames.iter().map(|(_, vendor_name)| *vendor_name))
                {
                    assert!(compat.fields.supports(field), "{}: {field}", preset.name);
                }
            }
        }
    }

    #[test]
    fn credential_uses_vendor_header_and_is_never_printed() {
        let key = Secret::new("k-1");
        let header = |style: CredentialStyle| {
            style
                .header(&key)
                .map(|(name, value)| (name, value.expose().to_owned()))
        };
        assert_eq!(
            header(CredentialStyle::Bearer),
            Some(("authorization", "Bearer k-1".to_owned()))
        );
        assert_eq!(
            header(CredentialStyle::XApiKey),
            Some(("x-api-key", "k-1".to_owned()))
        );
        assert_eq!(
            header(CredentialStyle::ApiKey),
            Some(("api-key", "k-1".to_owned()))
        );
        assert_eq!(
            header(CredentialStyle::XGoogApiKey),
            Some(("x-goog-api-key", "k-1".to_owned()))
        );
        assert_eq!(header(CredentialStyle::None), None);
        assert!(!format!("{:?}", CredentialStyle::Bearer.header(&key)).contains("k-1"));
    }
}
