//! Messages that are mutated: the golden files by vendor and kind, and requests with every kind of content.

use std::path::Path;

use serde_json::{Value, json};

/// Kind of a vendor's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Whole,
    Events,
    Lines,
    Frames,
}

impl Kind {
    fn extension(self) -> &'static str {
        match self {
            Kind::Whole => "json",
            Kind::Events => "sse",
            Kind::Lines => "ndjson",
            Kind::Frames => "bin",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Kind::Whole => "application/json",
            Kind::Events => "text/event-stream",
            Kind::Lines => "application/x-ndjson",
            Kind::Frames => "application/vnd.amazon.eventstream",
        }
    }
}

/// Golden answers of a vendor, sorted by name.
pub fn answers(vendor: &str, kind: Kind) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(vendor);
    let mut files = Vec::new();
    for folder in [root.clone(), root.join("odd")] {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files.extend(entries.map(|entry| entry.path()));
    }
    files.retain(|path| {
        let is_kind = path
            .extension()
            .is_some_and(|name| name == kind.extension());
        is_kind
            && path
                .file_name()
                .is_some_and(|name| name != "index.json" && name != "sigv4.json")
    });
    files.sort();
    files
        .iter()
        .map(|path| std::fs::read(path).expect("a golden file"))
        .collect()
}

/// Valid requests of a client dialect's path, for this model.
pub fn requests(path: &str, model: &str, streamed: bool) -> Vec<Vec<u8>> {
    let bodies = match path {
        "/v1/chat/completions" => chat(),
        "/v1/messages" | "/v1/messages/count_tokens" => messages(),
        "/v1/responses" => responses(),
        "/v1/embeddings" => vec![json!({"input": ["a", "b"], "encoding_format": "float"})],
        other => panic!("no requests for {other}"),
    };
    let completed = bodies.into_iter().map(|mut body| {
        body["model"] = json!(model);
        if streamed && path != "/v1/embeddings" {
            body["stream"] = json!(true);
        }
        body.to_string().into_bytes()
    });
    completed.collect()
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}

fn chat() -> Vec<Value> {
    let function = json!({"name": "weather", "description": "d", "parameters": schema()});
    let call = json!({"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"B\"}"}});
    vec![
        json!({"max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]}),
        json!({"max_completion_tokens": 30, "n": 1, "temperature": 0.5, "stop": ["a"], "seed": 3, "user": "u",
            "stream_options": {"include_usage": true}, "response_format": {"type": "json_object"}, "tools": [{"type": "function", "function": function}],
            "tool_choice": "auto", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "t"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]},
            {"role": "assistant", "content": null, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "call_1", "content": "rain"}]}),
        json!({"max_tokens": 20, "reasoning_effort": "low", "logit_bias": {"1": 2}, "metadata": {"a": "b"}, "service_tier": "auto",
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema(), "strict": true}},
            "messages": [{"role": "developer", "content": "d"}, {"role": "user", "content": "u"}]}),
    ]
}

fn messages() -> Vec<Value> {
    vec![
        json!({"max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]}),
        json!({"max_tokens": 2_000, "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
            "thinking": {"type": "enabled", "budget_tokens": 1_024}, "metadata": {"user_id": "u"}, "stop_sequences": ["x"],
            "tools": [{"name": "weather", "input_schema": schema()}], "tool_choice": {"type": "auto"},
            "messages": [{"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image", "source": {"type": "base64",
            "media_type": "image/png", "data": "iVBORw0KGgo="}}]}, {"role": "assistant", "content": [{"type": "thinking", "thinking": "h",
            "signature": "c2ln"}, {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "B"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "rain"}]}]}),
    ]
}

fn responses() -> Vec<Value> {
    vec![
        json!({"max_output_tokens": 20, "input": "Hello"}),
        json!({"max_output_tokens": 40, "instructions": "i", "store": false, "reasoning": {"effort": "low"}, "text": {"format": {"type": "text"}},
            "tools": [{"type": "function", "name": "weather", "parameters": schema()}],
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "t"}]}, {"type": "function_call", "call_id": "c",
            "name": "weather", "arguments": "{}"}, {"type": "function_call_output", "call_id": "c", "output": "rain"}]}),
    ]
}
