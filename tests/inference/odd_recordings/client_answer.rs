//! Content of an answer as a client of each dialect reads it, whole or as a stream.

use serde_json::{Value, json};

use crate::harness::client::{Response, SseEvent};
use crate::inference::matrix::Client;

/// Content that a client heard.
#[derive(Debug, Default)]
pub struct ClientAnswer {
    pub text: String,
    pub reasoning: String,
    /// key of the call in the stream, its id, name and arguments
    calls: Vec<Call>,
    word: Option<String>,
    pub is_error: bool,
}

#[derive(Debug, Default)]
struct Call {
    key: Value,
    id: Value,
    name: String,
    arguments: String,
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl ClientAnswer {
    pub fn of(client: Client, response: &Response, streamed: bool) -> ClientAnswer {
        let mut heard = ClientAnswer {
            is_error: response.status >= 400,
            ..ClientAnswer::default()
        };
        if heard.is_error {
            return heard;
        }
        if streamed {
            for event in SseEvent::all(&response.body) {
                let whole = serde_json::from_str::<Value>(&event.data);
                let json =
                    whole.or_else(|_| serde_json::from_str(&without_surrogates(&event.data)));
                if let Ok(json) = json {
                    heard.event(client, &json);
                }
            }
        } else {
            heard.whole(client, &response.json());
        }
        heard
    }

    fn whole(&mut self, client: Client, body: &Value) {
        match client {
            Client::Chat => self.chat(body, "message"),
            Client::Messages => self.message(body),
            Client::Responses => self.response(body, true),
        }
    }

    fn event(&mut self, client: Client, json: &Value) {
        match client {
            Client::Chat => self.chat(json, "delta"),
            Client::Messages => self.messages_event(json),
            Client::Responses => self.responses_event(json),
        }
    }

    fn begin(&mut self, key: &Value, id: &Value, name: &str) -> &mut Call {
        let known = self.calls.iter().rposition(|call| call.key == *key);
        let at = match known {
            Some(at) if name.is_empty() || id.is_null() || *id == self.calls[at].id => at,
            _ => {
                self.calls.push(Call {
                    key: key.clone(),
                    id: id.clone(),
                    ..Call::default()
                });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at];
        call.name.push_str(name);
        call
    }

    fn chat(&mut self, body: &Value, member: &str) {
        self.is_error |= body["error"].is_object();
        let choices = body["choices"].as_array().into_iter().flatten();
        for choice in choices.filter(|choice| choice["index"].as_u64().unwrap_or(0) == 0) {
            let delta = &choice[member];
            let thought = [&delta["reasoning_content"], &delta["reasoning"]];
            let thought = thought.into_iter().find(|thought| thought.is_string());
            self.reasoning.push_str(thought.map_or("", words));
            self.text.push_str(words(&delta["content"]));
            self.text.push_str(words(&delta["refusal"]));
            for part in delta["content"].as_array().into_iter().flatten() {
                self.text.push_str(words(&part["text"]));
                for thought in part["thinking"].as_array().into_iter().flatten() {
                    self.reasoning.push_str(words(&thought["text"]));
                }
            }
            let calls = delta["tool_calls"].as_array().into_iter().flatten();
            for (number, call) in calls.enumerate() {
                let key = match &call["index"] {
                    Value::Null => json!(number),
                    index => index.clone(),
                };
                let function = &call["function"];
                let begun = self.begin(&key, &call["id"], words(&function["name"]));
                begun.arguments.push_str(&argument(&function["arguments"]));
            }
            self.finish(&choice["finish_reason"]);
        }
    }

    fn finish(&mut self, word: &Value) {
        if let Some(word) = word.as_str() {
            self.word = Some(word.to_owned());
        }
    }

    fn block(&mut self, key: &Value, block: &Value) {
        self.text.push_str(words(&block["text"]));
        if block["type"] == "thinking" {
            self.reasoning.push_str(words(&block["thinking"]));
        }
        if block["type"] == "tool_use" {
            let input = argument(&block["input"]);
            let call = self.begin(key, &block["id"], words(&block["name"]));
            if input != "{}" {
                call.arguments = input;
            }
        }
    }

    fn message(&mut self, body: &Value) {
        for (number, block) in body["content"].as_array().into_iter().flatten().enumerate() {
            self.block(&json!(number), block);
        }
        self.finish(&body["stop_reason"]);
    }

    fn messages_event(&mut self, json: &Value) {
        match words(&json["type"]) {
            "content_block_start" => self.block(&json["index"], &json["content_block"]),
            "content_block_delta" => {
                let delta = &json["delta"];
                self.text.push_str(words(&delta["text"]));
                self.reasoning.push_str(words(&delta["thinking"]));
                let calls = &mut self.calls;
                if let Some(call) = calls.iter_mut().find(|call| call.key == json["index"]) {
                    call.arguments.push_str(words(&delta["partial_json"]));
                }
            }
            "message_delta" => self.finish(&json["delta"]["stop_reason"]),
            "error" => self.is_error = true,
            _ => {}
        }
    }

    fn responses_event(&mut self, json: &Value) {
        let key = &json["output_index"];
        match words(&json["type"]) {
            "response.output_text.delta" | "response.refusal.delta" => {
                self.text.push_str(words(&json["delta"]));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.reasoning.push_str(words(&json["delta"]));
            }
            "response.output_item.added" if json["item"]["type"] == "function_call" => {
                self.begin(key, &json["item"]["id"], words(&json["item"]["name"]));
            }
            "response.function_call_arguments.done" => {
                let arguments = words(&json["arguments"]).to_owned();
                self.begin(key, &Value::Null, "").arguments = arguments;
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                self.response(&json["response"], false);
            }
            "error" => self.is_error = true,
            _ => {}
        }
    }

    fn response(&mut self, body: &Value, is_whole: bool) {
        let items = body["output"].as_array().into_iter().flatten();
        for (number, item) in items.enumerate().filter(|_| is_whole) {
            for part in item["content"].as_array().into_iter().flatten() {
                if item["type"] == "message" {
                    self.text.push_str(words(&part["text"]));
                    self.text.push_str(words(&part["refusal"]));
                } else {
                    self.reasoning.push_str(words(&part["text"]));
                }
            }
            for part in item["summary"].as_array().into_iter().flatten() {
                self.reasoning.push_str(words(&part["text"]));
            }
            if item["type"] == "function_call" {
                let call = self.begin(&json!(number), &item["id"], words(&item["name"]));
                call.arguments = words(&item["arguments"]).to_owned();
            }
        }
        self.is_error |= body["status"] == "failed";
        let reason = &body["incomplete_details"]["reason"];
        self.finish(if reason.is_string() {
            reason
        } else {
            &body["status"]
        });
    }

    /// `stop`, `length`, `tool`, `filter`, `error`, or `cut` where nothing was said.
    pub fn ending(&self) -> &'static str {
        let said = match self.word.as_deref() {
            _ if self.is_error => "error",
            None => "cut",
            Some("length" | "model_length" | "max_tokens" | "max_output_tokens") => "length",
            Some("model_context_window_exceeded") => "length",
            Some("tool_calls" | "function_call" | "tool_use") => "tool",
            Some("content_filter" | "refusal") => "filter",
            Some("error" | "failed" | "insufficient_system_resource") => "error",
            Some(_) => "stop",
        };
        match said {
            "stop" if !self.calls.is_empty() => "tool",
            "tool" if self.calls.is_empty() => "stop",
            said => said,
        }
    }

    /// Names and arguments; those without any are an empty object.
    pub fn calls(&self) -> Value {
        let call = |call: &Call| {
            let arguments = match call.arguments.as_str() {
                "" => json!({}),
                text => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            };
            json!([call.name, arguments])
        };
        self.calls.iter().map(call).collect()
    }
}

/// Half surrogate pairs as spaces, which clients in other languages read.
fn without_surrogates(text: &str) -> String {
    let mut parts = text.split("\\ud");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + " " + part.get(3..).unwrap_or_default()
    })
}

/// Arguments as text; some vendors write an object.
fn argument(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
