//! Request fields that a response object repeats because the SDKs' types require them: as the client wrote them, or the value for an
//! absent field. On one line, because events contain them.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::dialect::request::Request;

/// Repeated fields. Nothing is stored or runs in the background, whatever was requested.
#[derive(Debug, Serialize)]
pub(super) struct Echo {
    background: bool,
    store: bool,
    previous_response_id: Option<()>,
    truncation: &'static str,
    instructions: Box<RawValue>,
    max_output_tokens: Box<RawValue>,
    max_tool_calls: Box<RawValue>,
    metadata: Box<RawValue>,
    parallel_tool_calls: Box<RawValue>,
    prompt_cache_key: Box<RawValue>,
    reasoning: Box<RawValue>,
    safety_identifier: Box<RawValue>,
    temperature: Box<RawValue>,
    text: Box<RawValue>,
    tool_choice: Box<RawValue>,
    tools: Box<RawValue>,
    top_logprobs: u8,
    top_p: Box<RawValue>,
    user: Box<RawValue>,
}

impl Echo {
    pub(super) fn of(request: &Request) -> Echo {
        let said = |name: &str, absent: &str| said(request, name, absent);
        Echo {
            background: false,
            store: false,
            previous_response_id: None,
            truncation: "disabled",
            instructions: said("instructions", "null"),
            max_output_tokens: said("max_output_tokens", "null"),
            max_tool_calls: said("max_tool_calls", "null"),
            metadata: said("metadata", "{}"),
            parallel_tool_calls: said("parallel_tool_calls", "true"),
            prompt_cache_key: said("prompt_cache_key", "null"),
            reasoning: said("reasoning", r#"{"effort":null,"summary":null}"#),
            safety_identifier: said("safety_identifier", "null"),
            temperature: said("temperature", "null"),
            text: said("text", r#"{"format":{"type":"text"}}"#),
            tool_choice: said("tool_choice", "\"auto\""),
            tools: said("tools", "[]"),
            top_logprobs: 0,
            top_p: said("top_p", "null"),
            user: said("user", "null"),
        }
    }
}

fn said(request: &Request, name: &str, absent: &str) -> Box<RawValue> {
    let json = request
        .member(name)
        .filter(|json| *json != "null")
        .unwrap_or(absent);
    RawValue::from_string(one_line(json)).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// JSON without line ends; its texts cannot contain any.
pub(super) fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}
