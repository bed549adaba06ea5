//! Traces over OTLP: a span per request and per attempt with the names of the GenAI conventions and without content; a collector that is
//! away costs spans and never a request. The bodies are decoded here by the field numbers of the format.

use std::collections::BTreeMap;

use serde_json::json;

use crate::harness::client::BodyEnd;
use crate::harness::process::{Gatekeeper, Key, Provider};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{hello, hello_streamed, model, wait_until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const PROMPT: &str = "prompt-canary-of-the-traces";

/// One field of a protobuf message.
#[derive(Clone, Debug)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

/// Fields of a message by number, in their order.
struct Message(Vec<(u64, Field)>);

impl Message {
    fn decode(mut bytes: &[u8]) -> Message {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let value = match tag & 7 {
                0 => Field::Number(varint(&mut bytes)),
                1 => {
                    let (value, rest) = bytes.split_first_chunk().expect("eight bytes");
                    bytes = rest;
                    Field::Number(u64::from_le_bytes(*value))
                }
                2 => {
                    let length = varint(&mut bytes) as usize;
                    let (value, rest) = bytes.split_at(length);
                    bytes = rest;
                    Field::Bytes(value.to_vec())
                }
                wire_type => panic!("wire type {wire_type}"),
            };
            fields.push((tag >> 3, value));
        }
        Message(fields)
    }

    fn all(&self, number: u64) -> impl Iterator<Item = &Field> {
        let of_number = move |field: &&(u64, Field)| field.0 == number;
        self.0.iter().filter(of_number).map(|(_, value)| value)
    }

    fn messages(&self, number: u64) -> Vec<Message> {
        let decode = |field: &Field| match field {
            Field::Bytes(bytes) => Message::decode(bytes),
            Field::Number(_) => panic!("field {number} is a number"),
        };
        self.all(number).map(decode).collect()
    }

    fn bytes(&self, number: u64) -> Option<Vec<u8>> {
        match self.all(number).next()? {
            Field::Bytes(bytes) => Some(bytes.clone()),
            Field::Number(_) => panic!("field {number} is a number"),
        }
    }

    fn text(&self, number: u64) -> String {
        String::from_utf8(self.bytes(number).unwrap_or_default()).expect("UTF-8")
    }

    fn number(&self, number: u64) -> Option<u64> {
        match self.all(number).next()? {
            Field::Number(value) => Some(*value),
            Field::Bytes(_) => panic!("field {number} is no number"),
        }
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a byte");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Clone, Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: u64,
    start_ns: u64,
    end_ns: u64,
    is_error: bool,
    attributes: BTreeMap<String, String>,
}

impl Span {
    fn of(message: &Message) -> Span {
        Span {
            trace: hex(&message.bytes(1).expect("a trace id")),
            id: hex(&message.bytes(2).expect("a span id")),
            parent: hex(&message.bytes(4).unwrap_or_default()),
            name: message.text(5),
            kind: message.number(6).expect("a kind"),
            start_ns: message.number(7).expect("a start"),
            end_ns: message.number(8).expect("an end"),
            is_error: message
                .messages(15)
                .iter()
                .any(|status| status.number(3) == Some(2)),
            attributes: attributes(&message.messages(9)),
        }
    }

    #[track_caller]
    fn assert_attributes(&self, expected: &[(&str, &str)]) -> &Span {
        for (name, value) in expected {
            let found = self.attributes.get(*name).map(String::as_str);
            assert_eq!(found, Some(*value), "{name} of {self:?}");
        }
        self
    }
}

fn attributes(pairs: &[Message]) -> BTreeMap<String, String> {
    let pair = |pair: &Message| {
        let any = &pair.messages(2)[0];
        let value = any
            .number(3)
            .map_or_else(|| any.text(1), |number| number.to_string());
        (pair.text(1), value)
    };
    pairs.iter().map(pair).collect()
}

struct Fixture {
    collector: Upstream,
    upstream: Upstream,
    gatekeeper: Gatekeeper,
    key: Key,
}

impl Fixture {
    fn new(settings: &str) -> Fixture {
        let (collector, upstream) = (Upstream::start(), Upstream::start());
        collector.respond_with(Script::json(200, &json!({})));
        upstream.respond_with(model::with_usage(10, 3));
        let otlp = format!(
            "[routes.smart]\ntargets = [\"up/m-small\"]\nmax_retries = 1\n[otlp]\nendpoint = \"{}\"\nheaders = {{ x-tenant = \"a\" }}\n{settings}",
            collector.url()
        );
        let mut gatekeeper = Gatekeeper::without_providers()
            .provider(&Provider::openai("up", &upstream))
            .setting(&otlp)
            .start();
        let team = gatekeeper.team_with_budget("eng", "10");
        let key = gatekeeper.key_of(&team);
        Fixture {
            collector,
            upstream,
            gatekeeper,
            key,
        }
    }

    /// Spans that the collector has, in the order of their arrival.
    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for request in self.collector.requests() {
            for of_resource in Message::decode(&request.body).messages(1) {
                for of_scope in of_resource.messages(2) {
                    spans.extend(of_scope.messages(2).iter().map(Span::of));
                }
            }
        }
        spans
    }

    fn wait_for_spans(&self, count: usize) -> Vec<Span> {
        wait_until("the spans arrive", || self.spans().len() >= count);
        let spans = self.spans();
        assert_eq!(spans.len(), count, "{spans:?}");
        spans
    }
}

#[test]
fn request_with_a_retry_is_a_trace_of_three_spans() {
    let mut fixture = Fixture::new("");
    let failed =
        json!({"error": {"message": "m", "type": "server_error", "param": null, "code": "x"}});
    let failed = Script::json(500, &failed);
    let answered = model::with_usage(10, 3);
    fixture
        .upstream
        .respond_with(Script::in_turn([failed, answered]));
    let mut body = hello("smart");
    body["messages"][0]["content"] = json!(PROMPT);
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let user = fixture
        .gatekeeper
        .user(&fixture.key)
        .with("traceparent", &traceparent);
    let response = user.post("/v1/chat/completions", &body);
    let id = response
        .assert_status(200)
        .header("x-gatekeeper-request-id")
        .expect("an id")
        .to_owned();
    let spans = fixture.wait_for_spans(3);
    let [failed, answered, request] = [0, 1, 2].map(|index| &spans[index]);
    assert!(
        spans
            .iter()
            .all(|span| span.trace == TRACE && span.start_ns <= span.end_ns)
    );
    assert_eq!((request.parent.as_str(), request.kind), (PARENT, 2));
    assert!(
        [failed, answered]
            .iter()
            .all(|span| span.parent == request.id && span.kind == 3)
    );
    assert_eq!(
        (failed.is_error, answered.is_error, request.is_error),
        (true, false, false)
    );
    let port = fixture.upstream.address().port().to_string();
    assert_names_and_counts([failed, answered, request], &id, &port);
    assert_export(&fixture);
    fixture.gatekeeper.stop();
    assert_no_content(&fixture);
    fixture.gatekeeper.start();
}

/// Attributes of a failed attempt, of the one that answered, and of their request.
fn assert_names_and_counts([failed, answered, request]: [&Span; 3], id: &str, port: &str) {
    failed.assert_attributes(&[
        ("error.type", "broken"),
        ("http.response.status_code", "500"),
        ("gatekeeper.attempt", "1"),
        ("gatekeeper.cost_usd", "0"),
    ]);
    assert_eq!(answered.name, "chat m-small");
    answered.assert_attributes(&[
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai_compatible"),
        ("gen_ai.request.model", "m-small"),
        ("gen_ai.usage.input_tokens", "10"),
        ("gen_ai.usage.output_tokens", "3"),
        ("gen_ai.request.max_tokens", "50"),
        ("server.address", "127.0.0.1"),
        ("server.port", port),
        ("gatekeeper.provider", "up"),
        ("gatekeeper.attempt", "2"),
        ("gatekeeper.cost_usd", "0.000025"),
        ("gatekeeper.request_id", id),
    ]);
    assert_eq!(request.name, "chat smart");
    request.assert_attributes(&[
        ("gen_ai.request.model", "smart"),
        ("gatekeeper.attempts", "2"),
        ("http.response.status_code", "200"),
        ("gatekeeper.request_id", id),
    ]);
}

/// Address, headers and resource of the newest export.
fn assert_export(fixture: &Fixture) {
    let export = fixture.collector.last_request();
    assert_eq!(export.target(), "/v1/traces");
    assert_eq!(
        export.header("content-type"),
        Some("application/x-protobuf")
    );
    assert_eq!(export.header("x-tenant"), Some("a"));
    let resource = &Message::decode(&export.body).messages(1)[0].messages(1)[0];
    assert_eq!(
        attributes(&resource.messages(1))["service.name"],
        "gatekeeper"
    );
}

fn assert_no_content(fixture: &Fixture) {
    for request in fixture.collector.requests() {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        for secret in [PROMPT, "sk-gk-", "upstream-key", "127.0.0.1:"] {
            assert!(!text.contains(secret), "{secret} in a span");
        }
    }
}

#[test]
fn stream_ends_its_span_with_the_last_byte_and_a_refusal_has_one_span() {
    let mut fixture = Fixture::new("");
    let user = fixture.gatekeeper.user(&fixture.key);
    let stream = user.open_stream("/v1/chat/completions", &hello_streamed("m-small"));
    assert_eq!(stream.read_events().1, BodyEnd::Clean);
    let spans = fixture.wait_for_spans(2);
    spans[0].assert_attributes(&[
        ("gen_ai.usage.output_tokens", "3"),
        ("gatekeeper.status", "ok"),
    ]);
    assert!(spans[1].end_ns >= spans[0].end_ns && spans[1].parent.is_empty());
    assert_ne!(spans[1].trace, TRACE);
    user.post("/v1/chat/completions", &hello("no-such-model"))
        .assert_status(404);
    let refused = &fixture.wait_for_spans(3)[2];
    assert!(refused.is_error);
    refused.assert_attributes(&[
        ("error.type", "model_not_found"),
        ("gatekeeper.attempts", "0"),
        ("http.response.status_code", "404"),
    ]);
    // the last span leaves with the process
    fixture
        .gatekeeper
        .user(&fixture.key)
        .chat(&hello("m-small"))
        .assert_status(200);
    fixture.gatekeeper.stop();
    fixture.wait_for_spans(5);
    fixture.gatekeeper.start();
}

#[test]
fn client_that_does_not_record_and_a_ratio_of_zero_export_nothing() {
    let mut fixture = Fixture::new("sample_ratio = \"0\"\n");
    let user = fixture.gatekeeper.user(&fixture.key);
    user.chat(&hello("m-small")).assert_status(200);
    let unrecorded = format!("00-{TRACE}-{PARENT}-00");
    let user = user.with("traceparent", &unrecorded);
    user.chat(&hello("m-small")).assert_status(200);
    let recorded = format!("00-{TRACE}-{PARENT}-01");
    let user = fixture
        .gatekeeper
        .user(&fixture.key)
        .with("traceparent", &recorded);
    user.chat(&hello("m-small")).assert_status(200);
    fixture.gatekeeper.stop();
    let spans = fixture.wait_for_spans(2);
    assert!(spans.iter().all(|span| span.trace == TRACE));
    fixture.gatekeeper.start();
}

#[test]
fn collector_that_refuses_costs_spans_and_no_request() {
    let fixture = Fixture::new("");
    fixture
        .collector
        .respond_with(Script::json(400, &json!({})));
    fixture
        .gatekeeper
        .user(&fixture.key)
        .chat(&hello("m-small"))
        .assert_status(200);
    wait_until("the spans are counted", || {
        fixture.gatekeeper.metric("gatekeeper_spans_failed_total") == 2.0
    });
    assert_eq!(
        fixture.gatekeeper.metric("gatekeeper_spans_exported_total"),
        0.0
    );
    assert!(fixture.gatekeeper.output().contains("traces not exported"));
    assert!(
        !fixture
            .gatekeeper
            .output()
            .contains(&fixture.collector.url())
    );
    fixture
        .collector
        .respond_with(Script::json(200, &json!({})));
    fixture
        .gatekeeper
        .user(&fixture.key)
        .chat(&hello("m-small"))
        .assert_status(200);
    wait_until("the spans are exported again", || {
        fixture.gatekeeper.metric("gatekeeper_spans_exported_total") == 2.0
    });
}

#[test]
fn check_lists_the_collector_among_the_destinations() {
    let fixture = Fixture::new("private_hosts = [\"10.0.0.0/8\"]\n");
    let config = fixture.gatekeeper.config.display().to_string();
    let output = fixture
        .gatekeeper
        .run(&["check", "--egress", "--config", &config]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text
        .lines()
        .find(|line| line.contains("traces"))
        .expect("a line of the collector");
    let address = fixture.collector.address().to_string();
    assert!(
        line.contains(&address) && line.contains("10.0.0.0/8"),
        "{line}"
    );
}
