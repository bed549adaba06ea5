//! A model call as the budget tests make it: dialect, manner and output cap, over a kept connection, and what came of it.

use serde_json::{Value, json};

use crate::harness::client::{Connection, Response};
pub use crate::harness::rng::SeededRng;

/// What is asked. The text is always the same, so that equal calls have equal ceilings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call {
    pub messages: bool,
    pub streamed: bool,
    pub max_tokens: Option<u64>,
}

impl Call {
    pub fn chat() -> Call {
        Call::default()
    }

    pub fn messages() -> Call {
        Call {
            messages: true,
            ..Call::default()
        }
    }

    #[must_use]
    pub fn streamed(self, streamed: bool) -> Call {
        Call { streamed, ..self }
    }

    #[must_use]
    pub fn at_most(self, tokens: u64) -> Call {
        Call {
            max_tokens: Some(tokens),
            ..self
        }
    }

    pub fn path(self) -> &'static str {
        if self.messages {
            "/v1/messages"
        } else {
            "/v1/chat/completions"
        }
    }

    pub fn body(self) -> Value {
        let mut body = json!({"model": if self.messages { "c-small" } else { "m-small" },
            "messages": [{"role": "user", "content": "What does it cost?"}]});
        if self.streamed {
            body["stream"] = json!(true);
        }
        if let Some(tokens) = self.max_tokens {
            body["max_tokens"] = json!(tokens);
        }
        body
    }

    /// Asks and reads everything.
    pub fn by(self, connection: &mut Connection) -> Response {
        connection.call(
            "POST",
            self.path(),
            Some(self.body().to_string().as_bytes()),
        )
    }
}

/// Whether a good answer also came to its end: the terminal event of a stream, or a whole body.
pub fn is_whole(answer: &Response) -> bool {
    let text = answer.text();
    match answer.header("content-type") {
        Some(kind) if kind.starts_with("text/event-stream") => {
            text.contains("data: [DONE]") || text.contains("event: message_stop")
        }
        _ => text.ends_with('}'),
    }
}
