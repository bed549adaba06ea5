//! Type of a preset: what is the same for all accounts at one vendor. Holds data and picks the
//! endpoint and the credential header; must never name a vendor or keep a secret.

pub(super) mod failure_words;
pub(super) mod litellm_names;
mod semantic_names;

use crate::conversation::Capabilities;
use crate::dialect::{Dialect, EmbeddingFormat, Framing, Operation, UsageRules};
use crate::domain::attempt::FailureClass;
use crate::domain::secret::Secret;
use failure_words::{FailureWord, classify};

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
    pub place: PlaceRule,
    /// field for the output cap of a chat request that names none
    pub output_cap_field: &'static str,
    /// a chat stream reports usage only with `stream_options.include_usage`
    pub stream_usage_opt_in: bool,
    /// default of the provider's `on_disconnect`
    pub on_disconnect: OnDisconnect,
    /// sent unless the client set them
    pub default_headers: &'static [(&'static str, &'static str)],
    /// the vendor's own words for failures
    pub failure_words: &'static [FailureWord],
    /// vendor in the table of limits, whose rules hold for requests that the gateway writes
    pub limits: Option<&'static str>,
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
    /// embeddings in a format of the vendor's own
    pub embedding_format: Option<EmbeddingFormat>,
    /// reading of the usage that the vendor reports
    pub usage_rules: UsageRules,
    /// the vendor is not the dialect's author, and may take other members for the output cap than the author does
    pub borrowed: bool,
    /// model names by which the vendor chooses the model or adds paid tools
    pub is_open_name: fn(&str) -> bool,
}

impl Endpoint {
    /// Endpoint of a vendor that supports the dialect without differences.
    pub(super) const fn at(dialect: Dialect, path: &'static str) -> Endpoint {
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
            embedding_format: None,
            usage_rules: UsageRules::EXACT,
            borrowed: false,
            is_open_name: |_| false,
        }
    }

    /// Name of the endpoint in the table of limits.
    pub fn limits_name(&self) -> &'static str {
        match (self.operation, self.dialect) {
            (Operation::Embeddings, _) => "embeddings",
            (Operation::TokenCount, _) => "",
            (Operation::Conversation, Dialect::Chat) => "chat",
            (Operation::Conversation, Dialect::Responses) => "responses",
            (Operation::Conversation, Dialect::Messages) if self.wrapper.is_some() => "invoke",
            (Operation::Conversation, Dialect::Messages) => "messages",
            (Operation::Conversation, Dialect::Gemini) => "generate_content",
            (Operation::Conversation, Dialect::Converse) => "converse",
            (Operation::Conversation, Dialect::Cohere) => "cohere_chat",
            (Operation::Conversation, Dialect::Ollama) => "ollama_chat",
        }
    }

    /// A request in the client's own dialect is fitted to the vendor's limits: the client wrote it for another vendor.
    pub fn fits_passthrough(&self) -> bool {
        let is_foreign = self.borrowed || self.wrapper.is_some();
        is_foreign && self.operation != Operation::TokenCount
    }

    pub(super) const fn borrowed(self) -> Endpoint {
        Endpoint {
            borrowed: true,
            ..self
        }
    }

    pub(super) const fn with_open_names(self, is_open_name: fn(&str) -> bool) -> Endpoint {
        Endpoint {
            is_open_name,
            ..self
        }
    }

    pub(super) const fn embeddings(path: &'static str) -> Endpoint {
        Endpoint {
            operation: Operation::Embeddings,
            ..Endpoint::at(Dialect::Chat, path)
        }
    }

    /// Embeddings in a format of the vendor's own; `dialect` is that of its errors.
    pub(super) const fn native_embeddings(
        dialect: Dialect,
        path: &'static str,
        format: EmbeddingFormat,
    ) -> Endpoint {
        Endpoint {
            operation: Operation::Embeddings,
            embedding_format: Some(format),
            ..Endpoint::at(dialect, path)
        }
    }

    pub(super) const fn token_count(path: &'static str) -> Endpoint {
        Endpoint {
            operation: Operation::TokenCount,
            ..Endpoint::at(Dialect::Messages, path)
        }
    }

    pub(super) const fn with_stream_path(self, path: &'static str) -> Endpoint {
        Endpoint {
            stream_path: Some(path),
            ..self
        }
    }

    pub(super) const fn with_framing(self, framing: Framing) -> Endpoint {
        Endpoint { framing, ..self }
    }

    pub(super) const fn for_models(self, supports_model: fn(&str) -> bool) -> Endpoint {
        Endpoint {
            supports_model,
            ..self
        }
    }

    pub(super) const fn with_wrapper(self, wrapper: &'static BodyWrapper) -> Endpoint {
        Endpoint {
            wrapper: Some(wrapper),
            ..self
        }
    }

    pub(super) const fn with_compat(self, compat: &'static CompatRules) -> Endpoint {
        Endpoint {
            compat: Some(compat),
            borrowed: true,
            ..self
        }
    }

    pub(super) const fn with_usage_rules(self, usage_rules: UsageRules) -> Endpoint {
        Endpoint {
            usage_rules,
            ..self
        }
    }

    pub(super) const fn with_versioned_path(self, path: &'static str) -> Endpoint {
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

impl CompatRules {
    /// Returns true for a field whose fate the rules state: listed as supported, renamed or removed.
    pub fn decides(&self, field: &str) -> bool {
        let renamed = || self.renames.iter().any(|(ours, _)| *ours == field);
        match self.fields {
            SupportedFields::Only(_) => true,
            SupportedFields::AllBut(fields) => fields.contains(&field) || renamed(),
            SupportedFields::All => renamed(),
        }
    }
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

/// Origin of the place whose list prices apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceRule {
    /// one price for every place, or a place that only the operator knows
    None,
    /// region of the credential
    Region,
    /// label before this host: `eu` in `https://eu.api.example.com/v1`
    HostLabel(&'static str),
}

impl PlaceRule {
    /// Place of a base URL and a region.
    pub fn of(self, base_url: &str, region: Option<&str>) -> Option<String> {
        match self {
            PlaceRule::None => None,
            PlaceRule::Region => region.map(str::to_owned),
            PlaceRule::HostLabel(host) => {
                let (_, rest) = base_url.split_once("://")?;
                let authority = rest.split(['/', ':']).next()?.to_ascii_lowercase();
                let label = authority.strip_suffix(host)?.strip_suffix('.')?;
                (!label.is_empty()).then(|| label.to_owned())
            }
        }
    }
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
    /// Neutral class of an error of this vendor.
    pub fn failure_class(&self, status: Option<u16>, code: &str, message: &str) -> FailureClass {
        classify(self.failure_words, status, code, message)
    }

    /// Endpoint for a call in a client dialect: the endpoint of that dialect if it serves the
    /// model, else the first one that requests can be translated to.
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
        // a count of tokens is not translated
        own.or_else(|| endpoints().find(|_| operation != Operation::TokenCount))
    }

    /// Path of an endpoint at the end of a base URL, where calls would repeat it.
    pub fn endpoint_path_in(&self, base_url: &str) -> Option<&'static str> {
        let paths = self.endpoints.iter().map(|endpoint| endpoint.path);
        paths
            .filter(|path| !path.contains('{'))
            .find(|path| base_url.ends_with(*path))
    }

    /// The base URL as this type writes it: with the version of the API where the given one has no path, and without it where the
    /// paths of the endpoints begin with it. A server of an unknown vendor may serve its root, so its base URL stays as it is.
    pub fn complete_base_url(&self, base_url: &str) -> String {
        let BaseUrl::Fixed(usual) = self.base_url else {
            return self.without_version(base_url).to_owned();
        };
        match (url_path(usual), url_path(base_url)) {
            ("", _) => self.without_version(base_url).to_owned(),
            (usual, "") => format!("{base_url}{usual}"),
            _ => base_url.to_owned(),
        }
    }

    /// The base URL without a path that is the version with which the paths of the endpoints begin.
    fn without_version<'a>(&self, base_url: &'a str) -> &'a str {
        let path = url_path(base_url);
        let last = path.rsplit('/').next().unwrap_or_default();
        let is_version = last.strip_prefix('v').is_some_and(|rest| {
            rest.starts_with(|letter: char| letter.is_ascii_digit()) && !rest.contains('.')
        });
        let is_repeated = self.endpoints.iter().any(|endpoint| {
            let rest = endpoint.path.strip_prefix(path);
            rest.is_some_and(|rest| rest.starts_with('/'))
        });
        match is_version && is_repeated {
            true => &base_url[..base_url.len() - path.len()],
            false => base_url,
        }
    }

    /// Path that base URLs of this type have, if the given one has none.
    pub fn missing_path(&self, base_url: &str) -> Option<&'static str> {
        let (BaseUrl::Fixed(usual) | BaseUrl::Configured(usual)) = self.base_url else {
            return None;
        };
        let usual = url_path(usual);
        (!usual.is_empty() && url_path(base_url).is_empty()).then_some(usual)
    }
}

/// Path of a URL without query, empty if there is none.
fn url_path(url: &str) -> &str {
    let (_scheme, rest) = url.split_once("://").unwrap_or(("", url));
    rest.find('/').map_or("", |at| &rest[at..])
}

impl CredentialStyle {
    /// Name and value of the credential header.
    pub fn header(self, key: &Secret) -> Option<(&'static str, Secret)> {
        match self {
            CredentialStyle::None => None,
            CredentialStyle::Bearer | CredentialStyle::BearerOrSigned(_) => Some((
                "authorization",
                Secret::new(["Bearer ", key.expose()].concat()),
            )),
            CredentialStyle::XApiKey => Some(("x-api-key", key.clone())),
            CredentialStyle::ApiKey => Some(("api-key", key.clone())),
            CredentialStyle::XGoogApiKey => Some(("x-goog-api-key", key.clone())),
        }
    }
}
