//! A model call of the budget tests: dialect, streaming and output cap. Equal calls have equal ceilings.

use serde_json::{Value, json};

use crate::harness::client::{Connection, Response};
pub use crate::harness::rng::SeededRng;

/// One call with a fixed text.
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

    /// Sends the call and reads the response.
    pub fn by(self, connection: &mut Connection) -> Response {
        connection.call(
            "POST",
            self.path(),
            Some(self.body().to_string().as_bytes()),
        )
    }
}

/// True if a stream has its terminal event, or a body its closing brace.
pub fn is_complete(response: &Response) -> bool {
    let text = response.text();
    match response.header("content-type") {
        Some(kind) if kind.starts_with("text/event-stream") => {
            text.contains("data: [DONE]") || text.contains("event: message_stop")
        }
        _ => text.ends_with('}'),
    }
}
