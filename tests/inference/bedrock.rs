//! Bedrock through the door: Converse for clients of every dialect, Claude's own bodies for its own clients, AWS's frames however
//! the network cuts them, and what AWS says when it refuses.

use serde_json::{Value, json};

use super::house::{Chat, Dialect, House, Messages, is_error, refused};
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

fn house_with(change: impl FnOnce(Provider) -> Provider) -> House {
    let upstream = Upstream::start();
    let provider = Provider::openai("v", &upstream)
        .preset("bedrock")
        .base_url(&upstream.url())
        .models(&[NOVA, CLAUDE]);
    let provider = change(provider);
    House::before(upstream, |setup| setup.provider(&provider))
}

fn house() -> House {
    house_with(|provider| provider.line("region = \"eu-west-1\""))
}

fn body(client: Dialect, model: &str, streamed: bool) -> Value {
    let mut body = client.asking(streamed);
    body["model"] = json!(model);
    body
}

fn asks(house: &House, client: Dialect, model: &str, streamed: bool) -> Response {
    house
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
fn events(answer: &Response) -> Vec<SseEvent> {
    answer.assert_status(200);
    assert!(
        answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"))
    );
    SseEvent::all(&answer.body)
}

fn text(events: &[SseEvent]) -> String {
    events.iter().filter_map(SseEvent::delta).collect()
}

#[test]
fn t01_chat_reaches_converse_and_its_answers_come_back() {
    let house = house();
    house
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    let answer = asks(&house, Chat, NOVA, false).assert_status(200).json();
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        "Say it: 🦀 now."
    );
    assert_eq!(
        (
            &answer["choices"][0]["finish_reason"],
            &answer["usage"]["prompt_tokens"]
        ),
        (&json!("stop"), &json!(10))
    );
    house.booked().ends("ok", &[]).costs(10, 5);
    let seen = house.upstream.last_request();
    assert_eq!(
        seen.target(),
        "/model/eu.amazon.nova-2-lite-v1%3A0/converse"
    );
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {UPSTREAM_KEY}").as_str())
    );
    assert_eq!(
        seen.json(),
        json!({"messages": [{"role": "user", "content": [{"text": "say it"}]}]})
    );

    for script in deliveries(&golden_bytes("bedrock/stream.bin")) {
        house.upstream.respond_with(script);
        let events = events(&asks(&house, Chat, NOVA, true));
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
        house.booked().ends("ok", &[]).costs(10, 5);
        assert_eq!(
            house.upstream.last_request().target(),
            "/model/eu.amazon.nova-2-lite-v1%3A0/converse-stream"
        );
    }
}

#[test]
fn t02_c03_messages_reach_converse_and_the_usage_after_the_stop_is_in_the_last_delta() {
    let house = house();
    for script in deliveries(&golden_bytes("bedrock/stream.bin")) {
        house.upstream.respond_with(script);
        let events = events(&asks(&house, Messages, NOVA, true));
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
        house.booked().ends("ok", &[]).costs(10, 5);
    }
    house
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    let answer = asks(&house, Messages, NOVA, false)
        .assert_status(200)
        .json();
    assert_eq!(
        (&answer["content"][0]["text"], &answer["stop_reason"]),
        (&json!("Say it: 🦀 now."), &json!("end_turn"))
    );
    house.booked().ends("ok", &[]).costs(10, 5);
}

#[test]
fn t03_responses_reach_converse_and_get_the_full_sequence_of_events() {
    let house = house();
    for script in deliveries(&golden_bytes("bedrock/stream.bin")) {
        house.upstream.respond_with(script);
        let answer = house.user().post(
            "/v1/responses",
            &json!({"model": NOVA, "input": "say it", "stream": true}),
        );
        let told: Vec<Value> = events(&answer)
            .iter()
            .filter(|event| !event.name.is_empty())
            .map(SseEvent::json)
            .collect();
        let kinds: Vec<&str> = told
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
            told.iter()
                .enumerate()
                .all(|(number, event)| event["sequence_number"] == json!(number))
        );
        let last = &told.last().expect("an event")["response"];
        assert_eq!(last["output"][0]["content"][0]["text"], "Say it: 🦀 now.");
        assert_eq!(
            (
                &last["usage"]["input_tokens"],
                &last["usage"]["output_tokens"]
            ),
            (&json!(10), &json!(5))
        );
        house.booked().ends("ok", &[]).costs(10, 5);
        let expected = json!({"messages": [{"role": "user", "content": [{"text": "say it"}]}]});
        assert_eq!(house.upstream.last_request().json(), expected);
    }
}

#[test]
fn c03_cache_writes_are_booked_by_their_lifetimes() {
    let house = house();
    house
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/cached.bin")));
    let events = events(&asks(&house, Messages, NOVA, true));
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
    let row = house.booked();
    row.ends("ok", &[]);
    assert_eq!((row.input(), row.output()), (24, 5), "{}", row.0);
}

#[test]
fn u03_parallel_calls_come_back_and_their_results_go_in_one_turn() {
    let house = house();
    house
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/tools.bin")));
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    let mut asking = body(Chat, CLAUDE, true);
    asking["tools"] = json!([tool("get_weather"), tool("get_time")]);
    let events = events(&house.user().post(Chat.path(), &asking));
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
    house.booked().ends("ok", &[]).costs(30, 40);

    let called = calls
        .iter()
        .map(|(id, name, arguments)| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}));
    let messages = asking["messages"].as_array_mut().expect("an array");
    messages.push(json!({"role": "assistant", "content": "Looking.", "tool_calls": called.collect::<Vec<_>>()}));
    for id in ["tooluse_c", "tooluse_a", "tooluse_b"] {
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": format!("of {id}")}));
    }
    house
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/stream.bin")));
    house.user().post(Chat.path(), &asking).assert_status(200);
    house.booked().ends("ok", &[]);
    let sent = house.upstream.last_request().json();
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
fn u06_no_tool_may_be_called_so_none_is_sent() {
    let house = house();
    house
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    let mut asking = body(Chat, CLAUDE, false);
    asking["tools"] =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    asking["tool_choice"] = json!("none");
    house.user().post(Chat.path(), &asking).assert_status(200);
    house.booked().ends("ok", &[]);
    assert_eq!(house.upstream.last_request().json().get("toolConfig"), None);
}

#[test]
fn m02_m05_an_image_goes_as_bytes_and_a_schema_in_its_own_member() {
    let house = house();
    house
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    let webp = "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA";
    let mut asking = body(Chat, CLAUDE, false);
    asking["messages"][0]["content"] = json!([{"type": "image_url", "image_url": {"url": format!("data:image/webp;base64,{webp}")}}, {"type": "text", "text": "what?"}]);
    asking["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    house.user().post(Chat.path(), &asking).assert_status(200);
    house.booked().ends("ok", &[]);
    let sent = house.upstream.last_request().json();
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
    asking["messages"][0]["content"][0]["image_url"]["url"] = json!("https://example.com/cat.png");
    let answer = house.user().post(Chat.path(), &asking);
    assert!(refused(Chat, &answer, 400, "invalid_request_error").contains("base64"));
    house.nothing_happened();
}

#[test]
fn p09_claude_gets_its_own_body_and_its_frames_become_its_own_events() {
    let house = house();
    let recording = golden_bytes("bedrock/invoke.bin");
    let asking = format!(
        r#"{{"model":"{CLAUDE}","max_tokens":2000,"stream":true,"thinking":{{"type":"enabled","budget_tokens":1024}},"temperature":1.0,
        "system":[{{"type":"text","text":"s","cache_control":{{"type":"ephemeral","ttl":"1h"}}}}],"messages":[{{"role":"user","content":"go"}}]}}"#
    );
    let sent = asking
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
        house.upstream.respond_with(script);
        let user = house
            .user()
            .with("anthropic-beta", "a-2025-01-01, b-2026-02-02")
            .with("anthropic-version", "2023-06-01");
        let answer = user.post_bytes(Messages.path(), asking.as_bytes());
        assert_eq!(text(&events(&answer)), "Say it: 🦀 now.");
        assert_eq!(answer.text(), shown.concat());
        let row = house.booked();
        row.ends("ok", &[]);
        assert_eq!((row.input(), row.output()), (24, 25), "{}", row.0);
        let seen = house.upstream.last_request();
        assert_eq!(
            seen.target(),
            format!("/model/{CLAUDE_PATH}/invoke-with-response-stream")
        );
        assert_eq!(String::from_utf8_lossy(&seen.body), sent);
        assert_eq!(
            (
                seen.header("anthropic-beta"),
                seen.header("anthropic-version"),
                seen.header("x-api-key")
            ),
            (None, None, None)
        );
    }
    house
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/invoke.json")));
    let answer = asks(&house, Messages, CLAUDE, false);
    assert_eq!(
        answer.assert_status(200).text(),
        golden("bedrock/invoke.json")
    );
    house.booked().ends("ok", &[]).costs(10, 5);
    let seen = house.upstream.last_request();
    assert_eq!(seen.target(), format!("/model/{CLAUDE_PATH}/invoke"));
    let expected = json!({"messages": [{"role": "user", "content": "say it"}], "max_tokens": 500, "anthropic_version": "bedrock-2023-05-31"});
    assert_eq!(seen.json(), expected);
}

#[test]
fn r05_thoughts_come_back_and_go_only_to_the_model_that_had_them() {
    let house = house();
    house
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/thinking.bin")));
    let events = events(&asks(&house, Messages, NOVA, true));
    house.booked().ends("ok", &[]).costs(12, 9);
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

    let mut asking = body(Messages, NOVA, true);
    let thought = json!({"type": "thinking", "thinking": "First think.", "signature": signature});
    let turns = json!([{"role": "assistant", "content": [thought, {"type": "text", "text": "Then speak."}]}, {"role": "user", "content": "more"}]);
    asking["messages"]
        .as_array_mut()
        .expect("an array")
        .extend(turns.as_array().expect("an array").clone());
    house
        .user()
        .post(Messages.path(), &asking)
        .assert_status(200);
    house.booked().ends("ok", &[]);
    let said = json!({"reasoningContent": {"reasoningText": {"text": "First think.", "signature": "EqQBCgIYAhIkSIGNATURE=="}}});
    assert_eq!(
        house.upstream.last_request().json()["messages"][1]["content"],
        json!([said, {"text": "Then speak."}])
    );
}

#[test]
fn m06_the_stop_that_was_met_is_told() {
    let house = house();
    house
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/stopped.bin")));
    let mut asking = body(Chat, CLAUDE, true);
    asking["stop"] = json!("three");
    let events = events(&house.user().post(Chat.path(), &asking));
    assert!(
        events
            .iter()
            .any(|event| event.json()["choices"][0]["finish_reason"] == "stop")
    );
    house.booked().ends("ok", &[]);
    let sent = house.upstream.last_request().json();
    assert_eq!(sent["inferenceConfig"]["stopSequences"], json!(["three"]));
    assert_eq!(
        sent["additionalModelResponseFieldPaths"],
        json!(["/stop_sequence"])
    );
    house
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/guarded.bin")));
    let answer = asks(&house, Chat, CLAUDE, true);
    assert!(
        answer
            .assert_status(200)
            .text()
            .contains("\"content_filter\""),
        "{}",
        answer.text()
    );
    house.booked().ends("ok", &[]);
}

#[test]
fn x03_what_aws_refuses_is_told_in_the_clients_dialect() {
    let house = house();
    for (status, kind, message, told, word) in [
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
        house.upstream.respond_with(script);
        let before = house.upstream.request_count();
        for (client, model) in [
            (Chat, NOVA),
            (Chat, CLAUDE),
            (Messages, NOVA),
            (Messages, CLAUDE),
        ] {
            let answer = asks(&house, client, model, true);
            let said = refused(client, &answer, told, word);
            assert!(
                matches!(status, 403 | 404) || said.contains(message),
                "{kind}: {said}"
            );
            house.booked().ends("upstream_error", &[]).costs(0, 0);
        }
        assert_eq!(
            house.upstream.request_count(),
            before + 4,
            "{kind} is asked once"
        );
    }
}

#[test]
fn e15_an_exception_in_a_stream_is_an_error_in_band_and_at_its_beginning_an_honest_refusal() {
    let house = house();
    for (client, model, recording) in [
        (Chat, NOVA, "bedrock/failed.bin"),
        (Messages, NOVA, "bedrock/failed.bin"),
        (Messages, CLAUDE, "bedrock/invoke-failed.bin"),
    ] {
        let recording = golden_bytes(recording);
        house.upstream.respond_with(
            Script::stream(cut(&recording))
                .header("content-type", FRAMES)
                .pause_ms_between(100),
        );
        let events = events(&asks(&house, client, model, true));
        assert_eq!(text(&events), "Say ");
        let word = if model == NOVA {
            "upstream_error"
        } else {
            "overloaded"
        };
        is_error(client, &events.last().expect("an error").json(), word);
        assert!(!events.iter().any(|event| client.is_terminal(event)));
        house.booked().ends("broken", &["estimated"]);
    }
    house
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/throttled.bin")));
    let said = refused(
        Chat,
        &asks(&house, Chat, NOVA, true),
        429,
        "rate_limit_exceeded",
    );
    assert!(said.contains("Too many tokens"), "{said}");
    house.booked().ends("upstream_error", &[]);
}

#[test]
fn x10_a_stream_that_is_cut_off_or_damaged_is_never_whole() {
    let house = house();
    for (client, model, recording) in [
        (Chat, NOVA, "bedrock/stream.bin"),
        (Messages, CLAUDE, "bedrock/invoke.bin"),
    ] {
        let recording = golden_bytes(recording);
        let frames = cut(&recording);
        let whole = recording.len() - frames.last().expect("a frame").len();
        let ends = |script: Script, status: &str| {
            house
                .upstream
                .respond_with(script.header("content-type", FRAMES).pause_ms_between(30));
            let events = events(&asks(&house, client, model, true));
            assert!(
                !events.iter().any(|event| client.is_terminal(event)),
                "{events:?}"
            );
            is_error(
                client,
                &events.last().expect("an error").json(),
                "upstream_error",
            );
            let row = house.booked();
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
fn requests_are_signed_where_the_configuration_has_keys_of_aws() {
    let house = house_with(|provider| provider.line("region = \"eu-west-1\"").signed());
    house
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    asks(&house, Chat, NOVA, false).assert_status(200);
    house.booked().ends("ok", &[]);
    let seen = house.upstream.last_request();
    let time = seen.header("x-amz-date").expect("a date").to_owned();
    assert!(time.len() == 16 && time.ends_with('Z'), "{time}");
    let day = &time[..8];
    let authorization = seen.header("authorization").expect("a signature");
    let expected = format!(
        "AWS4-HMAC-SHA256 Credential={UPSTREAM_KEY}/{day}/eu-west-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
    );
    assert!(authorization.starts_with(&expected), "{authorization}");
    assert_eq!(authorization.len(), expected.len() + 64);
    assert_eq!(
        (
            seen.header("x-amz-security-token"),
            seen.header("content-type")
        ),
        (Some(UPSTREAM_KEY), Some("application/json"))
    );
    assert_eq!(
        seen.header("host"),
        Some(house.upstream.url().trim_start_matches("http://"))
    );
}

#[test]
fn tokens_are_not_counted_for_claude_on_bedrock() {
    let house = house();
    let answer = house.user().post(
        "/v1/messages/count_tokens",
        &json!({"model": CLAUDE, "messages": []}),
    );
    refused(Messages, &answer, 501, "not_supported");
    house.nothing_happened();
}
