//! Tests of the harness itself: a client calls the scripted upstream directly, so that a fault found through the gateway
//! is a fault of the gateway.

use std::time::Duration;

use serde_json::json;

use super::client::{BodyEnd, Response, anon};
use super::model;
use super::script::Script;
use super::strict::REFUSED;
use super::upstream::Upstream;
use super::workers::run_workers;
use super::{pico, usd};

fn send_chat(upstream: &Upstream, body: &serde_json::Value) -> Response {
    anon(upstream.address()).chat(body)
}

#[test]
fn money_parse_and_format_is_lossless() {
    assert_eq!(pico("1.000000000001"), 1_000_000_000_001);
    assert_eq!(pico("-0.5"), -500_000_000_000);
    assert_eq!(usd(pico("0.00011")), "0.00011");
    assert_eq!(usd(pico("12")), "12");
}

#[test]
fn model_script_both_dialects_keeps_bill() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(7, 30));
    let client = anon(upstream.address());
    let chat = client.chat(&json!({"model": "m", "max_tokens": 5}));
    assert_eq!(
        chat.assert_status(200).json()["usage"]["completion_tokens"],
        5
    );
    let messages = client.messages(&json!({"model": "c", "max_tokens": 100}));
    assert_eq!(
        messages.assert_status(200).json()["usage"],
        json!({"input_tokens": 7, "output_tokens": 30})
    );
    let (events, end) = client
        .open_stream(
            "/v1/chat/completions",
            &json!({"model": "m", "stream": true}),
        )
        .read_events();
    assert_eq!(
        (
            events
                .iter()
                .filter_map(super::client::SseEvent::delta)
                .count(),
            end
        ),
        (30, BodyEnd::Clean)
    );
    assert_eq!(events.last().expect("a stream has events").data, "[DONE]");
    upstream.wait_until_idle();
    let bill: Vec<_> = upstream
        .bill()
        .iter()
        .map(|line| (line.input_tokens, line.output_tokens, line.complete))
        .collect();
    assert_eq!(bill, [(7, 5, true), (7, 30, true), (7, 30, true)]);
    assert_eq!(upstream.bill_total(2, 10), 3 * 14 + 650);
    assert_eq!(upstream.disconnects().len(), 0);
}

#[test]
fn upstream_one_byte_per_write_replays_exact_bytes() {
    let upstream = Upstream::start();
    let wire = "HTTP/1.1 203 Odd\r\nX-Odd:  yes\r\nContent-Length: 4\r\n\r\n\u{e9}\r\n";
    upstream.respond_with(Script::raw(wire).one_byte_per_write());
    let mut connection = anon(upstream.address()).connect();
    connection.send("GET /odd?a=1 HTTP/1.1\r\nHost: x\r\nX-Mixed: Case\r\n\r\n");
    let stream = connection.open_response();
    assert_eq!(stream.head.raw, &wire.as_bytes()[..wire.len() - 4]);
    assert_eq!(
        stream.read_bytes(),
        ("\u{e9}\r\n".as_bytes().to_vec(), BodyEnd::Clean)
    );
    let request = upstream.last_request();
    assert_eq!(
        (request.method(), request.target(), request.path()),
        ("GET", "/odd?a=1", "/odd")
    );
    assert_eq!(
        request.head.raw,
        b"GET /odd?a=1 HTTP/1.1\r\nHost: x\r\nX-Mixed: Case\r\n\r\n"
    );
}

#[test]
fn upstream_client_disconnect_while_silent_is_recorded() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 100).only(6).then_hangs());
    let mut stream = anon(upstream.address()).open_stream(
        "/v1/chat/completions",
        &json!({"model": "m", "stream": true}),
    );
    assert_eq!(stream.read_deltas(5).len(), 5);
    assert_eq!(upstream.disconnects().len(), 0);
    let left = stream.disconnect();
    upstream.wait_for_disconnects(1).wait_until_idle();
    let disconnect = upstream.disconnects()[0];
    assert_eq!((disconnect.request, disconnect.pieces_sent), (Some(0), 6));
    assert!(disconnect.at.saturating_duration_since(left) < Duration::from_secs(10));
    let line = upstream.bill()[0].clone();
    assert_eq!(
        (line.input_tokens, line.output_tokens, line.complete),
        (10, 5, false)
    );
}

#[test]
fn upstream_client_disconnect_while_sending_is_recorded() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 10_000).pause_ms_between(1));
    let mut stream = anon(upstream.address())
        .open_stream("/v1/messages", &json!({"model": "m", "stream": true}));
    stream.read_deltas(5);
    stream.disconnect();
    upstream.wait_for_disconnects(1).wait_until_idle();
    let line = upstream.bill()[0].clone();
    assert!(
        line.output_tokens >= 5 && line.output_tokens < 10_000 && !line.complete,
        "{line:?}"
    );
}

#[test]
fn client_body_ends_are_distinguished() {
    let upstream = Upstream::start();
    let events = ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"];
    let end_of = |script: Script| {
        upstream.respond_with(script);
        let stream = anon(upstream.address()).open_stream("/v1/chat/completions", &json!({}));
        stream.set_read_timeout(Duration::from_millis(200));
        let (events, end) = stream.read_events();
        (events.len(), end)
    };
    assert_eq!(end_of(Script::stream(events)), (3, BodyEnd::Clean));
    assert_eq!(
        end_of(Script::stream(events).then_closes()),
        (3, BodyEnd::Truncated)
    );
    assert_eq!(
        end_of(Script::stream(events).truncated_after(12)),
        (1, BodyEnd::Truncated)
    );
    assert_eq!(
        end_of(Script::stream(events).pause_ms_between(5).then_resets()),
        (3, BodyEnd::Reset)
    );
    assert_eq!(
        end_of(Script::stream(events).only(2).then_hangs()),
        (2, BodyEnd::Silence)
    );
    assert_eq!(
        end_of(Script::stream(events).close_delimited()),
        (3, BodyEnd::Clean)
    );
    assert_eq!(
        end_of(Script::stream(events).content_length().truncated_after(9)),
        (1, BodyEnd::Truncated)
    );
    upstream.respond_with(Script::closes());
    let mut connection = anon(upstream.address()).connect();
    connection.send_request("GET", "/", None);
    assert!(connection.try_read_response("GET").is_err());
}

#[test]
fn scripts_in_turn_receive_request() {
    let upstream = Upstream::start();
    upstream.respond_with(Script::in_turn([
        Script::unary(500, "{}"),
        Script::from_request(|request| Script::json(200, &json!({"path": request.path()})))
            .delay_ms(1)
            .header("x-turn", "2"),
    ]));
    send_chat(&upstream, &json!({})).assert_status(500);
    let second = send_chat(&upstream, &json!({}));
    assert_eq!(
        second.assert_status(200).json(),
        json!({"path": "/v1/chat/completions"})
    );
    assert_eq!(second.header("X-Turn"), Some("2"));
}

#[test]
fn upstream_refusing_rejects_connections() {
    let upstream = Upstream::refusing();
    assert!(std::net::TcpStream::connect(upstream.address()).is_err());
}

#[test]
fn workers_keep_connections_and_order() {
    let upstream = Upstream::start();
    let client = anon(upstream.address());
    let numbers = run_workers(
        8,
        400,
        |_| client.connect(),
        |connection, number| {
            connection.chat(&json!({"model": "m"})).assert_status(200);
            number
        },
    );
    assert_eq!(numbers, (0..400).collect::<Vec<_>>());
    assert_eq!(
        (upstream.request_count(), upstream.connection_count()),
        (400, 8)
    );
    assert!(upstream.in_flight_max() <= 8);
    upstream.wait_until_idle();
    assert_eq!(upstream.bill_total(1, 1), 400 * 30);
}

/// Path of an endpoint in the table of limits.
fn path_of(vendor: &str, endpoint: &str, model: &str) -> String {
    match endpoint {
        "embeddings" if vendor == "bedrock" => format!("/v1/model/{model}/invoke"),
        "embeddings" if vendor == "gemini" => format!("/v1/models/{model}:batchEmbedContents"),
        "chat" => "/v1/chat/completions".to_owned(),
        "cohere_chat" => "/v1/v2/chat".to_owned(),
        "generate_content" => format!("/v1/models/{model}:generateContent"),
        "converse" | "invoke" => format!("/v1/model/{}/{endpoint}", model.replace(':', "%3A")),
        other => format!("/v1/{other}"),
    }
}

#[test]
fn strict_fake_refuses_every_public_refusal_and_takes_usual_requests() {
    let examples: serde_json::Value =
        serde_json::from_str(&super::golden("refusals.json")).expect("JSON");
    let list = |name: &str| examples[name].as_array().expect("a list").clone();
    let (refusals, accepted) = (list("refusals"), list("accepted"));
    assert!(refusals.len() >= 60 && accepted.len() >= 15);
    for example in refusals.iter().chain(&accepted) {
        let text = |name: &str| example[name].as_str().unwrap_or_default();
        let upstream = Upstream::start();
        let base = format!("{}/v1", upstream.url());
        let models = [text("model").to_owned()];
        upstream.places().add(text("vendor"), &base, &models);
        let path = path_of(text("vendor"), text("endpoint"), text("model"));
        let response = anon(upstream.address()).post(&path, &example["request"]);
        let is_refused = response.text().contains(REFUSED);
        let expected = example["status"].as_u64().unwrap_or(200);
        assert_eq!(u64::from(response.status), expected, "{example}");
        assert_eq!(is_refused, expected != 200, "{example}");
    }
}
