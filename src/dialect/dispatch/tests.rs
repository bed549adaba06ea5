//! Shallow read of requests in each client dialect.

use super::*;
use crate::dialect::{Edit, OutputCap, samples};
use crate::domain::api_error::ErrorCode;
use crate::domain::input_bound::InputBound;

fn conversation(dialect: Dialect, body: impl Into<Bytes>) -> Result<Request, ApiError> {
    read(dialect, Operation::Conversation, body.into())
}

fn embeddings_request(body: impl Into<Bytes>) -> Result<Request, ApiError> {
    read(Dialect::Chat, Operation::Embeddings, body.into())
}

fn token_count(body: impl Into<Bytes>) -> Result<Request, ApiError> {
    read(Dialect::Messages, Operation::TokenCount, body.into())
}

fn chat(body: &str) -> Result<Request, ApiError> {
    conversation(Dialect::Chat, body.to_owned())
}

fn messages(body: &str) -> Result<Request, ApiError> {
    conversation(Dialect::Messages, body.to_owned())
}

/// A valid request with more fields.
fn with(dialect: Dialect, more: &str) -> Result<Request, ApiError> {
    match dialect {
        Dialect::Messages => messages(&format!(
            r#"{{"model":"m","max_tokens":9,"messages":[]{more}}}"#
        )),
        _ => chat(&format!(r#"{{"model":"m","messages":[]{more}}}"#)),
    }
}

#[test]
fn chat_request_is_read() {
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
fn messages_request_is_read() {
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
fn minimal_request_has_defaults() {
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
fn x11_invalid_model_or_content_is_named() {
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
    ] {
        assert_eq!(
            refusal.expect_err(message),
            ApiError::invalid(message).with_param(param)
        );
    }
}

#[test]
fn x11_invalid_option_is_named() {
    for (refusal, message, param) in [
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
fn body_that_is_not_one_object_is_refused_without_a_quote() {
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
fn embeddings_request_is_bounded_by_bytes_and_prompts() {
    let body = r#"{"input":["a","b","c"],"model":"m","encoding_format":"base64","user":"u1","stream":true,"n":7}"#;
    let request = embeddings_request(body).expect("a request");
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
        let problem = embeddings_request(format!(r#"{{"model":"m"{input}}}"#)).expect_err(input);
        assert!(
            problem.message.starts_with(message) && problem.param.as_deref() == Some("input"),
            "{problem}"
        );
    }
}

#[test]
fn token_count_requires_messages_and_no_cap() {
    let request = token_count(r#"{"model":"m","messages":[],"tools":[{"name":"f"}],"stream":1}"#)
        .expect("a request");
    assert_eq!((request.output_cap, request.streamed), (None, false));
    let problem = token_count(r#"{"model":"m"}"#).expect_err("no messages");
    assert_eq!(
        problem,
        ApiError::invalid("messages: Field required").with_param("messages")
    );
}

#[test]
fn duplicate_field_is_refused_in_any_spelling() {
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
fn request_that_names_other_models_is_refused() {
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
fn audio_output_and_speed_are_read() {
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
        let request =
            with(Dialect::Messages, &format!(r#","inference_geo":"{geo}""#)).expect("a request");
        assert_eq!(request.service_tier.as_deref(), tier);
    }
}

#[test]
fn damaged_body_never_panics_and_a_read_request_can_be_spliced() {
    let chat = r#"{"model":"m","stream":true,"stream_options":{"x":1},"n":1,"tools":[{"type":"function"}],"max_tokens":5,
        "messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}]}]}"#;
    let messages = r#"{"model":"m","max_tokens":5,"system":"s","thinking":{"budget_tokens":1024},"tools":[{"type":"web_search_1","max_uses":2}],
        "messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"image","source":{"type":"base64","data":"AA"}}]}]}]}"#;
    for (dialect, sample) in [(Dialect::Chat, chat), (Dialect::Messages, messages)] {
        for damaged in samples::damaged(sample.as_bytes(), 3_000) {
            let Ok(request) = conversation(dialect, damaged) else {
                continue;
            };
            let mut edits = request.capped(3, "max_tokens");
            edits.extend(request.stream_options_with_usage());
            edits.extend([Edit::text("model", "other\""), Edit::Remove { member: "n" }]);
            let spliced = conversation(dialect, request.spliced(&edits))
                .expect("a spliced request is a request");
            assert_eq!((spliced.model.as_str(), spliced.choices), ("other\"", 1));
            assert!(spliced.output_cap.is_some_and(|cap| cap.tokens <= 3));
        }
    }
}

fn responses(more: &str) -> Result<Request, ApiError> {
    conversation(Dialect::Responses, format!(r#"{{"model":"m"{more}}}"#))
}

#[test]
fn responses_request_is_read() {
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
fn responses_invalid_field_is_named() {
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
fn body_with_input_and_no_messages_is_a_responses_request_at_any_url() {
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
