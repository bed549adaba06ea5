//! One gateway in front of one upstream that speaks both dialects, a team and a key; and the words in which the tests say
//! what a client must see and what the books must hold.

use std::cell::Cell;

use serde_json::{Value, json};

use crate::harness::client::{BodyEnd, HttpClient, Response, SseEvent};
use crate::harness::process::{Gatekeeper, Key, Provider, Setup, Team, text};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{pico, usd, wait_until};

/// The client's dialect.
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

    /// A small good request.
    pub fn body(self) -> Value {
        let mut body =
            json!({"model": self.model(), "messages": [{"role": "user", "content": "say it"}]});
        if self == Messages {
            body["max_tokens"] = json!(500);
        }
        body
    }

    /// The same, as a stream.
    pub fn streamed(self) -> Value {
        let mut body = self.body();
        body["stream"] = json!(true);
        body
    }

    /// The same, whole or as a stream.
    pub fn asking(self, streamed: bool) -> Value {
        if streamed {
            self.streamed()
        } else {
            self.body()
        }
    }

    /// What an upstream of this dialect says when it refuses.
    pub fn refusal(self, kind: &str, message: &str) -> Value {
        match self {
            Chat => {
                json!({"error": {"message": message, "type": kind, "param": null, "code": kind}})
            }
            Messages => {
                json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_up"})
            }
        }
    }

    /// Events of an honest answer, `deltas` texts long, in three parts: before the content, the content, after it. The
    /// usage is 10 in and a token for each delta.
    pub fn events(self, deltas: u64) -> [Vec<String>; 3] {
        match self {
            Chat => chat_events(deltas),
            Messages => messages_events(deltas),
        }
    }

    /// The honest answer as one list.
    pub fn stream(self, deltas: u64) -> Vec<String> {
        self.events(deltas).concat()
    }

    /// An error in the middle of a stream.
    pub fn error_event(self, kind: &str, message: &str) -> String {
        let error = self.refusal(kind, message);
        match self {
            Chat => format!("data: {error}\n\n"),
            Messages => format!("event: error\ndata: {error}\n\n"),
        }
    }

    /// The terminal event.
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

/// The word of PRODUCT.md section 3 as Anthropic's clients know it.
fn anthropic_type(word: &str) -> &'static str {
    match word {
        "invalid_request_error" | "model_ambiguous" | "not_supported" => "invalid_request_error",
        "authentication_error" | "key_expired" => "authentication_error",
        "budget_exceeded" | "price_unknown" | "cost_unbounded" => "billing_error",
        "permission_denied" | "model_not_allowed" => "permission_error",
        "model_not_found" | "not_found" => "not_found_error",
        "request_too_large" => "request_too_large",
        "rate_limit_exceeded" | "budget_held" => "rate_limit_error",
        "upstream_error" | "upstream_timeout" => "api_error",
        "overloaded" | "ledger_unavailable" | "shutting_down" => "overloaded_error",
        other => panic!("`{other}` is not a word of the contract"),
    }
}

/// Whether a JSON body is this error in this dialect.
#[track_caller]
pub fn is_error(dialect: Dialect, body: &Value, word: &str) {
    let message = body["error"]["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty(), "no message in {body}");
    match dialect {
        Chat => {
            assert_eq!(
                (&body["error"]["type"], &body["error"]["code"]),
                (&json!(word), &json!(word)),
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
                (&json!("error"), &json!(anthropic_type(word))),
                "{body}"
            );
            assert!(
                body["request_id"].as_str().is_some_and(|id| !id.is_empty()),
                "{body}"
            );
        }
    }
}

/// A refusal: its status, the word, the shape of the endpoint's dialect, the request's id. Returns the message.
#[track_caller]
pub fn refused(dialect: Dialect, answer: &Response, status: u16, word: &str) -> String {
    answer.assert_status(status);
    assert_eq!(
        answer.header("content-type"),
        Some("application/json"),
        "{}",
        answer.text()
    );
    let id = answer
        .header("x-gatekeeper-request-id")
        .expect("every answer says its request id")
        .to_owned();
    let body = answer.json();
    is_error(dialect, &body, word);
    if dialect == Messages {
        assert_eq!(body["request_id"], json!(id));
    }
    answer.error_message()
}

/// A refusal that names the member at fault, where the dialect can.
#[track_caller]
pub fn refused_at(
    dialect: Dialect,
    answer: &Response,
    status: u16,
    word: &str,
    param: &str,
) -> String {
    let message = refused(dialect, answer, status, word);
    if dialect == Chat {
        assert_eq!(answer.json()["error"]["param"], json!(param), "{message}");
    }
    message
}

/// An upstream, a gateway before it as provider `up` (chat) and `ant` (messages), a team and its key without budgets.
pub struct House {
    pub gatekeeper: Gatekeeper,
    pub upstream: Upstream,
    pub team: Team,
    pub key: Key,
    booked: Cell<usize>,
    served: Cell<usize>,
}

impl House {
    pub fn opens() -> House {
        House::with(|setup| setup)
    }

    /// With lines under `[limits]`.
    pub fn limited(limits: &str) -> House {
        House::with(|setup| setup.setting(&format!("[limits]\n{limits}")))
    }

    pub fn with(change: impl FnOnce(Setup) -> Setup) -> House {
        House::before(Upstream::start(), change)
    }

    pub fn before(upstream: Upstream, change: impl FnOnce(Setup) -> Setup) -> House {
        House::calling(upstream, |provider| provider, change)
    }

    /// With lines of its own in the section of each provider.
    pub fn calling(
        upstream: Upstream,
        provider: impl Fn(Provider) -> Provider,
        change: impl FnOnce(Setup) -> Setup,
    ) -> House {
        // a debug build takes half a second to look through a whole log of the usual size
        let setup = Gatekeeper::without_providers()
            .ledger("segment_mb = 1")
            .provider(&provider(Provider::openai("up", &upstream)));
        let setup = setup.provider(&provider(Provider::anthropic("ant", &upstream)));
        let mut gatekeeper = change(setup).start();
        let team = gatekeeper.team(&json!({"name": "eng", "models": ["*"]}));
        let key = gatekeeper.key_of(&team);
        House {
            gatekeeper,
            upstream,
            team,
            key,
            booked: Cell::new(0),
            served: Cell::new(0),
        }
    }

    pub fn user(&self) -> HttpClient {
        self.gatekeeper.user(&self.key)
    }

    /// Sends the dialect's small request, whole or streamed, and reads the answer as one body.
    pub fn asks(&self, dialect: Dialect, streamed: bool) -> Response {
        self.user().post(dialect.path(), &dialect.asking(streamed))
    }

    /// Sets the script and asks.
    pub fn answered(&self, dialect: Dialect, streamed: bool, script: Script) -> Response {
        self.upstream.respond_with(script);
        self.asks(dialect, streamed)
    }

    /// Sets the script, asks for a stream and reads its events.
    pub fn events(&self, dialect: Dialect, script: Script) -> (Vec<SseEvent>, BodyEnd) {
        self.upstream.respond_with(script);
        let stream = self.user().open_stream(dialect.path(), &dialect.streamed());
        assert_eq!(stream.status(), 200, "the head of a stream");
        stream.read_events()
    }

    /// Nothing went upstream and no record was written since the last look.
    #[track_caller]
    pub fn nothing_happened(&self) {
        assert_eq!(
            self.upstream.request_count(),
            self.served.get(),
            "the upstream saw a request"
        );
        assert_eq!(self.gatekeeper.holds_open(), 0);
        assert_eq!(
            self.gatekeeper.requests().len(),
            self.booked.get(),
            "a record was written"
        );
    }

    /// Exactly one more record, with no hold left: returns it.
    #[track_caller]
    pub fn booked(&self) -> Booked {
        self.booked_all(1)
    }

    /// Exactly so many more records, with no hold left: returns the newest.
    #[track_caller]
    pub fn booked_all(&self, calls: usize) -> Booked {
        let wanted = self.booked.get() + calls;
        wait_until("no hold is open", || self.gatekeeper.holds_open() == 0);
        wait_until("the call is booked", || {
            self.gatekeeper.requests().len() >= wanted
        });
        let rows = self.gatekeeper.requests();
        assert_eq!(rows.len(), wanted, "each call has one record");
        self.booked.set(wanted);
        self.served.set(self.upstream.request_count());
        Booked(rows[0].clone())
    }
}

/// The record of a call, at 1 and 5 dollars per million tokens.
pub struct Booked(pub Value);

impl Booked {
    /// Its status and its flags.
    #[track_caller]
    pub fn ends(&self, status: &str, flags: &[&str]) -> &Booked {
        assert_eq!(
            (&self.0["status"], &self.0["flags"]),
            (&json!(status), &json!(flags)),
            "{}",
            self.0
        );
        self
    }

    /// Exactly these tokens, and what they cost.
    #[track_caller]
    pub fn costs(&self, input_tokens: u64, output_tokens: u64) -> &Booked {
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

    /// An estimate: at least what was billed, and not several times as much.
    #[track_caller]
    pub fn is_about(&self, input_tokens: u64, output_tokens: u64) -> &Booked {
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
