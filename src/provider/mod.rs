//! Vendors as data: where one is reached, how it takes its credential, what it speaks and how it is priced. The only place
//! that knows vendors apart; everything else reads these rows. It opens no connection and keeps no secret.

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
use crate::dialect::{Dialect, Framing};
use crate::domain::secret::Secret;

/// Every preset that a `[providers.NAME]` can name; one file each.
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

/// The preset of this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    REGISTRY.iter().copied().find(|preset| preset.name == name)
}

/// What is the same for every account at one vendor.
#[derive(Debug)]
pub struct Preset {
    pub name: &'static str,
    pub base_url: BaseUrl,
    pub credential: CredentialStyle,
    /// whether calls are pointless without a credential
    pub needs_key: bool,
    pub endpoints: &'static [Endpoint],
    /// the price where the configuration says nothing
    pub price: PriceRule,
    /// the member that caps the output of a chat call, where the client named none
    pub output_cap_member: &'static str,
    /// whether a chat stream reports its usage only if `stream_options.include_usage` asks for it
    pub stream_usage_opt_in: bool,
    /// what becomes of a call whose client goes away, where the configuration says nothing
    pub on_disconnect: OnDisconnect,
    /// whether no tokens in a report are meant so; elsewhere they stand for what nobody counted
    pub zero_usage_is_real: bool,
    /// sent unless the client sent its own
    pub default_headers: &'static [(&'static str, &'static str)],
    /// what a model of the vendor's takes of a request that comes from another dialect
    pub capabilities: fn(&str) -> Capabilities,
}

/// Where a vendor is reached, without a trailing slash.
#[derive(Clone, Copy, Debug)]
pub enum BaseUrl {
    Fixed(&'static str),
    /// the configuration must say; this is what it looks like
    Configured(&'static str),
    /// that of a region, which the configuration must say
    Regional(fn(&str) -> String),
}

/// A dialect that the vendor speaks, and where.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    pub dialect: Dialect,
    /// appended to the base URL; `{model}` stands for the model's name as one segment
    pub path: &'static str,
    /// the path of a streamed call, where it is another one
    pub stream_path: Option<&'static str>,
    /// the path in place of both where the configuration has an `api_version`
    pub versioned_path: Option<&'static str>,
    /// how the events of a stream lie in its body
    pub framing: Framing,
    /// which models answer here
    pub supports_model: fn(&str) -> bool,
    /// what to mind at a vendor that speaks a dialect which is not its own
    pub compat: Option<&'static CompatRules>,
    /// at a vendor that takes the very dialect, in a cover of its own
    pub wrapper: Option<&'static BodyWrapper>,
}

impl Endpoint {
    /// At the dialect's own vendor, or at one that takes all of it.
    const fn at(dialect: Dialect, path: &'static str) -> Endpoint {
        Endpoint {
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

    const fn streaming_at(self, path: &'static str) -> Endpoint {
        Endpoint {
            stream_path: Some(path),
            ..self
        }
    }

    const fn framed(self, framing: Framing) -> Endpoint {
        Endpoint { framing, ..self }
    }

    const fn serving(self, supports_model: fn(&str) -> bool) -> Endpoint {
        Endpoint {
            supports_model,
            ..self
        }
    }

    const fn covered(self, wrapper: &'static BodyWrapper) -> Endpoint {
        Endpoint {
            wrapper: Some(wrapper),
            ..self
        }
    }

    const fn borrowing(self, compat: &'static CompatRules) -> Endpoint {
        Endpoint {
            compat: Some(compat),
            ..self
        }
    }

    const fn with_version(self, path: &'static str) -> Endpoint {
        Endpoint {
            versioned_path: Some(path),
            ..self
        }
    }
}

/// The capability table of a vendor that borrows a dialect: what becomes of top-level members that it has no like word for.
#[derive(Debug)]
pub struct CompatRules {
    pub takes: SupportedFields,
    /// member, the vendor's name for it
    pub renames: &'static [(&'static str, &'static str)],
    /// member, value, the vendor's value; JSON as it is usually written
    pub value_map: &'static [(&'static str, &'static str, &'static str)],
    /// one answer to a prompt, whatever `n` says
    pub one_choice: bool,
}

/// What is put round a request that else goes as it came. The client's headers stay behind.
#[derive(Debug)]
pub struct BodyWrapper {
    /// members that the vendor reads elsewhere
    pub remove: &'static [&'static str],
    /// member, JSON
    pub set: &'static [(&'static str, &'static str)],
    /// a client's header that is a list of words, the member that is the same list
    pub from_header: &'static [(&'static str, &'static str)],
}

/// Which members a vendor takes.
#[derive(Clone, Copy, Debug)]
pub enum SupportedFields {
    All,
    AllBut(&'static [&'static str]),
    /// a closed schema: any other member is refused
    Only(&'static [&'static str]),
}

impl SupportedFields {
    pub fn takes(self, member: &str) -> bool {
        match self {
            SupportedFields::All => true,
            SupportedFields::AllBut(others) => !others.contains(&member),
            SupportedFields::Only(members) => members.contains(&member),
        }
    }
}

/// What becomes of a call whose client goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisconnect {
    /// the connection is closed: a vendor that notices it bills no more
    Abort,
    /// the answer is read to its end, for the usage that it reports there: for vendors that bill it whole all the same
    Drain,
}

/// How a credential travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialStyle {
    None,
    /// `authorization: Bearer KEY`
    Bearer,
    /// `x-api-key: KEY`
    XApiKey,
    /// `api-key: KEY`
    ApiKey,
    /// `x-goog-api-key: KEY`; never in the address, which ends up in logs
    XGoogApiKey,
    /// `authorization: Bearer KEY`, or requests signed by keys of AWS for this service of theirs
    BearerOrSigned(&'static str),
}

/// What a vendor's calls cost, as far as the vendor alone says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceRule {
    /// the shipped list prices, under this vendor's name
    Sheet(&'static str),
    /// pico-USD per token
    Fixed {
        input: u64,
        output: u64,
    },
    Free,
    /// the configuration must say
    Required,
}

impl Preset {
    /// Where a call of a client's dialect goes: to the endpoint of the same dialect if the model has one, else, for a
    /// conversation, to the first that the client's can be translated for.
    pub fn endpoint(&self, client: Dialect, model: &str) -> Option<&'static Endpoint> {
        let serving = || {
            self.endpoints
                .iter()
                .filter(|endpoint| (endpoint.supports_model)(model))
        };
        let own = serving().find(|endpoint| endpoint.dialect == client);
        let other = || serving().find(|endpoint| endpoint.dialect.can_encode());
        own.or_else(|| client.is_conversation().then(other).flatten())
    }
}

impl CredentialStyle {
    /// The header that carries the credential: its name and its value.
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
    fn the_registry_is_the_folder() {
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
        assert!(find("nobody").is_none());
    }

    #[test]
    fn addresses_join_and_sheets_exist() {
        let sheet = Sheet::embedded();
        for preset in REGISTRY {
            let url = match preset.base_url {
                BaseUrl::Fixed(url) | BaseUrl::Configured(url) => url.to_owned(),
                BaseUrl::Regional(address) => address("a-region-1"),
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
        assert!(openai::PRESET.endpoint(Dialect::TokenCount, "m").is_none());
        assert_eq!(
            ollama::PRESET
                .endpoint(Dialect::Messages, "m")
                .map(|endpoint| endpoint.path),
            Some("/messages")
        );
    }

    /// What the gateway itself writes into a body must get through the table.
    #[test]
    fn what_the_gateway_adds_is_taken() {
        for preset in REGISTRY {
            for endpoint in preset.endpoints {
                let Some(compat) = endpoint.compat else {
                    continue;
                };
                let mut added = vec!["model"];
                if endpoint.dialect == Dialect::Chat {
                    added.extend([preset.output_cap_member, "messages", "stream"]);
                    added.extend(preset.stream_usage_opt_in.then_some("stream_options"));
                }
                for member in added
                    .iter()
                    .copied()
                    .chain(compat.renames.iter().map(|(_, theirs)| *theirs))
                {
                    assert!(compat.takes.takes(member), "{}: {member}", preset.name);
                }
            }
        }
    }

    #[test]
    fn a_credential_travels_in_the_vendors_header_and_is_never_printed() {
        let key = Secret::new("k-1");
        let sent = |style: CredentialStyle| {
            style
                .header(&key)
                .map(|(name, value)| (name, value.expose().to_owned()))
        };
        assert_eq!(
            sent(CredentialStyle::Bearer),
            Some(("authorization", "Bearer k-1".to_owned()))
        );
        assert_eq!(
            sent(CredentialStyle::XApiKey),
            Some(("x-api-key", "k-1".to_owned()))
        );
        assert_eq!(
            sent(CredentialStyle::ApiKey),
            Some(("api-key", "k-1".to_owned()))
        );
        assert_eq!(
            sent(CredentialStyle::XGoogApiKey),
            Some(("x-goog-api-key", "k-1".to_owned()))
        );
        assert_eq!(sent(CredentialStyle::None), None);
        assert!(!format!("{:?}", CredentialStyle::Bearer.header(&key)).contains("k-1"));
    }
}
