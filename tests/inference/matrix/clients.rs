//! Client side of the matrix: the request of each dialect for each feature, and the response parsed as its clients do.

use serde_json::{Value, json};

use super::Feature;
use super::upstreams::Say;
use crate::harness::client::{Response, SseEvent};

pub const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Chat,
    Messages,
    Responses,
}

/// Response as its client parses it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientView {
    pub text: String,
    pub reasoning: String,
    pub calls: Vec<(String, Value)>,
}

impl Client {
    pub const ALL: [Client; 3] = [Client::Chat, Client::Messages, Client::Responses];

    pub fn path(self) -> &'static str {
        match self {
            Client::Chat => "/v1/chat/completions",
            Client::Messages => "/v1/messages",
            Client::Responses => "/v1/responses",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Client::Chat => "Chat Completions",
            Client::Messages => "Messages",
            Client::Responses => "Responses",
        }
    }

    pub fn request(self, model: &str, feature: Feature) -> Value {
        let parts = match (self, feature) {
            (_, Feature::Image) => self.image(),
            _ => json!("say it"),
        };
        let turns = json!([{"role": "user", "content": parts}]);
        let mut body = match self {
            Client::Chat => {
                json!({"model": model, "messages": turns, "max_completion_tokens": 4_000})
            }
            Client::Messages => json!({"model": model, "messages": turns, "max_tokens": 4_000}),
            Client::Responses => {
                json!({"model": model, "input": turns, "max_output_tokens": 4_000, "store": false})
            }
        };
        let more = match feature {
            Feature::Text | Feature::Image => json!({}),
            Feature::Stream => json!({"stream": true}),
            Feature::Tools | Feature::ParallelTools => json!({"tools": [self.tool()]}),
            Feature::StructuredOutput => self.structured(),
            Feature::Reasoning => self.reasoning(),
        };
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("members").clone());
        body
    }

    fn image(self) -> Value {
        let url = format!("data:image/png;base64,{PNG}");
        match self {
            Client::Chat => {
                json!([{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}])
            }
            Client::Messages => {
                let source = json!({"type": "base64", "media_type": "image/png", "data": PNG});
                json!([{"type": "text", "text": "look"}, {"type": "image", "source": source}])
            }
            Client::Responses => {
                json!([{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": url}])
            }
        }
    }

    fn tool(self) -> Value {
        match self {
            Client::Chat => {
                json!({"type": "function", "function": {"name": "weather", "description": "d", "parameters": tool()}})
            }
            Client::Messages => {
                json!({"name": "weather", "description": "d", "input_schema": tool()})
            }
            Client::Responses => {
                json!({"type": "function", "name": "weather", "description": "d", "parameters": tool()})
            }
        }
    }

    fn structured(self) -> Value {
        match self {
            Client::Chat => {
                let named = json!({"name": "place", "schema": schema(), "strict": true});
                json!({"response_format": {"type": "json_schema", "json_schema": named}})
            }
            Client::Messages => {
                json!({"output_config": {"format": {"type": "json_schema", "schema": schema()}}})
            }
            Client::Responses => {
                json!({"text": {"format": {"type": "json_schema", "name": "place", "schema": schema(), "strict": true}}})
            }
        }
    }

    fn reasoning(self) -> Value {
        match self {
            Client::Chat => json!({"reasoning_effort": "high"}),
            Client::Messages => {
                json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}})
            }
            Client::Responses => {
                json!({"reasoning": {"effort": "high", "summary": "auto"}, "include": ["reasoning.encrypted_content"]})
            }
        }
    }

    pub fn parse(self, response: &Response, streamed: bool) -> ClientView {
        if streamed {
            return self.parse_stream(&SseEvent::all(&response.body));
        }
        let body = response.json();
        match self {
            Client::Chat => chat(&body["choices"][0]["message"]),
            Client::Messages => items(&body["content"]),
            Client::Responses => items(&body["output"]),
        }
    }

    /// Parses the text of a stream; asserts one terminal event, last.
    fn parse_stream(self, events: &[SseEvent]) -> ClientView {
        let events: Vec<&SseEvent> = events
            .iter()
            .filter(|event| !event.data.is_empty())
            .collect();
        let is_end = |event: &&SseEvent| match self {
            Client::Chat => event.data == "[DONE]",
            Client::Messages => event.name == "message_stop",
            Client::Responses => event.name == "response.completed",
        };
        assert_eq!(
            events.iter().filter(|event| is_end(event)).count(),
            1,
            "{events:?}"
        );
        assert!(events.last().is_some_and(is_end), "{events:?}");
        let mut view = ClientView::default();
        for json in events.iter().map(|event| event.json()) {
            let delta = match self {
                Client::Chat => &json["choices"][0]["delta"]["content"],
                Client::Messages => &json["delta"]["text"],
                Client::Responses if json["type"] == "response.output_text.delta" => &json["delta"],
                Client::Responses => &Value::Null,
            };
            view.text.push_str(delta.as_str().unwrap_or_default());
        }
        view
    }
}

/// Parameter schema of the tool.
pub fn tool() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]})
}

/// Response schema.
pub fn schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string", "description": "where"}}, "required": ["city"],
        "additionalProperties": false})
}

/// Expected tool calls.
pub fn calls(say: Say) -> Vec<(String, Value)> {
    say.calls()
        .into_iter()
        .map(|(name, arguments)| (name.to_owned(), arguments))
        .collect()
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn parsed(arguments: &Value) -> Value {
    serde_json::from_str(words(arguments)).unwrap_or_else(|_| panic!("{arguments} is not JSON"))
}

fn chat(message: &Value) -> ClientView {
    let mut view = ClientView::default();
    for member in ["reasoning_content", "reasoning"] {
        view.reasoning.push_str(words(&message[member]));
    }
    view.text.push_str(words(&message["content"]));
    // content parts of Mistral
    for part in message["content"].as_array().into_iter().flatten() {
        view.reasoning.push_str(words(&part["thinking"][0]["text"]));
        view.text.push_str(words(&part["text"]));
    }
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let function = &call["function"];
        assert!(!words(&call["id"]).is_empty(), "{call}");
        view.calls.push((
            words(&function["name"]).to_owned(),
            parsed(&function["arguments"]),
        ));
    }
    view
}

/// Parses content blocks (Messages) or output items (Responses).
fn items(items: &Value) -> ClientView {
    let mut view = ClientView::default();
    for item in items.as_array().expect("a list") {
        match words(&item["type"]) {
            "text" => view.text.push_str(words(&item["text"])),
            "thinking" => view.reasoning.push_str(words(&item["thinking"])),
            "tool_use" => view
                .calls
                .push((words(&item["name"]).to_owned(), item["input"].clone())),
            "message" => view.text.push_str(words(&item["content"][0]["text"])),
            "reasoning" => view.reasoning.push_str(words(&item["summary"][0]["text"])),
            "function_call" => view
                .calls
                .push((words(&item["name"]).to_owned(), parsed(&item["arguments"]))),
            other => panic!("unknown block type {other}: {item}"),
        }
    }
    view
}
