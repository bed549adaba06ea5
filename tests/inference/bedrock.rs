//! Bedrock through the door: Converse for clients of every dialect, Claude's own bodies for its own clients, AWS's frames however
//! the network cuts them, and what AWS says when it refuses.

use serde_json::{Value, json};

use super::fixture::{Chat, Dialect, Fixture, Messages, assert_error, assert_refusal};
use crate::harness::client::{Response, SseEvent};
use crate::harness::process::{Provider, UPSTREAM_KEY};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{golden, golden_bytes};

const NOVA: &str = "eu.amazon.nova-2-lite-v1:0";
const CLAUDE: &str = "eu.anthropic.claude-opus-4-5-20251101-v1:0";
/// As one segment of a path.
const CLAUDE_PATH: &str = "eu.anthropic.claude-opus-4-5-20251101-v1%3A0";
const FRAMES: &str = "application/vnd.amazon.eventstream";

fn house_with(change: impl FnOnce(Provider) -> Provider) -> Fixture {
    let upstream = Upstream::start();
    let provider = Provider::openai("v", &upstream)
        .preset("bedrock")
        .base_url(&upstream.url())
        .models(&[NOVA, CLAUDE]);
    let provider = change(provider);
    Fixture::with_upstream(upstream, |setup| setup.provider(&provider))
}

fn fixture() -> Fixture {
    house_with(|provider| provider.line("region = \"eu-west-1\""))
}

fn body(client: Dialect, model: &str, streamed: bool) -> Value {
    let mut body = client.body_for(streamed);
    body["model"] = json!(model);
    body
}

fn asks(fixture: &Fixture, client: Dialect, model: &str, streamed: bool) -> Response {
    fixture
        .user()
        .post(client.path(), &body(client, model, streamed))
}

fn frames(recording: &[u8]) -> Script {
    Script::stream([recording]).header("content-type", FRAMES)
}

/// Every way to deliver a recording: whole, each byte in a write or a chunk of its own, cut inside a letter.
fn deliveries(recording: &[u8]) -> Vec<Script> {
    let crab = recording
        .windows(4)
        .position(|bytes| bytes == "🦀".as_bytes())
        .map_or(recording.len() / 2, |at| at + 2);
    let (head, tail) = recording.split_at(crab);
    let pieces = [
        Script::stream(recording.iter().map(|byte| [*byte])),
        Script::stream([head, tail]).pause_ms_between(20),
    ];
    let framed = pieces.map(|script| script.header("content-type", FRAMES));
    [frames(recording), frames(recording).one_byte_per_write()]
        .into_iter()
        .chain(framed)
        .collect()
}

/// The frames of a recording, cut by their lengths.
fn cut(recording: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut frames) = (recording, Vec::new());
    while let Some(length) = rest.first_chunk::<4>() {
        let (frame, after) = rest.split_at(u32::from_be_bytes(*length) as usize);
        frames.push(frame);
        rest = after;
    }
    frames
}

/// The events of a stream that was read as one body.
fn events(response: &Response) -> Vec<SseEvent> {
    response.assert_status(200);
    assert!(
        response
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"))
    );
    SseEvent::all(&response.body)
}

fn text(events: &[SseEvent]) -> String {
    events.iter().filter_map(SseEvent::delta).collect()
}

#[test]
fn t01_chat_client_on_converse_gets_response() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    let response = asks(&fixture, Chat, NOVA, false).assert_status(200).json();
    assert_eq!(
        response["choices"][0]["message"]["content"],
        "Say it: 🦀 now."
    );
    assert_eq!(
        (
            &response["choices"][0]["finish_reason"],
            &response["usage"]["prompt_tokens"]
        ),
        (&json!("stop"), &json!(10))
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 5);
    let request = fixture.upstream.last_request();
    assert_eq!(
        request.target(),
        "/model/eu.amazon.nova-2-lite-v1%3A0/converse"
    );
    assert_eq!(
        request.header("authorization"),
        Some(format!("Bearer {UPSTREAM_KEY}").as_str())
    );
    assert_eq!(
        request.json(),
        json!({"messages": [{"role": "user", "content": [{"text": "say it"}]}]})
    );

    for script in deliveries(&golden_bytes("bedrock/stream.bin")) {
        fixture.upstream.respond_with(script);
        let events = events(&asks(&fixture, Chat, NOVA, true));
        assert_eq!(text(&events), "Say it: 🦀 now.");
        assert!(
            events
                .iter()
                .any(|event| event.json()["choices"][0]["finish_reason"] == "stop")
        );
        assert_eq!(
            events.last().map(|event| event.data.as_str()),
            Some("[DONE]")
        );
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 5);
        assert_eq!(
            fixture.upstream.last_request().target(),
            "/model/eu.amazon.nova-2-lite-v1%3A0/converse-stream"
        );
    }
}

#[test]
fn t02_c03_messages_client_on_converse_gets_usage_in_last_delta() {
    let fixture = fixture();
    for script in deliveries(&golden_bytes("bedrock/stream.bin")) {
        fixture.upstream.respond_with(script);
        let events = events(&asks(&fixture, Messages, NOVA, true));
        let names: Vec<&str> = events
            .iter()
            .map(|event| event.name.as_str())
            .filter(|name| !name.is_empty())
            .collect();
        let deltas = vec!["content_block_delta"; 3];
        let expected = [
            vec!["message_start", "content_block_start"],
            deltas,
            vec!["content_block_stop", "message_delta", "message_stop"],
        ];
        assert_eq!(names, expected.concat());
        assert_eq!(text(&events), "Say it: 🦀 now.");
        let last = events
            .iter()
            .find(|event| event.name == "message_delta")
            .expect("a delta")
            .json();
        assert_eq!(
            (
                &last["delta"]["stop_reason"],
                &last["usage"]["output_tokens"]
            ),
            (&json!("end_turn"), &json!(5))
        );
        assert_eq!(last["usage"]["input_tokens"], 10);
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 5);
    }
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    let response = asks(&fixture, Messages, NOVA, false)
        .assert_status(200)
        .json();
    assert_eq!(
        (&response["content"][0]["text"], &response["stop_reason"]),
        (&json!("Say it: 🦀 now."), &json!("end_turn"))
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 5);
}

#[test]
fn t03_responses_client_on_converse_gets_full_event_sequence() {
    let fixture = fixture();
    for script in deliveries(&golden_bytes("bedrock/stream.bin")) {
        fixture.upstream.respond_with(script);
        let response = fixture.user().post(
            "/v1/responses",
            &json!({"model": NOVA, "input": "say it", "stream": true}),
        );
        let parsed: Vec<Value> = events(&response)
            .iter()
            .filter(|event| !event.name.is_empty())
            .map(SseEvent::json)
            .collect();
        let kinds: Vec<&str> = parsed
            .iter()
            .filter_map(|event| event["type"].as_str()?.strip_prefix("response."))
            .collect();
        let begun = vec![
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
        ];
        let ended = vec![
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ];
        assert_eq!(kinds, [begun, vec!["output_text.delta"; 3], ended].concat());
        assert!(
            parsed
                .iter()
                .enumerate()
                .all(|(number, event)| event["sequence_number"] == json!(number))
        );
        let last = &parsed.last().expect("an event")["response"];
        assert_eq!(last["output"][0]["content"][0]["text"], "Say it: 🦀 now.");
        assert_eq!(
            (
                &last["usage"]["input_tokens"],
                &last["usage"]["output_tokens"]
            ),
            (&json!(10), &json!(5))
        );
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 5);
        let expected = json!({"messages": [{"role": "user", "content": [{"text": "say it"}]}]});
        assert_eq!(fixture.upstream.last_request().json(), expected);
    }
}

#[test]
fn c03_converse_cache_writes_are_recorded_by_lifetime() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/cached.bin")));
    let events = events(&asks(&fixture, Messages, NOVA, true));
    let usage = events
        .iter()
        .find(|event| event.name == "message_delta")
        .expect("a delta")
        .json()["usage"]
        .clone();
    assert_eq!(
        (
            &usage["input_tokens"],
            &usage["cache_read_input_tokens"],
            &usage["cache_creation_input_tokens"]
        ),
        (&json!(10), &json!(6), &json!(8))
    );
    let row = fixture.assert_recorded();
    row.assert_ended("ok", &[]);
    assert_eq!((row.input(), row.output()), (24, 5), "{}", row.0);
}

#[test]
fn u03_converse_parallel_tool_results_go_in_one_turn() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/tools.bin")));
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    let mut request_body = body(Chat, CLAUDE, true);
    request_body["tools"] = json!([tool("get_weather"), tool("get_time")]);
    let events = events(&fixture.user().post(Chat.path(), &request_body));
    let mut calls: Vec<(String, String, String)> = Vec::new();
    for call in events.iter().flat_map(|event| {
        event.json()["choices"][0]["delta"]["tool_calls"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let at = call["index"].as_u64().expect("an index") as usize;
        if at == calls.len() {
            calls.push((
                text(&call["id"]),
                text(&call["function"]["name"]),
                String::new(),
            ));
        }
        calls[at].2.push_str(&text(&call["function"]["arguments"]));
    }
    let call = |id: &str, name: &str, arguments: &str| {
        (id.to_owned(), name.to_owned(), arguments.to_owned())
    };
    assert_eq!(
        calls[..2],
        [
            call("tooluse_a", "get_weather", r#"{"city":"Köln","days":3}"#),
            call("tooluse_b", "get_weather", r#"{"city":"Rom"}"#),
        ]
    );
    assert_eq!(
        (calls.len(), &*calls[2].0, &*calls[2].1),
        (3, "tooluse_c", "get_time")
    );
    assert!(
        events
            .iter()
            .any(|event| event.json()["choices"][0]["finish_reason"] == "tool_calls")
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(30, 40);

    let called = calls
        .iter()
        .map(|(id, name, arguments)| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}));
    let messages = request_body["messages"].as_array_mut().expect("an array");
    messages.push(json!({"role": "assistant", "content": "Looking.", "tool_calls": called.collect::<Vec<_>>()}));
    for id in ["tooluse_c", "tooluse_a", "tooluse_b"] {
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": format!("of {id}")}));
    }
    fixture
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/stream.bin")));
    fixture
        .user()
        .post(Chat.path(), &request_body)
        .assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    let sent = fixture.upstream.last_request().json();
    let result = |id: &str| json!({"toolResult": {"toolUseId": id, "content": [{"text": format!("of {id}")}]}});
    let results = json!({"role": "user", "content": [result("tooluse_a"), result("tooluse_b"), result("tooluse_c")]});
    assert_eq!(
        (
            sent["messages"].as_array().map(Vec::len),
            &sent["messages"][2]
        ),
        (Some(3), &results)
    );
    assert_eq!(
        sent["messages"][1]["content"][3]["toolUse"]["input"],
        json!({})
    );
}

#[test]
fn u06_tool_choice_none_on_converse_sends_no_tools() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    let mut request_body = body(Chat, CLAUDE, false);
    request_body["tools"] =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    request_body["tool_choice"] = json!("none");
    fixture
        .user()
        .post(Chat.path(), &request_body)
        .assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    assert_eq!(
        fixture.upstream.last_request().json().get("toolConfig"),
        None
    );
}

#[test]
fn m02_m05_converse_image_is_bytes_and_schema_has_own_field() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    let webp = "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA";
    let mut request_body = body(Chat, CLAUDE, false);
    request_body["messages"][0]["content"] = json!([{"type": "image_url", "image_url": {"url": format!("data:image/webp;base64,{webp}")}}, {"type": "text", "text": "what?"}]);
    request_body["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    fixture
        .user()
        .post(Chat.path(), &request_body)
        .assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    let sent = fixture.upstream.last_request().json();
    assert_eq!(
        sent["messages"][0]["content"][0],
        json!({"image": {"format": "webp", "source": {"bytes": webp}}})
    );
    let schema =
        json!({"schema": "{\"additionalProperties\":false,\"type\":\"object\"}", "name": "n"});
    assert_eq!(
        sent["outputConfig"],
        json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}})
    );
    request_body["messages"][0]["content"][0]["image_url"]["url"] =
        json!("https://example.com/cat.png");
    let response = fixture.user().post(Chat.path(), &request_body);
    assert!(assert_refusal(Chat, &response, 400, "invalid_request_error").contains("base64"));
    fixture.assert_no_call();
}

#[test]
fn p09_claude_on_bedrock_passes_body_and_events_through() {
    let fixture = fixture();
    let recording = golden_bytes("bedrock/invoke.bin");
    let request_body = format!(
        r#"{{"model":"{CLAUDE}","max_tokens":2000,"stream":true,"thinking":{{"type":"enabled","budget_tokens":1024}},"temperature":1.0,
        "system":[{{"type":"text","text":"s","cache_control":{{"type":"ephemeral","ttl":"1h"}}}}],"messages":[{{"role":"user","content":"go"}}]}}"#
    );
    let sent = request_body
        .replace(&format!(r#""model":"{CLAUDE}","#), "")
        .replace(r#""stream":true,"#, "");
    let added = r#","anthropic_version":"bedrock-2023-05-31","anthropic_beta":["a-2025-01-01","b-2026-02-02"]}"#;
    let sent = sent.strip_suffix('}').expect("an object").to_owned() + added;
    let mut shown: Vec<String> = golden("bedrock/invoke.sse")
        .split_inclusive("\n\n")
        .map(str::to_owned)
        .collect();
    shown.insert(
        shown.len() - 1,
        ": x-gatekeeper-cost-usd 0.000149\n\n".to_owned(),
    );
    for script in deliveries(&recording) {
        fixture.upstream.respond_with(script);
        let user = fixture
            .user()
            .with("anthropic-beta", "a-2025-01-01, b-2026-02-02")
            .with("anthropic-version", "2023-06-01");
        let response = user.post_bytes(Messages.path(), request_body.as_bytes());
        assert_eq!(text(&events(&response)), "Say it: 🦀 now.");
        assert_eq!(response.text(), shown.concat());
        let row = fixture.assert_recorded();
        row.assert_ended("ok", &[]);
        assert_eq!((row.input(), row.output()), (24, 25), "{}", row.0);
        let request = fixture.upstream.last_request();
        assert_eq!(
            request.target(),
            format!("/model/{CLAUDE_PATH}/invoke-with-response-stream")
        );
        assert_eq!(String::from_utf8_lossy(&request.body), sent);
        assert_eq!(
            (
                request.header("anthropic-beta"),
                request.header("anthropic-version"),
                request.header("x-api-key")
            ),
            (None, None, None)
        );
    }
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/invoke.json")));
    let response = asks(&fixture, Messages, CLAUDE, false);
    assert_eq!(
        response.assert_status(200).text(),
        golden("bedrock/invoke.json")
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 5);
    let request = fixture.upstream.last_request();
    assert_eq!(request.target(), format!("/model/{CLAUDE_PATH}/invoke"));
    let expected = json!({"messages": [{"role": "user", "content": "say it"}], "max_tokens": 500, "anthropic_version": "bedrock-2023-05-31"});
    assert_eq!(request.json(), expected);
}

#[test]
fn r05_converse_reasoning_returns_to_its_model() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/thinking.bin")));
    let events = events(&asks(&fixture, Messages, NOVA, true));
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(12, 9);
    let of = |kind: &str, member: &str| -> String {
        let deltas = events
            .iter()
            .map(SseEvent::json)
            .filter(|json| json["delta"]["type"] == kind);
        deltas
            .filter_map(|json| json["delta"][member].as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(
        (of("thinking_delta", "thinking"), text(&events)),
        ("First think.".to_owned(), "Then speak.".to_owned())
    );
    let signature = of("signature_delta", "signature");
    assert!(
        !signature.is_empty() && !signature.contains("SIGNATURE"),
        "{signature}"
    );

    let mut request_body = body(Messages, NOVA, true);
    let thought = json!({"type": "thinking", "thinking": "First think.", "signature": signature});
    let turns = json!([{"role": "assistant", "content": [thought, {"type": "text", "text": "Then speak."}]}, {"role": "user", "content": "more"}]);
    request_body["messages"]
        .as_array_mut()
        .expect("an array")
        .extend(turns.as_array().expect("an array").clone());
    fixture
        .user()
        .post(Messages.path(), &request_body)
        .assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    let said = json!({"reasoningContent": {"reasoningText": {"text": "First think.", "signature": "EqQBCgIYAhIkSIGNATURE=="}}});
    assert_eq!(
        fixture.upstream.last_request().json()["messages"][1]["content"],
        json!([said, {"text": "Then speak."}])
    );
}

#[test]
fn m06_converse_stop_sequence_is_reported() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/stopped.bin")));
    let mut request_body = body(Chat, CLAUDE, true);
    request_body["stop"] = json!("three");
    let events = events(&fixture.user().post(Chat.path(), &request_body));
    assert!(
        events
            .iter()
            .any(|event| event.json()["choices"][0]["finish_reason"] == "stop")
    );
    fixture.assert_recorded().assert_ended("ok", &[]);
    let sent = fixture.upstream.last_request().json();
    assert_eq!(sent["inferenceConfig"]["stopSequences"], json!(["three"]));
    assert_eq!(
        sent["additionalModelResponseFieldPaths"],
        json!(["/stop_sequence"])
    );
    fixture
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/guarded.bin")));
    let response = asks(&fixture, Chat, CLAUDE, true);
    assert!(
        response
            .assert_status(200)
            .text()
            .contains("\"content_filter\""),
        "{}",
        response.text()
    );
    fixture.assert_recorded().assert_ended("ok", &[]);
}

#[test]
fn x03_bedrock_rejection_is_reported_in_client_dialect() {
    let fixture = fixture();
    for (status, kind, message, parsed, word) in [
        (
            429,
            "ThrottlingException",
            "Too many requests",
            429,
            "rate_limit_exceeded",
        ),
        (
            429,
            "ModelNotReadyException",
            "still loading",
            429,
            "rate_limit_exceeded",
        ),
        (
            400,
            "ValidationException",
            "The model returned the following errors: too long",
            400,
            "invalid_request_error",
        ),
        (
            400,
            "ServiceQuotaExceededException",
            "quota exceeded",
            400,
            "invalid_request_error",
        ),
        (
            403,
            "AccessDeniedException",
            "no access",
            502,
            "upstream_error",
        ),
        (
            404,
            "ResourceNotFoundException",
            "no such model",
            502,
            "upstream_error",
        ),
        (
            408,
            "ModelTimeoutException",
            "took too long",
            504,
            "upstream_timeout",
        ),
        (
            424,
            "ModelErrorException",
            "the model failed",
            502,
            "upstream_error",
        ),
        (500, "InternalServerException", "oh", 502, "upstream_error"),
        (
            503,
            "ServiceUnavailableException",
            "come back",
            503,
            "overloaded",
        ),
    ] {
        let script = Script::json(status, &json!({"message": message})).header(
            "x-amzn-errortype",
            &format!("{kind}:http://internal.amazon.com/"),
        );
        fixture.upstream.respond_with(script);
        let before = fixture.upstream.request_count();
        for (client, model) in [
            (Chat, NOVA),
            (Chat, CLAUDE),
            (Messages, NOVA),
            (Messages, CLAUDE),
        ] {
            let response = asks(&fixture, client, model, true);
            let said = assert_refusal(client, &response, parsed, word);
            assert!(
                matches!(status, 403 | 404) || said.contains(message),
                "{kind}: {said}"
            );
            fixture
                .assert_recorded()
                .assert_ended("upstream_error", &[])
                .assert_usage(0, 0);
        }
        assert_eq!(
            fixture.upstream.request_count(),
            before + 4,
            "{kind} is asked once"
        );
    }
}

#[test]
fn e15_bedrock_exception_is_in_band_error_or_initial_status() {
    let fixture = fixture();
    for (client, model, recording) in [
        (Chat, NOVA, "bedrock/failed.bin"),
        (Messages, NOVA, "bedrock/failed.bin"),
        (Messages, CLAUDE, "bedrock/invoke-failed.bin"),
    ] {
        let recording = golden_bytes(recording);
        fixture.upstream.respond_with(
            Script::stream(cut(&recording))
                .header("content-type", FRAMES)
                .pause_ms_between(100),
        );
        let events = events(&asks(&fixture, client, model, true));
        assert_eq!(text(&events), "Say ");
        let word = if model == NOVA {
            "upstream_error"
        } else {
            "overloaded"
        };
        assert_error(client, &events.last().expect("an error").json(), word);
        assert!(!events.iter().any(|event| client.is_terminal(event)));
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"]);
    }
    fixture
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/throttled.bin")));
    let said = assert_refusal(
        Chat,
        &asks(&fixture, Chat, NOVA, true),
        429,
        "rate_limit_exceeded",
    );
    assert!(said.contains("Too many tokens"), "{said}");
    fixture
        .assert_recorded()
        .assert_ended("upstream_error", &[]);
}

#[test]
fn x10_bedrock_stream_truncated_or_corrupt_ends_in_error() {
    let fixture = fixture();
    for (client, model, recording) in [
        (Chat, NOVA, "bedrock/stream.bin"),
        (Messages, CLAUDE, "bedrock/invoke.bin"),
    ] {
        let recording = golden_bytes(recording);
        let frames = cut(&recording);
        let whole = recording.len() - frames.last().expect("a frame").len();
        let ends = |script: Script, status: &str| {
            fixture
                .upstream
                .respond_with(script.header("content-type", FRAMES).pause_ms_between(30));
            let events = events(&asks(&fixture, client, model, true));
            assert!(
                !events.iter().any(|event| client.is_terminal(event)),
                "{events:?}"
            );
            assert_error(
                client,
                &events.last().expect("an error").json(),
                "upstream_error",
            );
            let row = fixture.assert_recorded();
            assert_eq!(row.0["status"], json!(status), "{}", row.0);
        };
        // cleanly, between two frames and within one
        ends(Script::stream(&frames[..frames.len() - 1]), "truncated");
        ends(
            Script::stream([&recording[..whole], &recording[whole..recording.len() - 3]]),
            "truncated",
        );
        let mut damaged = recording.clone();
        damaged[whole + 20] ^= 1;
        ends(
            Script::stream([&damaged[..whole], &damaged[whole..]]),
            "broken",
        );
    }
}

#[test]
fn bedrock_aws_keys_sign_requests() {
    let fixture = house_with(|provider| provider.line("region = \"eu-west-1\"").signed());
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    asks(&fixture, Chat, NOVA, false).assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    let request = fixture.upstream.last_request();
    let time = request.header("x-amz-date").expect("a date").to_owned();
    assert!(time.len() == 16 && time.ends_with('Z'), "{time}");
    let day = &time[..8];
    let authorization = request.header("authorization").expect("a signature");
    let expected = format!(
        "AWS4-HMAC-SHA256 Credential={UPSTREAM_KEY}/{day}/eu-west-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
    );
    assert!(authorization.starts_with(&expected), "{authorization}");
    assert_eq!(authorization.len(), expected.len() + 64);
    assert_eq!(
        (
            request.header("x-amz-security-token"),
            request.header("content-type")
        ),
        (Some(UPSTREAM_KEY), Some("application/json"))
    );
    assert_eq!(
        request.header("host"),
        Some(fixture.upstream.url().trim_start_matches("http://"))
    );
}

#[test]
fn count_tokens_on_bedrock_returns_not_supported() {
    let fixture = fixture();
    let response = fixture.user().post(
        "/v1/messages/count_tokens",
        &json!({"model": CLAUDE, "messages": []}),
    );
    assert_refusal(Messages, &response, 501, "not_supported");
    fixture.assert_no_call();
}
