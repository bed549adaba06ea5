//! Honest vendor: responds to chat and messages requests, unary or streamed, one token per delta, and reports the usage
//! that it charges. It obeys the output cap of the request and reports the matching stop reason.

use serde_json::{Value, json};

use super::request::ReceivedRequest;
use super::script::{Piece, Script};

/// Script with this usage for every request; fewer output tokens if the request caps them.
pub fn with_usage(input_tokens: u64, output_tokens: u64) -> Script {
    Script::from_request(move |request| {
        if request.path().ends_with("/models") {
            return Script::json(
                200,
                &json!({"object": "list", "data": [{"id": "m-small", "object": "model"}]}),
            );
        }
        let call = Call::read(request, input_tokens, output_tokens);
        match (call.messages, call.streamed) {
            (false, false) => call.unary(&call.chat_body()),
            (true, false) => call.unary(&call.messages_body()),
            (false, true) => call.events(call.chat_events()),
            (true, true) => call.events(call.messages_events()),
        }
    })
}

/// Text of the n-th token.
pub fn token(n: u64) -> String {
    format!("t{n} ")
}

/// Request as the model understands it.
struct Call {
    id: String,
    model: String,
    /// messages dialect, otherwise chat
    messages: bool,
    streamed: bool,
    include_usage: bool,
    input: u64,
    output: u64,
    capped: bool,
}

impl Call {
    fn read(request: &ReceivedRequest, input: u64, wanted: u64) -> Call {
        let body = request.json();
        let cap = ["max_completion_tokens", "max_tokens"]
            .iter()
            .find_map(|name| body[*name].as_u64());
        Call {
            id: format!("up-{}", request.number),
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            messages: request.path().ends_with("/messages"),
            streamed: body["stream"].as_bool() == Some(true),
            include_usage: body["stream_options"]["include_usage"].as_bool() == Some(true),
            input,
            output: wanted.min(cap.unwrap_or(u64::MAX)),
            capped: cap.is_some_and(|cap| cap < wanted),
        }
    }

    fn unary(&self, body: &Value) -> Script {
        Script::json(200, body).charging(self.input, self.output)
    }

    fn events(&self, events: Vec<Piece>) -> Script {
        let stream = Script::charged_stream(events);
        match stream {
            Script::Fixed(mut response) => {
                response.input_tokens = self.input;
                Script::Fixed(response)
            }
            other => other,
        }
    }

    fn text(&self) -> String {
        (0..self.output).map(token).collect()
    }

    fn chat_usage(&self) -> Value {
        json!({"prompt_tokens": self.input, "completion_tokens": self.output, "total_tokens": self.input + self.output})
    }

    fn finish_reason(&self) -> &'static str {
        if self.capped { "length" } else { "stop" }
    }

    fn chat_body(&self) -> Value {
        json!({"id": self.id, "object": "chat.completion", "created": 1, "model": self.model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": self.text()}, "finish_reason": self.finish_reason()}],
            "usage": self.chat_usage()})
    }

    fn chat_chunk(&self, choices: &Value, usage: Option<Value>) -> Piece {
        let mut chunk = json!({"id": self.id, "object": "chat.completion.chunk", "created": 1, "model": self.model,
            "choices": choices});
        if let Some(usage) = usage {
            chunk["usage"] = usage;
        }
        Piece::of(format!("data: {chunk}\n\n"))
    }

    fn chat_events(&self) -> Vec<Piece> {
        let delta =
            |delta: Value, end: Value| json!([{"index": 0, "delta": delta, "finish_reason": end}]);
        let mut events = vec![self.chat_chunk(
            &delta(json!({"role": "assistant", "content": ""}), Value::Null),
            None,
        )];
        events.extend((0..self.output).map(|n| {
            self.chat_chunk(&delta(json!({"content": token(n)}), Value::Null), None)
                .charging(1)
        }));
        events.push(self.chat_chunk(&delta(json!({}), json!(self.finish_reason())), None));
        if self.include_usage {
            events.push(self.chat_chunk(&json!([]), Some(self.chat_usage())));
        }
        events.push(Piece::of("data: [DONE]\n\n"));
        events
    }

    fn stop_reason(&self) -> &'static str {
        if self.capped {
            "max_tokens"
        } else {
            "end_turn"
        }
    }

    fn messages_body(&self) -> Value {
        json!({"id": self.id, "type": "message", "role": "assistant", "model": self.model,
            "content": [{"type": "text", "text": self.text()}], "stop_reason": self.stop_reason(), "stop_sequence": null,
            "usage": {"input_tokens": self.input, "output_tokens": self.output}})
    }

    fn messages_events(&self) -> Vec<Piece> {
        let event = |name: &str, data: Value| Piece::of(format!("event: {name}\ndata: {data}\n\n"));
        let mut start = self.messages_body();
        start["content"] = json!([]);
        start["stop_reason"] = Value::Null;
        start["usage"]["output_tokens"] = json!(1);
        let mut events = vec![
            event(
                "message_start",
                json!({"type": "message_start", "message": start}),
            ),
            event(
                "content_block_start",
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            ),
            event("ping", json!({"type": "ping"})),
        ];
        events.extend((0..self.output).map(|n| {
            let delta = json!({"type": "text_delta", "text": token(n)});
            event(
                "content_block_delta",
                json!({"type": "content_block_delta", "index": 0, "delta": delta}),
            )
            .charging(1)
        }));
        events.push(event(
            "content_block_stop",
            json!({"type": "content_block_stop", "index": 0}),
        ));
        events.push(event(
            "message_delta",
            json!({"type": "message_delta", "delta": {"stop_reason": self.stop_reason(), "stop_sequence": null},
                "usage": {"output_tokens": self.output}}),
        ));
        events.push(event("message_stop", json!({"type": "message_stop"})));
        events
    }
}
