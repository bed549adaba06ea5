//! What a request asks, read once from its bytes: everything that policy, routing and the ceiling need. Takes the body,
//! answers a `Request` or the 400 that says what is wrong. Must never echo content, and never change or copy the body.

use bytes::Bytes;

use crate::dialect::Dialect;
use crate::dialect::embeddings;
use crate::dialect::wire::json::Leaf;
use crate::dialect::wire::raw_object::{RawObject, RawObjectError};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::input_bound::InputBound;
use crate::domain::usage::INFERENCE_GEO_PREFIX;

/// A longer model name is a mistake, and names go into records.
const MODEL_BYTES_MAX: usize = 256;

/// More answers to one prompt than any upstream gives.
const CHOICES_MAX: u64 = 128;

/// Those of Responses: what they bring in is bounded by the model's context window, and stands in for `input`.
const KEPT: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

/// Members by which the upstream would answer with another model than the one that policy and price were asked about.
const OTHER_MODELS: [&str; 2] = ["fallbacks", "models"];

/// One request as the client sent it, with what was read of it.
#[derive(Clone, Debug)]
pub struct Request {
    pub dialect: Dialect,
    pub body: Bytes,
    /// as written; the public name, alias or `provider/model`
    pub model: String,
    /// the body has an alias in the place of `model`
    pub aliased: bool,
    pub streamed: bool,
    /// chat: the client asked for the usage chunk itself
    pub usage_asked: bool,
    pub output_cap: Option<OutputCap>,
    /// messages: `thinking.budget_tokens`; of an effort that another dialect writes as a number, the smallest that it may become
    pub thinking_budget: Option<u64>,
    /// answers asked for; 1 unless chat's `n` says otherwise
    pub choices: u64,
    /// the tier asked for; messages' `speed: fast` counts as one
    pub service_tier: Option<String>,
    /// the end user as the client names them
    pub user: Option<String>,
    /// chat: the answer may be sound, which has a price of its own
    pub audio_output: bool,
    pub input: InputBound,
    pub(super) members: RawObject,
}

/// The most output the client asked for, and the member that says so. Where chat names it twice, the larger; embeddings have
/// none, and no member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputCap {
    pub member: &'static str,
    pub tokens: u64,
}

/// Reads a request's body. Every refusal is the client's fault and says which member to mend.
pub fn read(dialect: Dialect, body: Bytes) -> Result<Request, ApiError> {
    let members = RawObject::read(&body).map_err(|flaw| refused("the body", &flaw))?;
    let dialect = spoken(dialect, &members, &body);
    let members = Body {
        dialect,
        bytes: &body,
        members,
    };
    let model = members.model()?;
    members.refuse_other_models()?;
    members.require_content()?;
    members.refuse_background()?;
    let usage_asked = members.usage_asked()?;
    let output_cap = members.output_cap()?;
    let mut request = Request {
        dialect,
        model,
        aliased: false,
        streamed: members.streamed()?,
        usage_asked,
        output_cap,
        thinking_budget: members.thinking_budget(),
        choices: members.choices()?,
        service_tier: members.service_tier()?,
        user: members.user(),
        audio_output: members.audio_output(),
        input: members.input()?,
        body: Bytes::new(),
        members: members.members,
    };
    request.body = body;
    Ok(request)
}

impl Request {
    /// Takes the name that was meant in the place of an alias, for everything but the body.
    pub fn means(&mut self, name: String) {
        self.model = name;
        self.aliased = true;
    }

    /// The value of a top-level member as it stands in the body.
    pub fn member(&self, name: &str) -> Option<&str> {
        self.members.value(&self.body, name)
    }

    /// The names of all top-level members, in the order in which they stand.
    pub fn member_names(&self) -> impl Iterator<Item = &str> {
        self.members
            .list
            .iter()
            .filter_map(|member| std::str::from_utf8(member.name(&self.body)).ok())
    }
}

/// The dialect of a body: some clients send Responses to the path of chat (Cursor does).
fn spoken(dialect: Dialect, members: &RawObject, body: &[u8]) -> Dialect {
    let is_there = |name: &str| members.value(body, name).is_some();
    if dialect == Dialect::Chat && is_there("input") && !is_there("messages") {
        Dialect::Responses
    } else {
        dialect
    }
}

/// The output caps that a dialect knows, the one to add first.
pub(super) fn cap_members(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Chat => &["max_completion_tokens", "max_tokens"],
        Dialect::Messages => &["max_tokens"],
        Dialect::Responses => &["max_output_tokens"],
        _ => &[],
    }
}

fn refused(what: &str, flaw: &RawObjectError) -> ApiError {
    ApiError::invalid(format!(
        "{what} cannot be read: {flaw}; send one JSON object that names each member once"
    ))
}

/// A body while it is read.
pub(super) struct Body<'b> {
    pub(super) dialect: Dialect,
    pub(super) bytes: &'b [u8],
    members: RawObject,
}

impl<'b> Body<'b> {
    pub(super) fn raw(&self, name: &str) -> Option<&'b str> {
        self.members.value(self.bytes, name)
    }

    /// The value, if the member is there, can be read and says something.
    pub(super) fn leaf(&self, name: &str) -> Option<Leaf<'b>> {
        self.raw(name)
            .map(|json| Leaf::of(json).unwrap_or(Leaf::Nested))
            .filter(Leaf::says_something)
    }

    fn model(&self) -> Result<String, ApiError> {
        match self.leaf("model") {
            Some(Leaf::Text(model)) if model.is_empty() => {
                Err(bad("model", "is empty; name a model"))
            }
            Some(Leaf::Text(model)) if model.len() > MODEL_BYTES_MAX => Err(bad(
                "model",
                &format!("is longer than {MODEL_BYTES_MAX} bytes; name a model"),
            )),
            Some(Leaf::Text(model)) => Ok(model.into_owned()),
            Some(_) => Err(bad("model", "is not a text; name a model")),
            None => Err(bad("model", "is missing; name a model")),
        }
    }

    fn refuse_other_models(&self) -> Result<(), ApiError> {
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

    /// What the model is to read.
    fn require_content(&self) -> Result<(), ApiError> {
        if self.dialect == Dialect::Embeddings {
            return self.prompts().map(drop);
        }
        if self.dialect == Dialect::Responses {
            return self.items();
        }
        let messages = self.raw("messages");
        if messages.is_some_and(|json| json.starts_with('[')) {
            return Ok(());
        }
        Err(match (self.dialect, messages) {
            (Dialect::Messages | Dialect::TokenCount, None) => {
                ApiError::invalid("messages: Field required").with_param("messages")
            }
            (_, None) => bad("messages", "is missing; send an array of messages"),
            (_, Some(_)) => bad("messages", "is not an array; send an array of messages"),
        })
    }

    /// The input of a Responses request: a text or items; only what the vendor keeps stands in for it.
    fn items(&self) -> Result<(), ApiError> {
        match self.raw("input").filter(|json| *json != "null") {
            Some(json) if json.starts_with(['"', '[']) => Ok(()),
            Some(_) => Err(bad("input", "is neither a text nor an array of items")),
            None if KEPT.into_iter().any(|name| self.leaf(name).is_some()) => Ok(()),
            None => Err(bad("input", "is missing; send a text or an array of items")),
        }
    }

    /// An answer that is fetched later would be told, and billed, where no meter reads.
    fn refuse_background(&self) -> Result<(), ApiError> {
        if self.dialect != Dialect::Responses || !self.flag("background")? {
            return Ok(());
        }
        let message = "`background` lets the answer be fetched later, past the meter of this gateway; leave it out and wait, or stream";
        Err(ApiError::new(ErrorCode::NotSupported, message).with_param("background"))
    }

    /// The texts of an embeddings request, counted: each is a prompt of its own.
    pub(super) fn prompts(&self) -> Result<u64, ApiError> {
        let Some(input) = self.raw("input") else {
            return Err(bad(
                "input",
                "is missing; send a text, or an array of texts",
            ));
        };
        embeddings::prompts(input).ok_or_else(|| {
            bad("input", "is neither a text, nor tokens, nor an array of either; send a text, or an array of texts")
        })
    }

    fn streamed(&self) -> Result<bool, ApiError> {
        match self.dialect {
            Dialect::Embeddings | Dialect::TokenCount => Ok(false),
            _ => self.flag("stream"),
        }
    }

    /// A boolean; null is as good as absent, as the SDKs' own types say.
    fn flag(&self, name: &'static str) -> Result<bool, ApiError> {
        match self.raw(name) {
            None | Some("null" | "false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(bad(name, "is neither true nor false")),
        }
    }

    fn usage_asked(&self) -> Result<bool, ApiError> {
        let Some(options) = self
            .raw("stream_options")
            .filter(|_| self.dialect == Dialect::Chat)
        else {
            return Ok(false);
        };
        if options == "null" {
            return Ok(false);
        }
        let members = RawObject::read(options.as_bytes())
            .map_err(|flaw| refused("`stream_options`", &flaw).with_param("stream_options"))?;
        match members.value(options.as_bytes(), "include_usage") {
            None | Some("null" | "false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(bad(
                "stream_options.include_usage",
                "is neither true nor false",
            )),
        }
    }

    fn output_cap(&self) -> Result<Option<OutputCap>, ApiError> {
        if self.dialect == Dialect::Embeddings {
            return Ok(Some(OutputCap {
                member: "",
                tokens: 0,
            }));
        }
        let mut largest: Option<OutputCap> = None;
        for member in cap_members(self.dialect) {
            let tokens = match (self.raw(member), self.dialect) {
                (Some("null") | None, Dialect::Chat | Dialect::Responses) => continue,
                (None, _) => {
                    return Err(
                        ApiError::invalid(format!("{member}: Field required")).with_param(*member)
                    );
                }
                (Some(json), _) => match Leaf::of(json) {
                    Some(Leaf::Whole(tokens)) => tokens,
                    _ => return Err(bad(member, "is not a whole number of tokens, zero or more")),
                },
            };
            if largest.is_none_or(|cap| cap.tokens < tokens) {
                largest = Some(OutputCap { member, tokens });
            }
        }
        Ok(largest)
    }

    fn thinking_budget(&self) -> Option<u64> {
        let thinking = self
            .raw("thinking")
            .filter(|_| self.dialect == Dialect::Messages)?;
        match self.inner(thinking, "budget_tokens")? {
            Leaf::Whole(tokens) => Some(tokens),
            _ => None,
        }
    }

    /// A member of an object that is a member: the last one, as most parsers have it.
    fn inner(&self, object: &'b str, name: &str) -> Option<Leaf<'b>> {
        let members = RawObject::read(object.as_bytes()).ok()?;
        members.value(object.as_bytes(), name).and_then(Leaf::of)
    }

    fn choices(&self) -> Result<u64, ApiError> {
        match self.leaf("n").filter(|_| self.dialect == Dialect::Chat) {
            None => Ok(1),
            Some(Leaf::Whole(choices @ 1..=CHOICES_MAX)) => Ok(choices),
            Some(_) => Err(bad(
                "n",
                &format!("is not a whole number from 1 to {CHOICES_MAX}"),
            )),
        }
    }

    fn service_tier(&self) -> Result<Option<String>, ApiError> {
        if let Some(Leaf::Text(speed)) = self
            .leaf("speed")
            .filter(|_| self.dialect == Dialect::Messages)
            && speed != "standard"
        {
            return Ok(Some(speed.into_owned()));
        }
        if let Some(Leaf::Text(place)) = self
            .leaf("inference_geo")
            .filter(|_| self.dialect == Dialect::Messages)
            && place != "global"
        {
            return Ok(Some(format!("{PLACE_OF_INFERENCE}{place}")));
        }
        match self.leaf("service_tier") {
            None => Ok(None),
            Some(Leaf::Text(tier)) => Ok(Some(tier.into_owned())),
            Some(_) => Err(bad("service_tier", "is not a text")),
        }
    }

    fn user(&self) -> Option<String> {
        let user = match self.dialect {
            Dialect::Messages | Dialect::TokenCount => {
                self.inner(self.raw("metadata")?, "user_id")?
            }
            Dialect::Responses => self
                .leaf("user")
                .filter(Leaf::says_something)
                .or_else(|| self.leaf("safety_identifier"))?,
            _ => self.leaf("user")?,
        };
        match user {
            Leaf::Text(user) => Some(user.into_owned()),
            _ => None,
        }
    }
}

/// A member that says what it must not.
pub(super) fn bad(param: &str, what: &str) -> ApiError {
    ApiError::invalid(format!("`{param}` {what}")).with_param(param)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Edit, samples};

    fn chat(body: &str) -> Result<Request, ApiError> {
        read(Dialect::Chat, Bytes::copy_from_slice(body.as_bytes()))
    }

    fn messages(body: &str) -> Result<Request, ApiError> {
        read(Dialect::Messages, Bytes::copy_from_slice(body.as_bytes()))
    }

    /// A good request with more members.
    fn with(dialect: Dialect, more: &str) -> Result<Request, ApiError> {
        match dialect {
            Dialect::Chat => chat(&format!(r#"{{"model":"m","messages":[]{more}}}"#)),
            Dialect::Messages => messages(&format!(
                r#"{{"model":"m","max_tokens":9,"messages":[]{more}}}"#
            )),
            Dialect::Embeddings => read(
                dialect,
                format!(r#"{{"model":"m","input":""{more}}}"#).into(),
            ),
            _ => read(
                dialect,
                format!(r#"{{"model":"m","messages":[]{more}}}"#).into(),
            ),
        }
    }

    #[test]
    fn a_chat_request_is_read() {
        let body = r#" {"stream":true,"mod\u0065l":"gpt-5.1","n":2,"max_tokens":100,"max_completion_tokens":90,"user":"u1",
            "stream_options":{"include_usage":true},"service_tier":"flex","metadata":{"model":"decoy"},
            "tools":[{"type":"function","function":{"name":"f"}}],"messages":[{"role":"user","content":"hi"}]} "#;
        let request = chat(body).expect("a request");
        assert_eq!(
            (
                request.model.as_str(),
                request.streamed,
                request.usage_asked,
                request.choices
            ),
            ("gpt-5.1", true, true, 2)
        );
        assert_eq!(
            request.output_cap,
            Some(OutputCap {
                member: "max_tokens",
                tokens: 100
            })
        );
        assert_eq!(
            (request.service_tier.as_deref(), request.user.as_deref()),
            (Some("flex"), Some("u1"))
        );
        assert_eq!(
            request.input,
            InputBound {
                text_bytes: body.len() as u64,
                tools: 1,
                ..InputBound::default()
            }
        );
        assert_eq!(request.member("n"), Some("2"));
        assert_eq!(request.body, body);
    }

    #[test]
    fn a_messages_request_is_read() {
        let body = r#"{"model":"claude-sonnet-5-5","max_tokens":64000,"stream":false,"system":[{"type":"text","text":"s"}],
            "thinking":{"type":"enabled","budget_tokens":2048},"metadata":{"user_id":"{\"a\":1}"},"service_tier":"auto",
            "messages":[{"role":"user","content":"hi"},{"role":"system","content":"later"}],
            "context_management":{"edits":[{"type":"clear_thinking_20251015"}]},"tools":[{"name":"a","input_schema":{}}]}"#;
        let request = messages(body).expect("a request");
        assert_eq!(
            request.output_cap,
            Some(OutputCap {
                member: "max_tokens",
                tokens: 64_000
            })
        );
        assert_eq!(
            (request.thinking_budget, request.choices, request.streamed),
            (Some(2_048), 1, false)
        );
        assert_eq!(
            (request.service_tier.as_deref(), request.user.as_deref()),
            (Some("auto"), Some("{\"a\":1}"))
        );
        assert_eq!(
            request.input,
            InputBound {
                text_bytes: body.len() as u64,
                tools: 1,
                ..InputBound::default()
            }
        );
    }

    #[test]
    fn the_smallest_requests_have_defaults() {
        let request = with(Dialect::Chat, "").expect("a request");
        assert_eq!(
            (
                request.streamed,
                request.usage_asked,
                request.choices,
                request.output_cap
            ),
            (false, false, 1, None)
        );
        let request =
            messages(r#"{"model":"m","max_tokens":0,"messages":[]}"#).expect("0 warms the cache");
        assert_eq!(
            request.output_cap,
            Some(OutputCap {
                member: "max_tokens",
                tokens: 0
            })
        );
        let nulls = r#","stream":null,"n":null,"max_tokens":null,"stream_options":null,"user":null,"service_tier":null,"tools":null"#;
        let request = with(Dialect::Chat, nulls).expect("null is absent");
        assert_eq!(
            (
                request.streamed,
                request.choices,
                request.output_cap,
                request.user
            ),
            (false, 1, None, None)
        );
    }

    #[test]
    fn x11_what_is_wrong_is_said_with_its_member() {
        for (refusal, message, param) in [
            (
                chat(r#"{"messages":[]}"#),
                "`model` is missing; name a model",
                "model",
            ),
            (
                chat(r#"{"model":"","messages":[]}"#),
                "`model` is empty; name a model",
                "model",
            ),
            (
                chat(r#"{"model":["m"],"messages":[]}"#),
                "`model` is not a text; name a model",
                "model",
            ),
            (
                chat(r#"{"model":"m"}"#),
                "`messages` is missing; send an array of messages",
                "messages",
            ),
            (
                chat(r#"{"model":"m","messages":{}}"#),
                "`messages` is not an array; send an array of messages",
                "messages",
            ),
            (
                messages(r#"{"model":"m","max_tokens":1}"#),
                "messages: Field required",
                "messages",
            ),
            (
                messages(r#"{"model":"m","messages":[]}"#),
                "max_tokens: Field required",
                "max_tokens",
            ),
            (
                messages(r#"{"model":"m","messages":[],"max_tokens":null}"#),
                "`max_tokens` is not a whole number of tokens, zero or more",
                "max_tokens",
            ),
            (
                with(Dialect::Chat, r#","stream":"true""#),
                "`stream` is neither true nor false",
                "stream",
            ),
            (
                with(Dialect::Chat, r#","stream":1"#),
                "`stream` is neither true nor false",
                "stream",
            ),
            (
                with(Dialect::Chat, r#","n":0"#),
                "`n` is not a whole number from 1 to 128",
                "n",
            ),
            (
                with(Dialect::Chat, r#","n":1.5"#),
                "`n` is not a whole number from 1 to 128",
                "n",
            ),
            (
                with(Dialect::Chat, r#","n":129"#),
                "`n` is not a whole number from 1 to 128",
                "n",
            ),
            (
                with(Dialect::Chat, r#","max_tokens":-1"#),
                "`max_tokens` is not a whole number of tokens, zero or more",
                "max_tokens",
            ),
            (
                with(Dialect::Chat, r#","service_tier":3"#),
                "`service_tier` is not a text",
                "service_tier",
            ),
            (
                with(Dialect::Chat, r#","stream_options":{"include_usage":1}"#),
                "`stream_options.include_usage` is neither true nor false",
                "stream_options.include_usage",
            ),
        ] {
            assert_eq!(
                refusal.expect_err(message),
                ApiError::invalid(message).with_param(param)
            );
        }
    }

    #[test]
    fn bodies_that_are_not_one_object_are_refused_without_quoting_them() {
        for body in [
            "",
            " ",
            r#"["secret"]"#,
            "secret",
            r#"{"model":"secret","messages":[]"#,
            r#"{"secret":1,}"#,
            "{} {}",
            r#"{"a":secret}"#,
        ] {
            let problem = chat(body).expect_err(body);
            assert_eq!(problem.code, ErrorCode::InvalidRequest);
            assert!(!problem.message.contains("secret"), "{problem}");
        }
        let problem = chat("{\"model\":\n\"m\" \"n\"}").expect_err("two values");
        assert_eq!(
            problem.message,
            "the body cannot be read: it is not valid JSON at line 2, column 5; send one JSON object that names each member once"
        );
    }

    #[test]
    fn an_embeddings_request_is_bounded_by_its_bytes_and_its_prompts() {
        let body = r#"{"input":["a","b","c"],"model":"m","encoding_format":"base64","user":"u1","stream":true,"n":7}"#;
        let request =
            read(Dialect::Embeddings, Bytes::from_static(body.as_bytes())).expect("a request");
        assert_eq!(
            request.input,
            InputBound {
                text_bytes: body.len() as u64,
                prompts: 3,
                ..InputBound::default()
            }
        );
        assert_eq!(
            (request.streamed, request.choices, request.user.as_deref()),
            (false, 1, Some("u1"))
        );
        assert_eq!(request.output_cap.map(|cap| cap.tokens), Some(0));
        for (input, message) in [
            ("", "`input` is missing"),
            (r#","input":{"image":"u"}"#, "`input` is neither"),
            (r#","input":[]"#, "`input` is neither"),
        ] {
            let problem = read(
                Dialect::Embeddings,
                format!(r#"{{"model":"m"{input}}}"#).into(),
            )
            .expect_err(input);
            assert!(
                problem.message.starts_with(message) && problem.param.as_deref() == Some("input"),
                "{problem}"
            );
        }
    }

    #[test]
    fn a_token_count_needs_messages_and_no_cap() {
        let request =
            with(Dialect::TokenCount, r#","tools":[{"name":"f"}],"stream":1"#).expect("a request");
        assert_eq!((request.output_cap, request.streamed), (None, false));
        let problem = read(Dialect::TokenCount, Bytes::from_static(br#"{"model":"m"}"#))
            .expect_err("no messages");
        assert_eq!(
            problem,
            ApiError::invalid("messages: Field required").with_param("messages")
        );
    }

    #[test]
    fn members_given_twice_are_refused_however_they_are_written() {
        for body in [
            r#"{"model":"a","messages":[],"model":"b"}"#,
            r#"{"model":"a","messages":[],"mod\u0065l":"b"}"#,
            r#"{"model":"a","messages":[],"x":1,"x":1}"#,
            r#"{"model":"a","messages":[],"stream_options":{"include_usage":true,"include\u005fusage":false}}"#,
        ] {
            assert!(
                chat(body)
                    .expect_err(body)
                    .message
                    .contains("more than once"),
                "{body}"
            );
        }
    }

    #[test]
    fn no_request_slips_past_the_allow_list_by_naming_other_models() {
        for (dialect, more) in [
            (Dialect::Messages, r#","fallbacks":[{"model":"dear"}]"#),
            (Dialect::Messages, r#","fallbacks":"default""#),
            (Dialect::Chat, r#","models":["dear"]"#),
        ] {
            assert_eq!(
                with(dialect, more).expect_err(more).code,
                ErrorCode::NotSupported
            );
        }
        assert!(with(Dialect::Messages, r#","fallbacks":[]"#).is_ok());
        assert!(with(Dialect::Chat, r#","models":null"#).is_ok());
    }

    #[test]
    fn sound_and_speed_are_noted() {
        let request = with(Dialect::Chat, r#","modalities":["text","audio"]"#).expect("a request");
        assert!(request.audio_output && request.input.audio);
        assert!(
            !with(Dialect::Chat, r#","modalities":["text"]"#)
                .expect("a request")
                .audio_output
        );
        let request = with(
            Dialect::Messages,
            r#","service_tier":"auto","speed":"fast""#,
        )
        .expect("a request");
        assert_eq!(request.service_tier.as_deref(), Some("fast"));
        for (geo, tier) in [("us", Some("inference_geo=us")), ("global", None)] {
            let request = with(Dialect::Messages, &format!(r#","inference_geo":"{geo}""#))
                .expect("a request");
            assert_eq!(request.service_tier.as_deref(), tier);
        }
    }

    #[test]
    fn no_bytes_make_the_reading_panic_and_what_is_read_can_be_spliced() {
        let chat = r#"{"model":"m","stream":true,"stream_options":{"x":1},"n":1,"tools":[{"type":"function"}],"max_tokens":5,
            "messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}]}]}"#;
        let messages = r#"{"model":"m","max_tokens":5,"system":"s","thinking":{"budget_tokens":1024},"tools":[{"type":"web_search_1","max_uses":2}],
            "messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"image","source":{"type":"base64","data":"AA"}}]}]}]}"#;
        for (dialect, sample) in [(Dialect::Chat, chat), (Dialect::Messages, messages)] {
            for damaged in samples::damaged(sample.as_bytes(), 3_000) {
                let Ok(request) = read(dialect, Bytes::from(damaged)) else {
                    continue;
                };
                let mut edits = request.capped(3, "max_tokens");
                edits.extend(request.stream_options_with_usage());
                edits.extend([Edit::text("model", "other\""), Edit::Remove { member: "n" }]);
                let spliced =
                    read(dialect, request.spliced(&edits)).expect("a spliced request is a request");
                assert_eq!((spliced.model.as_str(), spliced.choices), ("other\"", 1));
                assert!(spliced.output_cap.is_some_and(|cap| cap.tokens <= 3));
            }
        }
    }

    fn responses(more: &str) -> Result<Request, ApiError> {
        read(
            Dialect::Responses,
            format!(r#"{{"model":"m"{more}}}"#).into(),
        )
    }

    #[test]
    fn a_responses_request_is_read() {
        let request = responses(
            r#","input":[{"role":"user","content":[{"type":"input_text","text":"see"},
            {"type":"input_image","image_url":"data:image/png;base64,AAAABBBB"}]},
            {"type":"function_call_output","call_id":"c","output":[{"type":"input_image","image_url":"data:image/png;base64,CC"},
            {"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,DDDD"}]},
            {"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAAA"}],
            "stream":true,"max_output_tokens":70,"safety_identifier":"u2","user":"u1","service_tier":"flex","store":false,
            "tools":[{"type":"function","name":"f"},{"type":"custom","name":"c"},{"type":"tool_search","execution":"client"},
            {"type":"namespace","name":"n","tools":[{"type":"function","name":"g"}]}]"#,
        )
        .expect("a request");
        assert_eq!(
            request.output_cap,
            Some(OutputCap {
                member: "max_output_tokens",
                tokens: 70
            })
        );
        assert_eq!(
            (request.streamed, request.choices, request.user.as_deref()),
            (true, 1, Some("u1"))
        );
        let input = &request.input;
        assert_eq!(
            (
                input.images,
                input.documents,
                input.tools,
                input.unbounded.as_deref()
            ),
            (2, 1, 5, None)
        );
        assert_eq!(input.text_bytes, request.body.len() as u64 - 42);
    }

    #[test]
    fn a_bad_responses_request_says_which_member_to_mend() {
        for (more, param, status) in [
            ("", "input", 400),
            (r#","input":null"#, "input", 400),
            (r#","input":{}"#, "input", 400),
            (r#","input":"x","background":true"#, "background", 501),
            (
                r#","input":"x","max_output_tokens":1.5"#,
                "max_output_tokens",
                400,
            ),
            (r#","input":"x","stream":"yes""#, "stream", 400),
        ] {
            let problem = responses(more).expect_err(more);
            assert_eq!(
                (problem.code.status(), problem.param.as_deref()),
                (status, Some(param)),
                "{problem}"
            );
        }
        assert!(responses(r#","input":"x","background":false,"max_output_tokens":null"#).is_ok());
    }

    #[test]
    fn a_body_with_input_and_no_messages_is_a_responses_request_wherever_it_is_sent() {
        assert_eq!(
            chat(r#"{"model":"m","input":[]}"#).map(|request| request.dialect),
            Ok(Dialect::Responses)
        );
        assert_eq!(
            chat(r#"{"model":"m","input":"x","messages":[]}"#).map(|request| request.dialect),
            Ok(Dialect::Chat)
        );
        assert!(messages(r#"{"model":"m","max_tokens":1,"input":[]}"#).is_err());
    }
}
