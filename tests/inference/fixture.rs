//! Fixture of the inference tests: one gateway in front of one upstream that speaks both dialects, a team and a key; and
//! assertions on the client's response and on the record of a call.

use std::cell::Cell;

use serde_json::{Value, json};

use crate::harness::client::{BodyEnd, HttpClient, Response, SseEvent};
use crate::harness::process::{Gatekeeper, Key, Provider, Setup, Team, text};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{pico, usd, wait_until};

/// Dialect of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Chat,
    Messages,
}

pub use Dialect::{Chat, Messages};

pub const BOTH: [Dialect; 2] = [Chat, Messages];

impl Dialect {
    pub fn path(self) -> &'static str {
        match self {
            Chat => "/v1/chat/completions",
            Messages => "/v1/messages",
        }
    }

    pub fn model(self) -> &'static str {
        match self {
            Chat => "m-small",
            Messages => "c-small",
        }
    }

    /// Small valid request.
    pub fn body(self) -> Value {
        let mut body =
            json!({"model": self.model(), "messages": [{"role": "user", "content": "say it"}]});
        if self == Messages {
            body["max_tokens"] = json!(500);
        }
        body
    }

    /// `body` as a stream.
    pub fn stream_body(self) -> Value {
        let mut body = self.body();
        body["stream"] = json!(true);
        body
    }

    /// `body`, unary or as a stream.
    pub fn body_for(self, streamed: bool) -> Value {
        if streamed {
            self.stream_body()
        } else {
            self.body()
        }
    }

    /// Error body of an upstream of this dialect.
    pub fn rejection(self, kind: &str, message: &str) -> Value {
        match self {
            Chat => {
                json!({"error": {"message": message, "type": kind, "param": null, "code": kind}})
            }
            Messages => {
                json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_up"})
            }
        }
    }

    /// Events of an honest response with `deltas` text deltas, in three parts: before the content, the content, after it. The
    /// usage is 10 input tokens and one output token per delta.
    pub fn events(self, deltas: u64) -> [Vec<String>; 3] {
        match self {
            Chat => chat_events(deltas),
            Messages => messages_events(deltas),
        }
    }

    /// All events of the honest response.
    pub fn stream(self, deltas: u64) -> Vec<String> {
        self.events(deltas).concat()
    }

    /// In-band error event.
    pub fn error_event(self, kind: &str, message: &str) -> String {
        let error = self.rejection(kind, message);
        match self {
            Chat => format!("data: {error}\n\n"),
            Messages => format!("event: error\ndata: {error}\n\n"),
        }
    }

    /// True for the terminal event of the dialect.
    pub fn is_terminal(self, event: &SseEvent) -> bool {
        match self {
            Chat => event.data == "[DONE]",
            Messages => event.name == "message_stop",
        }
    }
}

fn chat_events(deltas: u64) -> [Vec<String>; 3] {
    let chunk = |choices: Value| {
        let chunk = json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-small", "choices": choices});
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value, end: Value| {
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": end}]))
    };
    let usage = json!({"id": "c1", "choices": [],
        "usage": {"prompt_tokens": 10, "completion_tokens": deltas, "total_tokens": 10 + deltas}});
    [
        vec![delta(
            json!({"role": "assistant", "content": ""}),
            Value::Null,
        )],
        (0..deltas)
            .map(|n| delta(json!({"content": format!("w{n} ")}), Value::Null))
            .collect(),
        vec![
            delta(json!({}), json!("stop")),
            format!("data: {usage}\n\n"),
            "data: [DONE]\n\n".to_owned(),
        ],
    ]
}

fn messages_events(deltas: u64) -> [Vec<String>; 3] {
    let event = |data: Value| {
        format!(
            "event: {}\ndata: {data}\n\n",
            data["type"].as_str().expect("an event has a type")
        )
    };
    let start = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "c-small", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 10, "output_tokens": 1}});
    let text = |n: u64| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": format!("w{n} ")}});
    [
        vec![
            event(json!({"type": "message_start", "message": start})),
            event(
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            ),
        ],
        (0..deltas).map(|n| event(text(n))).collect(),
        vec![
            event(json!({"type": "content_block_stop", "index": 0})),
            event(
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
                "usage": {"output_tokens": deltas}}),
            ),
            event(json!({"type": "message_stop"})),
        ],
    ]
}

/// Anthropic's error type for an error code of the gateway.
fn anthropic_type(code: &str) -> &'static str {
    match code {
        "invalid_request_error"
        | "model_ambiguous"
        | "not_supported"
        | "method_not_allowed"
        | "unsupported_media_type" => "invalid_request_error",
        "authentication_error" | "key_expired" => "authentication_error",
        "budget_exceeded" | "price_unknown" | "cost_unbounded" => "billing_error",
        "permission_denied" | "model_not_allowed" => "permission_error",
        "model_not_found" | "not_found" => "not_found_error",
        "request_too_large" => "request_too_large",
        "rate_limit_exceeded" | "budget_held" => "rate_limit_error",
        "upstream_error" | "upstream_timeout" => "api_error",
        "overloaded" | "ledger_unavailable" | "shutting_down" => "overloaded_error",
        other => panic!("unknown error code `{other}`"),
    }
}

/// Asserts that a JSON body is this error in this dialect.
#[track_caller]
pub fn assert_error(dialect: Dialect, body: &Value, code: &str) {
    let message = body["error"]["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty(), "no message in {body}");
    match dialect {
        Chat => {
            assert_eq!(
                (&body["error"]["type"], &body["error"]["code"]),
                (&json!(code), &json!(code)),
                "{body}"
            );
            let error = body["error"].as_object().expect("an error is an object");
            assert!(
                error.contains_key("param") && body.get("type").is_none(),
                "{body}"
            );
        }
        Messages => {
            assert_eq!(
                (&body["type"], &body["error"]["type"]),
                (&json!("error"), &json!(anthropic_type(code))),
                "{body}"
            );
            assert!(
                body["request_id"].as_str().is_some_and(|id| !id.is_empty()),
                "{body}"
            );
        }
    }
}

/// Asserts a refusal: status, code, shape of the dialect, request id. Returns the message.
#[track_caller]
pub fn assert_refusal(dialect: Dialect, response: &Response, status: u16, code: &str) -> String {
    response.assert_status(status);
    assert_eq!(
        response.header("content-type"),
        Some("application/json"),
        "{}",
        response.text()
    );
    let id = response
        .header("x-gatekeeper-request-id")
        .expect("every response says its request id")
        .to_owned();
    let body = response.json();
    assert_error(dialect, &body, code);
    if dialect == Messages {
        assert_eq!(body["request_id"], json!(id));
    }
    response.error_message()
}

/// Asserts a refusal that names the parameter, where the dialect can.
#[track_caller]
pub fn assert_refusal_at(
    dialect: Dialect,
    response: &Response,
    status: u16,
    code: &str,
    param: &str,
) -> String {
    let message = assert_refusal(dialect, response, status, code);
    if dialect == Chat {
        assert_eq!(response.json()["error"]["param"], json!(param), "{message}");
    }
    message
}

/// Upstream, gateway with the providers `up` (chat) and `ant` (messages) in front of it, a team and its key without budgets.
pub struct Fixture {
    pub gatekeeper: Gatekeeper,
    pub upstream: Upstream,
    pub team: Team,
    pub key: Key,
    /// records asserted so far
    records: Cell<usize>,
    /// upstream requests seen by the last assertion
    requests: Cell<usize>,
}

impl Fixture {
    pub fn new() -> Fixture {
        Fixture::with_setup(|setup| setup)
    }

    /// Fixture with lines under `[limits]`.
    pub fn with_limits(limits: &str) -> Fixture {
        Fixture::with_setup(|setup| setup.setting(&format!("[limits]\n{limits}")))
    }

    pub fn with_setup(change: impl FnOnce(Setup) -> Setup) -> Fixture {
        Fixture::with_upstream(Upstream::start(), change)
    }

    pub fn with_upstream(upstream: Upstream, change: impl FnOnce(Setup) -> Setup) -> Fixture {
        Fixture::with_providers(upstream, |provider| provider, change)
    }

    /// Fixture with changes to each provider's section.
    pub fn with_providers(
        upstream: Upstream,
        provider: impl Fn(Provider) -> Provider,
        change: impl FnOnce(Setup) -> Setup,
    ) -> Fixture {
        // a debug build takes half a second to scan a WAL segment of the default size
        let setup = Gatekeeper::without_providers()
            .ledger("segment_mb = 1")
            .provider(&provider(Provider::openai("up", &upstream)));
        let setup = setup.provider(&provider(Provider::anthropic("ant", &upstream)));
        let mut gatekeeper = change(setup).start();
        let team = gatekeeper.team(&json!({"name": "eng", "models": ["*"]}));
        let key = gatekeeper.key_of(&team);
        Fixture {
            gatekeeper,
            upstream,
            team,
            key,
            records: Cell::new(0),
            requests: Cell::new(0),
        }
    }

    pub fn user(&self) -> HttpClient {
        self.gatekeeper.user(&self.key)
    }

    /// Sends the dialect's small request, unary or streamed, and reads the response as one body.
    pub fn call(&self, dialect: Dialect, streamed: bool) -> Response {
        self.user()
            .post(dialect.path(), &dialect.body_for(streamed))
    }

    /// Sets the script and calls.
    pub fn call_with(&self, dialect: Dialect, streamed: bool, script: Script) -> Response {
        self.upstream.respond_with(script);
        self.call(dialect, streamed)
    }

    /// Sets the script, requests a stream and reads its events.
    pub fn stream_events(&self, dialect: Dialect, script: Script) -> (Vec<SseEvent>, BodyEnd) {
        self.upstream.respond_with(script);
        let stream = self
            .user()
            .open_stream(dialect.path(), &dialect.stream_body());
        assert_eq!(stream.status(), 200, "the head of a stream");
        stream.read_events()
    }

    /// Asserts that no request went upstream and no record was written since the last assertion.
    #[track_caller]
    pub fn assert_no_call(&self) {
        assert_eq!(
            self.upstream.request_count(),
            self.requests.get(),
            "the upstream received a request"
        );
        assert_eq!(self.gatekeeper.holds_open(), 0);
        assert_eq!(
            self.gatekeeper.requests().len(),
            self.records.get(),
            "a record was written"
        );
    }

    /// Waits until no hold is open and asserts exactly one more record; returns it.
    #[track_caller]
    pub fn assert_recorded(&self) -> CallRecord {
        self.assert_recorded_calls(1)
    }

    /// Waits until no hold is open and asserts exactly `calls` more records; returns the newest.
    #[track_caller]
    pub fn assert_recorded_calls(&self, calls: usize) -> CallRecord {
        let wanted = self.records.get() + calls;
        wait_until("no hold is open", || self.gatekeeper.holds_open() == 0);
        wait_until("the call is recorded", || {
            self.gatekeeper.requests().len() >= wanted
        });
        let rows = self.gatekeeper.requests();
        assert_eq!(rows.len(), wanted, "each call has one record");
        self.records.set(wanted);
        self.requests.set(self.upstream.request_count());
        CallRecord(rows[0].clone())
    }
}

/// Record of a call, at 1 and 5 dollars per million tokens.
pub struct CallRecord(pub Value);

impl CallRecord {
    /// Asserts status and flags.
    #[track_caller]
    pub fn assert_ended(&self, status: &str, flags: &[&str]) -> &CallRecord {
        assert_eq!(
            (&self.0["status"], &self.0["flags"]),
            (&json!(status), &json!(flags)),
            "{}",
            self.0
        );
        self
    }

    /// Asserts exact token counts and their cost.
    #[track_caller]
    pub fn assert_usage(&self, input_tokens: u64, output_tokens: u64) -> &CallRecord {
        assert_eq!(
            (self.input(), self.output()),
            (input_tokens, output_tokens),
            "{}",
            self.0
        );
        let cost = i128::from(input_tokens + 5 * output_tokens) * 1_000_000;
        assert_eq!(text(&self.0, "cost_usd"), usd(cost), "{}", self.0);
        self
    }

    /// Asserts an estimate: at least the billed tokens, and not several times as many.
    #[track_caller]
    pub fn assert_usage_about(&self, input_tokens: u64, output_tokens: u64) -> &CallRecord {
        assert!(
            (input_tokens..=input_tokens * 6 + 60).contains(&self.input()),
            "input in {}",
            self.0
        );
        assert!(
            (output_tokens..=output_tokens * 3 + 3).contains(&self.output()),
            "output in {}",
            self.0
        );
        let cost = i128::from(self.input() + 5 * self.output()) * 1_000_000;
        assert_eq!(self.cost(), cost, "{}", self.0);
        self
    }

    pub fn input(&self) -> u64 {
        self.0["usage"]["input_tokens"].as_u64().expect("a count")
    }

    pub fn output(&self) -> u64 {
        self.0["usage"]["output_tokens"].as_u64().expect("a count")
    }

    pub fn cost(&self) -> i128 {
        pico(&text(&self.0, "cost_usd"))
    }
}
