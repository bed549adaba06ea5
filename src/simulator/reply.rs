//! Content of the simulator's answers: text, a tool call, JSON that fits a schema, and a short thinking before them. Takes the decoded
//! body and the output cap; must never give more tokens than the cap.

use serde_json::{Value, json};

use crate::simulator::schema;
use crate::simulator::text::{directive, text_of, tokens};

const TEXT_TOKENS: u64 = 40;
const TEXT_TOKENS_MAX: u64 = 4096;
const THINKING_TOKENS: u64 = 24;
/// The thinking takes at most this part of the cap.
const THINKING_SHARE: u64 = 4;

/// Content of the answer, in either dialect.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SimulatedReply {
    Text { text: String, truncated: bool },
    Tool { name: String, arguments: Value },
}

impl SimulatedReply {
    pub fn tokens(&self) -> u64 {
        match self {
            SimulatedReply::Text { text, .. } => tokens(text),
            SimulatedReply::Tool { name, arguments } => call_tokens(name, arguments),
        }
    }
}

/// Answer to the last message, within the cap.
pub(super) fn reply(
    body: &Value,
    last: Option<&Value>,
    (model, input_tokens): (&str, u64),
    cap: Option<u64>,
) -> SimulatedReply {
    let last_text = last.map(text_of).unwrap_or_default();
    let fits = |(name, arguments): &(String, Value)| {
        cap.is_none_or(|cap| call_tokens(name, arguments) <= cap)
    };
    if let Some((name, arguments)) = tool_call(body, last, &last_text).filter(fits) {
        return SimulatedReply::Tool { name, arguments };
    }
    if let Some(value) = structured(body) {
        return capped(&ascii(&value.to_string()), cap);
    }
    let length = directive(&last_text, "tokens=").unwrap_or(TEXT_TOKENS);
    text_reply(model, input_tokens, length, cap)
}

/// Thinking before the answer, where the request turns it on and the cap leaves room.
pub(super) fn thinking(body: &Value, input_tokens: u64, cap: Option<u64>) -> Option<String> {
    let on = |value: &Value, off: &[&str]| value.as_str().is_some_and(|text| !off.contains(&text));
    let is_on = on(&body["thinking"]["type"], &["disabled"])
        || on(&body["reasoning_effort"], &["none"])
        || on(&body["reasoning"]["effort"], &["none"]);
    let room = cap.map_or(THINKING_TOKENS, |cap| cap / THINKING_SHARE);
    let length = room.min(THINKING_TOKENS) as usize * 4;
    let text = format!(
        "The simulator only pretends to think. The question has {input_tokens} tokens; any answer will do."
    );
    (is_on && length > 0).then(|| text.chars().take(length).collect())
}

/// A tool call counts its name and its arguments.
fn call_tokens(name: &str, arguments: &Value) -> u64 {
    tokens(name) + tokens(&arguments.to_string())
}

/// A text of `length` tokens, fewer if the cap is lower. ASCII only, so that it can be cut after every 4 bytes.
fn text_reply(model: &str, input_tokens: u64, length: u64, cap: Option<u64>) -> SimulatedReply {
    let length = length.clamp(1, TEXT_TOKENS_MAX);
    let opening = format!(
        "This is Gatekeeper's simulator, not a model. It was asked for {model} with {input_tokens} tokens of input. "
    );
    let filler = "The simulator goes on until its length is reached. ";
    let text: String = opening
        .chars()
        .chain(filler.chars().cycle())
        .filter(char::is_ascii)
        .take(length as usize * 4)
        .collect();
    capped(&text, cap)
}

/// An ASCII text, cut at the cap.
fn capped(text: &str, cap: Option<u64>) -> SimulatedReply {
    let bytes = cap.map_or(usize::MAX, |cap| (cap as usize).saturating_mul(4));
    SimulatedReply::Text {
        truncated: text.len() > bytes,
        text: text.chars().take(bytes).collect(),
    }
}

/// The value of a structured output, in either dialect.
fn structured(body: &Value) -> Option<Value> {
    let schemas = [
        &body["response_format"]["json_schema"]["schema"],
        &body["output_config"]["format"]["schema"],
        &body["output_format"]["schema"],
    ];
    if let Some(schema) = schemas.into_iter().find(|schema| schema.is_object()) {
        return Some(schema::fill(schema));
    }
    let is_json = body["response_format"]["type"] == "json_object";
    is_json.then(|| json!({"simulator": true, "model": body["model"]}))
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

/// Arguments are an object, whatever the schema says.
fn arguments(schema: &Value) -> Value {
    let filled = schema::fill(schema);
    if filled.is_object() {
        filled
    } else {
        json!({})
    }
}

/// A user message that is not the result of a tool.
fn is_question(message: &Value) -> bool {
    let results = |parts: &Vec<Value>| parts.iter().any(|part| part["type"] == "tool_result");
    message["role"] == "user" && !message["content"].as_array().is_some_and(results)
}
