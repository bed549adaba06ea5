//! Request as the simulator reads it: the two dialects differ only in the names of a few members. Takes the body, returns what
//! the answer is made of.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::simulator::reply::{self, SimulatedReply};
use crate::simulator::text::{directive, text_of, tokens};

const DELAY_MS_MAX: u64 = 10_000;
/// Creation time of every response; constant, so that equal requests get equal answers.
pub(super) const CREATED_S: u64 = 1_767_225_600;
/// Number of the next request.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

pub(super) struct SimulatedRequest {
    /// makes the ids of an answer unique: clients merge messages whose ids are equal
    pub number: u64,
    pub model: String,
    pub streamed: bool,
    /// a chat stream ends with a usage chunk
    pub include_usage: bool,
    pub cap: Option<u64>,
    pub delay_ms: u64,
    pub input_tokens: u64,
    pub thinking: Option<String>,
    pub reply: SimulatedReply,
}

impl SimulatedRequest {
    /// `caps`: the members that may hold the output cap, in order of precedence.
    pub fn decode(body: &[u8], delay_ms: u64, caps: &[&str]) -> Result<SimulatedRequest, String> {
        let body = parse(body)?;
        let model = checked_model(&body)?;
        let messages = messages(&body)?;
        if body["n"].as_u64().is_some_and(|n| n != 1) {
            return Err("n: the simulator gives one choice".to_owned());
        }
        let last = messages.last();
        let cap = caps.iter().find_map(|cap| body[*cap].as_u64());
        let input_tokens = input_tokens(&body, messages);
        let thinking = reply::thinking(&body, input_tokens, cap);
        let thought = thinking.as_deref().map_or(0, tokens);
        let room = cap.map(|cap| cap.saturating_sub(thought));
        let reply = reply::reply(&body, last, (&model, input_tokens), room);
        let delay = last.and_then(|last| directive(&text_of(last), "delay_ms="));
        Ok(SimulatedRequest {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            streamed: body["stream"].as_bool().unwrap_or(false),
            include_usage: body["stream_options"]["include_usage"]
                .as_bool()
                .unwrap_or(false),
            cap,
            delay_ms: delay.unwrap_or(delay_ms).min(DELAY_MS_MAX),
            input_tokens,
            thinking,
            reply,
            model,
        })
    }

    /// Output tokens of the thinking.
    pub fn thinking_tokens(&self) -> u64 {
        self.thinking.as_deref().map_or(0, tokens)
    }

    /// Output tokens of the complete answer, its thinking included.
    pub fn output_tokens(&self) -> u64 {
        self.thinking_tokens() + self.reply.tokens()
    }
}

/// Input tokens of a request that is only counted.
pub(super) fn count(body: &[u8]) -> Result<u64, String> {
    let body = parse(body)?;
    checked_model(&body)?;
    Ok(input_tokens(&body, messages(&body)?))
}

fn parse(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("body is not JSON: {error}"))
}

pub(super) fn checked_model(body: &Value) -> Result<String, String> {
    let model = body["model"].as_str().unwrap_or_default();
    if !model.starts_with("simulator") {
        return Err("unknown model; the simulator serves only `simulator*`".to_owned());
    }
    Ok(model.to_owned())
}

fn messages(body: &Value) -> Result<&Vec<Value>, String> {
    body["messages"]
        .as_array()
        .filter(|messages| !messages.is_empty())
        .ok_or_else(|| "messages: Field required".to_owned())
}

/// System prompt and messages by their text, tools by their JSON.
fn input_tokens(body: &Value, messages: &[Value]) -> u64 {
    let of_messages = messages.iter().map(|message| tokens(&text_of(message)));
    let of_tools = match &body["tools"] {
        Value::Array(tools) => tools.iter().map(|tool| tokens(&tool.to_string())).sum(),
        _ => 0,
    };
    tokens(&text_of(&body["system"])) + of_messages.sum::<u64>() + of_tools
}
