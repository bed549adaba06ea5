//! Vendors as data: base URL, credential style, dialects, capabilities and price rule of each. The
//! only folder that distinguishes vendors; all other code reads these presets. Must never open a
//! connection or store a secret.

mod anthropic;
mod azure;
mod bedrock;
mod cohere;
mod gemini;
mod groq;
mod mistral;
mod ollama;
mod ollama_native;
mod openai;
mod openai_compatible;
mod openrouter;
mod simulator;
mod together;

pub use bedrock::{AwsKeys, RequestToSign, Signer};

use crate::conversation::Capabilities;
use crate::dialect::{Dialect, Framing, Operation};
use crate::domain::secret::Secret;

/// Presets that `[providers.NAME]` can name; each has a file of its own.
pub static REGISTRY: &[&Preset] = &[
    &anthropic::PRESET,
    &azure::PRESET,
    &bedrock::PRESET,
    &cohere::PRESET,
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
];

/// Preset of this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    REGISTRY.iter().copied().find(|preset| preset.name == name)
}

/// Properties of a vendor that are the same for all accounts.
#[derive(Debug)]
pub struct Preset {
    pub name: &'static str,
    pub base_url: BaseUrl,
    pub credential: CredentialStyle,
    /// calls without a credential fail
    pub needs_key: bool,
    pub endpoints: &'static [Endpoint],
    /// default of the provider's `price`
    pub price: PriceRule,
    /// field for the output cap of a chat request that names none
    pub output_cap_member: &'static str,
    /// a chat stream reports usage only with `stream_options.include_usage`
    pub stream_usage_opt_in: bool,
    /// default of the provider's `on_disconnect`
    pub on_disconnect: OnDisconnect,
    /// trust a reported zero; otherwise usage is estimated
    pub zero_usage_is_real: bool,
    /// sent unless the client set them
    pub default_headers: &'static [(&'static str, &'static str)],
    /// capabilities of a model, for requests translated from another dialect
    pub capabilities: fn(&str) -> Capabilities,
}

/// Base URL of a vendor, without a trailing slash.
#[derive(Clone, Copy, Debug)]
pub enum BaseUrl {
    Fixed(&'static str),
    /// set by the configuration; the value is an example
    Configured(&'static str),
    /// of a region, which the configuration sets
    Regional(fn(&str) -> String),
}

/// Operation and dialect of a vendor and their path.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    pub operation: Operation,
    pub dialect: Dialect,
    /// appended to the base URL; `{model}` is the model's name as one path segment
    pub path: &'static str,
    /// path of a streamed call, if it differs
    pub stream_path: Option<&'static str>,
    /// path of all calls if the configuration has an `api_version`
    pub versioned_path: Option<&'static str>,
    /// framing of the events of a stream
    pub framing: Framing,
    /// models that this endpoint serves
    pub supports_model: fn(&str) -> bool,
    /// differences from the dialect, for a vendor that is not its author
    pub compat: Option<&'static CompatRules>,
    /// for a vendor that takes the dialect's bodies in an envelope of its own
    pub wrapper: Option<&'static BodyWrapper>,
}

impl Endpoint {
    /// Endpoint of a vendor that supports the dialect without differences.
    const fn at(dialect: Dialect, path: &'static str) -> Endpoint {
        Endpoint {
            operation: Operation::Conversation,
            dialect,
            path,
            stream_path: None,
            versioned_path: None,
            framing: Framing::Sse,
            supports_model: |_| true,
            compat: None,
            wrapper: None,
        }
    }

    const fn embeddings(path: &'static str) -> Endpoint {
        Endpoint {
            operation: Operation::Embeddings,
            ..Endpoint::at(Dialect::Chat, path)
        }
    }

    const fn token_count(path: &'static str) -> Endpoint {
        Endpoint {
            operation: Operation::TokenCount,
            ..Endpoint::at(Dialect::Messages, path)
        }
    }

    const fn with_stream_path(self, path: &'static str) -> Endpoint {
        Endpoint {
            stream_path: Some(path),
            ..self
        }
    }

    const fn with_framing(self, framing: Framing) -> Endpoint {
        Endpoint { framing, ..self }
    }

    const fn for_models(self, supports_model: fn(&str) -> bool) -> Endpoint {
        Endpoint {
            supports_model,
            ..self
        }
    }

    const fn with_wrapper(self, wrapper: &'static BodyWrapper) -> Endpoint {
        Endpoint {
            wrapper: Some(wrapper),
            ..self
        }
    }

    const fn with_compat(self, compat: &'static CompatRules) -> Endpoint {
        Endpoint {
            compat: Some(compat),
            ..self
        }
    }

    const fn with_versioned_path(self, path: &'static str) -> Endpoint {
        Endpoint {
            versioned_path: Some(path),
            ..self
        }
    }
}

/// Top-level fields of a request that a vendor of a borrowed dialect rejects, renames or takes with
/// other values.
#[derive(Debug)]
pub struct CompatRules {
    pub fields: SupportedFields,
    /// field, vendor's name
    pub renames: &'static [(&'static str, &'static str)],
    /// field, value, vendor's value; compact JSON
    pub value_map: &'static [(&'static str, &'static str, &'static str)],
    /// one choice per request, regardless of `n`
    pub one_choice: bool,
}

/// Wrapper around an otherwise unmodified body. The client's headers are not forwarded.
#[derive(Debug)]
pub struct BodyWrapper {
    /// fields that the vendor takes from the URL
    pub remove: &'static [&'static str],
    /// field, JSON value
    pub set: &'static [(&'static str, &'static str)],
    /// client header with a list, field with the same list
    pub from_header: &'static [(&'static str, &'static str)],
}

/// Top-level fields that a vendor accepts.
#[derive(Clone, Copy, Debug)]
pub enum SupportedFields {
    All,
    AllBut(&'static [&'static str]),
    /// closed schema: the vendor rejects other fields
    Only(&'static [&'static str]),
}

impl SupportedFields {
    pub fn supports(self, field: &str) -> bool {
        match self {
            SupportedFields::All => true,
            SupportedFields::AllBut(fields) => !fields.contains(&field),
            SupportedFields::Only(fields) => fields.contains(&field),
        }
    }
}

/// Handling of the upstream call after the client disconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisconnect {
    /// close the connection: the vendor stops generating and billing
    Abort,
    /// read the response to its end for the reported usage: the vendor bills all of it anyway
    Drain,
}

/// Header or signature that carries a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialStyle {
    None,
    /// `authorization: Bearer KEY`
    Bearer,
    /// `x-api-key: KEY`
    XApiKey,
    /// `api-key: KEY`
    ApiKey,
    /// `x-goog-api-key: KEY`; never in the URL, which appears in logs
    XGoogApiKey,
    /// `authorization: Bearer KEY`, or Signature Version 4 for this AWS service
    BearerOrSigned(&'static str),
}

/// Default price of a vendor's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceRule {
    /// embedded price sheet, section of this vendor
    Sheet(&'static str),
    /// pico-USD per token
    Fixed {
        input: u64,
        output: u64,
    },
    Free,
    /// set by the configuration
    Required,
}

impl Preset {
    /// Endpoint for a call in a client dialect: the endpoint of that dialect if it serves the
    /// model, else, for a conversation, the first one that requests can be translated to.
    pub fn endpoint(
        &self,
        operation: Operation,
        client: Dialect,
        model: &str,
    ) -> Option<&'static Endpoint> {
        let endpoints = || {
            self.endpoints.iter().filter(|endpoint| {
                endpoint.operation == operation && (endpoint.supports_model)(model)
            })
        };
        let own = endpoints().find(|endpoint| endpoint.dialect == client);
        let other = || endpoints().find(|endpoint| endpoint.dialect.can_encode());
        own.or_else(other)
    }
}

impl CredentialStyle {
    /// Name and value of the credential header.
    pub fn header(self, key: &Secret) -> Option<(&'static str, Secret)> {
        match self {
            CredentialStyle::None => None,
            CredentialStyle::Bearer | CredentialStyle::BearerOrSigned(_) => Some((
                "authorization",
                Secret::new(format!("Bearer {}", key.expose())),
            )),
            CredentialStyle::XApiKey => Some(("x-api-key", key.clone())),
            CredentialStyle::ApiKey => Some(("api-key", key.clone())),
            CredentialStyle::XGoogApiKey => Some(("x-goog-api-key", key.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
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
            .filter(|file| file != "mod")
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
                    added.extend([preset.output_cap_member, "messages", "stream"]);
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
