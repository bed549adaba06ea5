//! A request as read once, shallowly, from its bytes: all that policy, routing and the ceiling need, and the readers of single
//! fields that the dialects share. Must never echo content, and never change or copy the body.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use serde::de::DeserializeOwned;

use crate::dialect::name::{Dialect, Operation};
use crate::dialect::wire::json::{Leaf, lenient};
use crate::dialect::wire::raw_object::{RawObject, RawObjectError};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::input_bound::InputBound;
use crate::domain::usage::CacheLifetime;

/// Longer model names are refused: names are stored in usage records.
const MODEL_BYTES_MAX: usize = 256;

/// Fields that let the upstream answer with another model than the one that policy and price were checked for.
const OTHER_MODELS: [&str; 2] = ["fallbacks", "models"];

/// A client's request and the fields read of it.
#[derive(Clone, Debug)]
pub struct Request {
    pub dialect: Dialect,
    pub operation: Operation,
    pub body: Bytes,
    /// model name, alias or `provider/model`, as the client wrote it
    pub model: String,
    /// `model` was resolved; the body still has the alias
    pub aliased: bool,
    pub streamed: bool,
    /// the stream reports its usage without a change by the gateway
    pub usage_asked: bool,
    pub output_cap: Option<OutputCap>,
    /// fields that cap the output in this dialect
    pub(super) output_cap_fields: &'static [&'static str],
    /// messages: `thinking.budget_tokens`; of an effort that another dialect writes as a number, the smallest that it may become
    pub thinking_budget: Option<u64>,
    /// number of answers; 1 unless chat's `n` says otherwise
    pub choices: u64,
    /// requested tier; messages' `speed: fast` counts as one
    pub service_tier: Option<String>,
    /// end user as named by the client
    pub user: Option<String>,
    /// chat: the answer may be audio, which has its own price
    pub audio_output: bool,
    pub input: InputBound,
    pub(super) object: RawObject,
}

/// Largest output cap that the client named, and its field. Embeddings have a cap of zero without a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputCap {
    pub member: &'static str,
    pub tokens: u64,
}

/// Fields of a request whose meaning depends on the dialect.
#[derive(Debug)]
pub(super) struct RequestFields {
    pub(super) streamed: bool,
    pub(super) usage_asked: bool,
    pub(super) output_cap: Option<OutputCap>,
    pub(super) output_cap_fields: &'static [&'static str],
    pub(super) thinking_budget: Option<u64>,
    pub(super) choices: u64,
    pub(super) service_tier: Option<String>,
    pub(super) user: Option<String>,
    pub(super) audio_output: bool,
    pub(super) input: InputBound,
}

impl Request {
    /// Replaces an alias by the name it stands for, everywhere but in the body.
    pub fn resolve_alias(&mut self, name: String) {
        self.model = name;
        self.aliased = true;
    }

    /// Longest lifetime of cache writes that the body names. A text in the conversation cannot have unescaped quotes.
    pub fn cache_lifetime(&self) -> CacheLifetime {
        static HOURS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"h\""));
        let mut longest = CacheLifetime::Shortest;
        for end in HOURS.find_iter(&self.body) {
            let before = &self.body[..end];
            if before.ends_with(b"\"12") || before.ends_with(b"\"24") {
                return CacheLifetime::HalfDay;
            }
            if before.ends_with(b"\"1") {
                longest = CacheLifetime::Hour;
            }
        }
        longest
    }

    /// Raw value of a top-level field.
    pub fn member(&self, name: &str) -> Option<&str> {
        self.object.value(&self.body, name)
    }

    /// Names of the fields of a top-level object, as far as it is one.
    pub fn nested_names(&self, name: &str) -> Vec<String> {
        let json = self.member(name).unwrap_or_default();
        let Ok(object) = RawObject::read(json.as_bytes()) else {
            return Vec::new();
        };
        let names = object.list.iter().map(|field| field.name(json.as_bytes()));
        names
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect()
    }

    /// Names of all top-level fields in their order.
    pub fn member_names(&self) -> impl Iterator<Item = &str> {
        self.object
            .list
            .iter()
            .filter_map(|field| std::str::from_utf8(field.name(&self.body)).ok())
    }
}

/// Value of a request's field as a type; `None` if absent or null. The error names field and position, never the value.
pub(super) fn typed<T: DeserializeOwned>(
    request: &Request,
    field: &str,
) -> Result<Option<T>, ApiError> {
    let Some(json) = request.member(field).filter(|json| *json != "null") else {
        return Ok(None);
    };
    lenient(json.as_bytes()).map(Some).map_err(|flaw| {
        let (line, column) = (flaw.line(), flaw.column());
        let message =
            format!("`{field}` has a value of another kind than this endpoint takes, near its line {line}, column {column}");
        ApiError::invalid(message).with_param(field)
    })
}

/// The error of a JSON object that cannot be read.
pub(super) fn unreadable(what: &str, flaw: &RawObjectError) -> ApiError {
    ApiError::invalid(format!(
        "{what} cannot be read: {flaw}; send one JSON object that names each member once"
    ))
}

/// The error of a field with an invalid value.
pub(super) fn invalid_field(field: &str, what: &str) -> ApiError {
    ApiError::invalid(format!("`{field}` {what}")).with_param(field)
}

/// A body during the shallow read.
pub(super) struct RequestBody<'b> {
    pub(super) text: &'b str,
    object: &'b RawObject,
}

impl<'b> RequestBody<'b> {
    pub(super) fn new(text: &'b str, object: &'b RawObject) -> RequestBody<'b> {
        RequestBody { text, object }
    }

    pub(super) fn raw(&self, field: &str) -> Option<&'b str> {
        self.object.value_in(self.text, field)
    }

    /// The value, unless it is absent, null or empty.
    pub(super) fn leaf(&self, field: &str) -> Option<Leaf<'b>> {
        self.raw(field)
            .map(|json| Leaf::of(json).unwrap_or(Leaf::Nested))
            .filter(Leaf::says_something)
    }

    /// A field of an object; the last one, as most parsers have it.
    pub(super) fn inner(&self, object: &'b str, field: &str) -> Option<Leaf<'b>> {
        let fields = RawObject::read(object.as_bytes()).ok()?;
        fields.value(object.as_bytes(), field).and_then(Leaf::of)
    }

    /// A boolean; null counts as absent, as in the SDKs' types.
    pub(super) fn flag(&self, field: &'static str) -> Result<bool, ApiError> {
        match self.raw(field) {
            None | Some("null" | "false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid_field(field, "is neither true nor false")),
        }
    }

    /// A text; any other value counts as absent.
    pub(super) fn text(&self, field: &str) -> Option<String> {
        self.leaf(field).and_then(into_text)
    }

    pub(super) fn model(&self) -> Result<String, ApiError> {
        let invalid = |what: &str| Err(invalid_field("model", what));
        match self.leaf("model") {
            Some(Leaf::Text(model)) if model.is_empty() => invalid("is empty; name a model"),
            Some(Leaf::Text(model)) if model.len() > MODEL_BYTES_MAX => invalid(&format!(
                "is longer than {MODEL_BYTES_MAX} bytes; name a model"
            )),
            // the name goes into a URL, into headers and into logs
            Some(Leaf::Text(model)) if model.chars().any(char::is_control) => {
                invalid("has a control character; name a model of GET /v1/models")
            }
            Some(Leaf::Text(model)) => Ok(model.into_owned()),
            Some(_) => invalid("is not a text; name a model"),
            None => invalid("is missing; name a model"),
        }
    }

    pub(super) fn refuse_other_models(&self) -> Result<(), ApiError> {
        let Some(name) = OTHER_MODELS
            .into_iter()
            .find(|name| self.leaf(name).is_some())
        else {
            return Ok(());
        };
        let message = format!(
            "`{name}` lets the upstream choose another model than `model`; leave it out and ask for a route"
        );
        Err(ApiError::new(ErrorCode::NotSupported, message).with_param(name))
    }

    /// Largest of the named output caps; null counts as absent.
    pub(super) fn output_cap(
        &self,
        fields: &[&'static str],
    ) -> Result<Option<OutputCap>, ApiError> {
        let mut largest: Option<OutputCap> = None;
        for field in fields.iter().copied() {
            let Some(json) = self.raw(field).filter(|json| *json != "null") else {
                continue;
            };
            let cap = output_cap(field, json)?;
            if largest.is_none_or(|largest| largest.tokens < cap.tokens) {
                largest = Some(cap);
            }
        }
        Ok(largest)
    }

    /// An output cap that the dialect requires; null is invalid.
    pub(super) fn required_output_cap(&self, field: &'static str) -> Result<OutputCap, ApiError> {
        match self.raw(field) {
            None => Err(ApiError::invalid(format!("{field}: Field required")).with_param(field)),
            Some(json) => output_cap(field, json),
        }
    }

    pub(super) fn service_tier(&self) -> Result<Option<String>, ApiError> {
        match self.leaf("service_tier") {
            None => Ok(None),
            Some(Leaf::Text(tier)) => Ok(Some(tier.into_owned())),
            Some(_) => Err(invalid_field("service_tier", "is not a text")),
        }
    }
}

fn output_cap(field: &'static str, json: &str) -> Result<OutputCap, ApiError> {
    match Leaf::of(json) {
        Some(Leaf::Whole(tokens)) => Ok(OutputCap {
            member: field,
            tokens,
        }),
        _ => Err(invalid_field(
            field,
            "is not a whole number of tokens, zero or more",
        )),
    }
}

pub(super) fn into_text(leaf: Leaf<'_>) -> Option<String> {
    match leaf {
        Leaf::Text(text) => Some(text.into_owned()),
        _ => None,
    }
}
