//! Vendors that are reached only through a dialect of their own: Gemini, Cohere and Ollama's `/api/chat`. Checks what
//! clients of both dialects send to each of them and that recordings of their responses reach the clients in full, at
//! the same cost for any chunking by the network.

mod billing;
mod failures;
mod media;
mod options;
mod text;
mod tools;

use serde_json::{Value, json};

use crate::harness::golden;
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::inference::fixture::{Chat, Dialect, Fixture, Messages};

/// Vendor: preset, golden folder, model and stream format.
#[derive(Clone, Copy, Debug)]
struct Vendor {
    preset: &'static str,
    folder: &'static str,
    model: &'static str,
    ending: &'static str,
    content_type: &'static str,
}

const SSE: &str = "text/event-stream";
const GEMINI: Vendor = Vendor {
    preset: "gemini",
    folder: "gemini",
    model: "gemini-3.8-flash",
    ending: "sse",
    content_type: SSE,
};

const COHERE: Vendor = Vendor {
    preset: "cohere",
    folder: "cohere",
    model: "command-a-plus-05-2026",
    ending: "sse",
    content_type: SSE,
};

const OLLAMA: Vendor = Vendor {
    preset: "ollama_native",
    folder: "ollama",
    model: "qwen3:8b",
    ending: "ndjson",
    content_type: "application/x-ndjson",
};

const ALL: [Vendor; 3] = [GEMINI, COHERE, OLLAMA];

impl Vendor {
    /// Fixture with the provider `v` at 1 and 5 dollars per million tokens.
    fn fixture(self) -> Fixture {
        self.fixture_with_models(&[self.model])
    }

    fn fixture_with_models(self, models: &[&str]) -> Fixture {
        let upstream = Upstream::start();
        let provider = Provider::openai("v", &upstream)
            .preset(self.preset)
            .models(models)
            .base_url(&upstream.url());
        Fixture::with_upstream(upstream, |setup| setup.provider(&provider))
    }

    fn recording(self, name: &str, streamed: bool) -> String {
        golden(&format!(
            "{}/{name}.{}",
            self.folder,
            if streamed { self.ending } else { "json" }
        ))
    }

    fn stream<T: AsRef<[u8]>>(self, pieces: impl IntoIterator<Item = T>) -> Script {
        Script::stream(pieces).header("content-type", self.content_type)
    }

    /// Script of a recording, sent at once.
    fn script(self, name: &str, streamed: bool) -> Script {
        let recording = self.recording(name, streamed);
        if streamed {
            self.stream([&recording])
        } else {
            Script::unary(200, &recording)
        }
    }

    /// Scripts that deliver a recorded stream in every chunking and with both line ends.
    fn deliveries(self, name: &str) -> Vec<Script> {
        let recording = self.recording(name, true);
        let mut scripts = Vec::new();
        for line_end in ["\n", "\r\n"] {
            let recording = recording.replace('\n', line_end);
            let within_letter = recording.find('🦀').expect("a character of four bytes") + 2;
            let (head, tail) = recording.as_bytes().split_at(within_letter);
            scripts.push(self.stream([&recording]));
            scripts.push(self.stream([&recording]).one_byte_per_write());
            scripts.push(self.stream(recording.bytes().map(|byte| [byte])));
            scripts.push(self.stream([head, tail]).pause_ms_between(20));
        }
        scripts
    }

    /// Small valid request with more fields.
    fn request_body(self, dialect: Dialect, more: Value) -> Value {
        let mut body =
            json!({"model": self.model, "messages": [{"role": "user", "content": "say it"}]});
        if dialect == Messages {
            body["max_tokens"] = json!(500);
        }
        for (name, value) in more.as_object().expect("members") {
            body[name] = value.clone();
        }
        body
    }

    /// Sends a request, asserts success, and returns the vendor's request body and the reported dropped fields.
    #[track_caller]
    fn sent(self, fixture: &Fixture, dialect: Dialect, body: &Value) -> (Value, Option<String>) {
        fixture.upstream.respond_with(self.script("text", false));
        let response = fixture.user().post(dialect.path(), body);
        response.assert_status(200);
        fixture.assert_recorded().assert_ended("ok", &[]);
        (
            fixture.upstream.last_request().json(),
            response
                .header("x-gatekeeper-dropped-params")
                .map(str::to_owned),
        )
    }
}

fn tool() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "number"}}, "required": ["city"]})
}

/// Declaration of the tool in the dialect.
fn tools(dialect: Dialect) -> Value {
    match dialect {
        Chat => {
            json!([{"type": "function", "function": {"name": "weather", "description": "d", "parameters": tool()}}])
        }
        Messages => json!([{"name": "weather", "description": "d", "input_schema": tool()}]),
    }
}
