//! A request as far as the simulator reads it, with the answer that it will get. Body bytes in, `SimulatedRequest` out; the
//! same in both dialects. A token of the simulator is 4 bytes, rounded up.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::simulator::schema;

const TEXT_TOKENS: u64 = 40;
const TEXT_TOKENS_MAX: u64 = 4096;
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
    pub reply: SimulatedReply,
}

/// Content of the answer, in either dialect.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SimulatedReply {
    Text { text: String, truncated: bool },
    Tool { name: String, arguments: Value },
}

impl SimulatedRequest {
    /// `caps`: the members that may hold the output cap, in order of precedence.
    pub fn decode(body: &[u8], delay_ms: u64, caps: &[&str]) -> Result<SimulatedRequest, String> {
        let body: Value =
            serde_json::from_slice(body).map_err(|error| format!("body is not JSON: {error}"))?;
        let model = body["model"].as_str().unwrap_or_default().to_owned();
        if !model.starts_with("simulator") {
            return Err("unknown model; the simulator serves only `simulator*`".to_owned());
        }
        let messages = body["messages"]
            .as_array()
            .filter(|messages| !messages.is_empty())
            .ok_or("messages: Field required")?;
        if body["n"].as_u64().is_some_and(|n| n != 1) {
            return Err("n: the simulator gives one choice".to_owned());
        }
        let last = messages.last().map(text_of).unwrap_or_default();
        let cap = caps.iter().find_map(|cap| body[*cap].as_u64());
        let input_tokens = input_tokens(&body["system"], messages);
        let fits = |(name, arguments): &(String, Value)| {
            cap.is_none_or(|cap| call_tokens(name, arguments) <= cap)
        };
        let reply = match tool_call(&body, messages.last(), &last).filter(fits) {
            Some((name, arguments)) => SimulatedReply::Tool { name, arguments },
            None if wanted_schema(&body).is_some() => structured_reply(&body, cap),
            None => {
                let length = directive(&last, "tokens=").unwrap_or(TEXT_TOKENS);
                text_reply(&model, input_tokens, length, cap)
            }
        };
        Ok(SimulatedRequest {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            model,
            streamed: body["stream"].as_bool().unwrap_or(false),
            include_usage: body["stream_options"]["include_usage"]
                .as_bool()
                .unwrap_or(false),
            cap,
            delay_ms: directive(&last, "delay_ms=")
                .unwrap_or(delay_ms)
                .min(DELAY_MS_MAX),
            input_tokens,
            reply,
        })
    }

    /// Output tokens of the complete answer.
    pub fn output_tokens(&self) -> u64 {
        match &self.reply {
            SimulatedReply::Text { text, .. } => tokens(text),
            SimulatedReply::Tool { name, arguments } => call_tokens(name, arguments),
        }
    }
}

fn input_tokens(system: &Value, messages: &[Value]) -> u64 {
    let of_messages = messages.iter().map(|message| tokens(&text_of(message)));
    tokens(&text_of(system)) + of_messages.sum::<u64>()
}

/// A tool call counts its name and its arguments.
fn call_tokens(name: &str, arguments: &Value) -> u64 {
    tokens(name) + tokens(&arguments.to_string())
}

/// 4 bytes of text, the last token possibly shorter.
pub(super) fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}

/// A text in deltas of one token.
pub(super) fn deltas(text: &str) -> impl Iterator<Item = &str> {
    (0..text.len())
        .step_by(4)
        .map(|at| &text[at..text.len().min(at + 4)])
}

/// All text of a message, a system prompt or a content part, in order.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(text_of).collect(),
        Value::Object(part) => [part.get("content"), part.get("text")]
            .into_iter()
            .flatten()
            .map(text_of)
            .collect(),
        _ => String::new(),
    }
}

/// The number after `word` in a text.
fn directive(text: &str, word: &str) -> Option<u64> {
    let after = &text[text.find(word)? + word.len()..];
    let digits = after.len()
        - after
            .trim_start_matches(|letter: char| letter.is_ascii_digit())
            .len();
    after[..digits].parse().ok()
}

/// A text of `length` tokens, fewer if the cap is lower. ASCII only, so that it can be cut after every 4 bytes.
fn text_reply(model: &str, input_tokens: u64, length: u64, cap: Option<u64>) -> SimulatedReply {
    let length = length.clamp(1, TEXT_TOKENS_MAX);
    let capped = cap.map_or(length, |cap| length.min(cap));
    let opening = format!(
        "This is Gatekeeper's simulator, not a model. It was asked for {model} with {input_tokens} tokens of input. "
    );
    let filler = "The simulator goes on until its length is reached. ";
    let text = opening
        .chars()
        .chain(filler.chars().cycle())
        .filter(char::is_ascii)
        .take(capped as usize * 4)
        .collect();
    SimulatedReply::Text {
        text,
        truncated: capped < length,
    }
}

/// Schema of a structured output, in either dialect.
fn wanted_schema(body: &Value) -> Option<&Value> {
    let schemas = [
        &body["response_format"]["json_schema"]["schema"],
        &body["output_config"]["format"]["schema"],
        &body["output_format"]["schema"],
    ];
    schemas.into_iter().find(|schema| schema.is_object())
}

/// JSON that fits the schema; cut, and so invalid, if the cap is lower.
fn structured_reply(body: &Value, cap: Option<u64>) -> SimulatedReply {
    let value = schema::fill(wanted_schema(body).unwrap_or(&Value::Null));
    let text = ascii(&value.to_string());
    let capped = cap.map_or(usize::MAX, |cap| (cap as usize).saturating_mul(4));
    SimulatedReply::Text {
        truncated: text.len() > capped,
        text: text.chars().take(capped).collect(),
    }
}

/// The same JSON with every other character as an escape, so that it can be cut after every 4 bytes.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            let mut units = [0; 2];
            let escapes = letter.encode_utf16(&mut units).iter();
            text.extend(escapes.map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
}

/// The tool call of the answer: where `tool_choice` requires one, or the last user message has the word `tool` in it. The
/// result of a call is answered with text.
fn tool_call(body: &Value, last: Option<&Value>, last_text: &str) -> Option<(String, Value)> {
    let tools = body["tools"].as_array()?;
    let choice = &body["tool_choice"];
    let named = choice["function"]["name"]
        .as_str()
        .or(choice["name"].as_str());
    let required = named.is_some() || choice == "required" || choice["type"] == "any";
    let asked = last.is_some_and(is_question) && last_text.contains("tool");
    if choice == "none" || choice["type"] == "none" || !(required || asked) {
        return None;
    }
    // chat wraps a tool in `function`; messages does not
    let unwrapped = |tool: &Value| tool.get("function").unwrap_or(tool).clone();
    let tool = tools
        .iter()
        .map(unwrapped)
        .find(|tool| named.is_none_or(|name| tool["name"] == name))?;
    let schema = tool
        .get("parameters")
        .or(tool.get("input_schema"))
        .unwrap_or(&Value::Null);
    Some((tool["name"].as_str()?.to_owned(), arguments(schema)))
}

fn arguments(schema: &Value) -> Value {
    if schema["properties"].is_object() {
        schema::fill(schema)
    } else {
        json!({})
    }
}

/// A user message that is not the result of a tool.
fn is_question(message: &Value) -> bool {
    let results = |parts: &Vec<Value>| parts.iter().any(|part| part["type"] == "tool_result");
    message["role"] == "user" && !message["content"].as_array().is_some_and(results)
}
