//! Chat streams: the client gets the recording's bytes and the cost for any chunking by the network; a usage chunk that
//! only the gateway requested is hidden.

use serde_json::json;

use super::fixture::{Chat, Fixture};
use crate::harness::client::{BodyEnd, SseEvent};
use crate::harness::script::Script;

const COST: &str = ": x-gatekeeper-cost-usd 0.000035\n";

/// Recording with irregular content: Azure's first chunk, comments, unknown fields and events, multi-byte characters, a
/// tool call, and usage as the last chunk.
const RECORDING: [&str; 9] = [
    "data: {\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}],\"id\":\"\",\"model\":\"\"}\n\n",
    ": OPENROUTER PROCESSING\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"obfuscation\":\"xY\"}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Grüße, 世界 🦀\"}}]}\n\n",
    "event: vendor.news\nid: 7\nretry: 3000\ndata: {\"anything\": [1.0, 1e3]}\n\n",
    "data:{\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\n",
    "data: {\"id\":\"c1\",\ndata: \"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}],\"usage\":null}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15}}\n\n",
    "data: [DONE]\n\n",
];

const USAGE: usize = 7;

/// Recording as the client receives it.
fn expected(with_usage: bool, line_end: &str) -> String {
    let mut shown: Vec<String> = RECORDING
        .iter()
        .map(|event| event.replace('\n', line_end))
        .collect();
    if !with_usage {
        shown.remove(USAGE);
    }
    shown.insert(shown.len() - 1, COST.to_owned());
    shown.concat()
}

#[test]
fn p02_chat_stream_without_usage_option_is_metered_and_hides_usage_chunk() {
    let fixture = Fixture::new();
    let (events, end) = fixture.stream_events(Chat, crate::harness::model::with_usage(10, 20));
    assert_eq!(
        fixture.upstream.last_request().json()["stream_options"],
        json!({"include_usage": true})
    );
    assert_eq!(end, BodyEnd::Clean);
    assert_eq!(events.iter().filter_map(SseEvent::delta).count(), 20);
    assert!(
        !events.iter().any(|event| event.data.contains("usage")),
        "{events:?}"
    );
    assert_eq!(
        events[events.len() - 1].comment,
        "x-gatekeeper-cost-usd 0.00011"
    );
    assert_eq!(events[events.len() - 1].data, "[DONE]");
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 20);
}

#[test]
fn p03_chat_stream_with_usage_option_gets_one_last_usage_chunk() {
    let fixture = Fixture::new();
    let mut body = Chat.stream_body();
    body["stream_options"] = json!({"include_usage": true, "include_obfuscation": false});
    let (events, end) = fixture.user().open_stream(Chat.path(), &body).read_events();
    assert_eq!(fixture.upstream.last_request().json(), body);
    assert_eq!(end, BodyEnd::Clean);
    let with_usage: Vec<usize> = (0..events.len())
        .filter(|at| events[*at].json()["usage"].is_object())
        .collect();
    assert_eq!(with_usage, [events.len() - 2]);
    assert_eq!(events[events.len() - 1].data, "[DONE]");
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 20);
}

#[test]
fn stream_options_other_fields_are_unchanged() {
    let fixture = Fixture::new();
    for (sent, expected) in [
        (
            r#"{"include_obfuscation":false}"#,
            r#"{"include_obfuscation":false,"include_usage":true}"#,
        ),
        (r#"{"include_usage":false}"#, r#"{"include_usage":true}"#),
        ("null", r#"{"include_usage":true}"#),
        ("{ }", r#"{"include_usage":true }"#),
    ] {
        let body = |options: &str| {
            format!(
                r#"{{"stream_options":{options},"model":"m-small","messages":[],"stream":true}}"#
            )
        };
        fixture
            .user()
            .post_bytes(Chat.path(), body(sent).as_bytes())
            .assert_status(200);
        assert_eq!(
            String::from_utf8_lossy(&fixture.upstream.last_request().body),
            body(expected)
        );
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 20);
    }
}

#[test]
fn p05_chat_stream_passes_through_byte_for_byte() {
    let fixture = Fixture::new();
    let response = fixture.call_with(Chat, true, Script::stream(RECORDING));
    assert_eq!(response.assert_status(200).text(), expected(false, "\n"));
    assert_eq!(
        response.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 5);
    let mut body = Chat.stream_body();
    body["stream_options"] = json!({"include_usage": true});
    assert_eq!(fixture.user().chat(&body).text(), expected(true, "\n"));
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 5);
}

#[test]
fn e14_chat_stream_split_at_any_byte_gives_same_bytes() {
    let fixture = Fixture::new();
    let whole = Script::stream([RECORDING.concat()]);
    for script in [
        whole.clone(),
        whole.clone().one_byte_per_write(),
        whole.in_writes_of(7),
        Script::stream(RECORDING).one_byte_per_write(),
    ] {
        assert_eq!(
            fixture
                .call_with(Chat, true, script)
                .assert_status(200)
                .text(),
            expected(false, "\n")
        );
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 5);
    }
    // one byte per chunk: characters are split in both framings
    let bytes: Vec<[u8; 1]> = RECORDING.concat().bytes().map(|byte| [byte]).collect();
    assert_eq!(
        fixture
            .call_with(Chat, true, Script::stream(bytes))
            .assert_status(200)
            .text(),
        expected(false, "\n")
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 5);
}

#[test]
fn e14_chat_stream_with_crlf_passes_through() {
    let fixture = Fixture::new();
    let recording = RECORDING.concat().replace('\n', "\r\n");
    let whole = Script::stream([&recording]);
    for script in [
        whole.clone(),
        whole.one_byte_per_write(),
        Script::stream(recording.bytes().map(|byte| [byte])),
    ] {
        assert_eq!(
            fixture
                .call_with(Chat, true, script)
                .assert_status(200)
                .text(),
            expected(false, "\r\n")
        );
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 5);
    }
}

#[test]
fn chat_stream_last_event_without_empty_line_is_complete() {
    let fixture = Fixture::new();
    let recording = RECORDING.concat();
    let response = fixture.call_with(Chat, true, Script::stream([recording.trim_end()]));
    assert_eq!(response.assert_status(200).text(), expected(false, "\n"));
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 5);
}

#[test]
fn chat_stream_without_usage_is_estimated_and_flagged() {
    let fixture = Fixture::new();
    let mut recording = RECORDING.to_vec();
    recording.remove(USAGE);
    let response = fixture.call_with(Chat, true, Script::stream(recording));
    let record = fixture.assert_recorded();
    record
        .assert_ended("ok", &["estimated"])
        .assert_usage_about(10, 5);
    let cost = format!(
        ": x-gatekeeper-cost-usd {}\n",
        record.0["cost_usd"].as_str().expect("a cost")
    );
    assert_eq!(
        response.assert_status(200).text(),
        expected(false, "\n").replace(COST, &cost)
    );
}

#[test]
fn chat_unary_passes_through_byte_for_byte() {
    let fixture = Fixture::new();
    let body = "\n{ \"id\":\"c1\",\"choices\":[{\"message\":{\"content\":\"Grüße \\u00e9 🦀\"},\"finish_reason\":\"stop\"}],\
                \"odd\":[1.0,1e3, null],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5}}  \n";
    for script in [
        Script::unary(200, body),
        Script::unary(200, body).chunked(),
        Script::unary(200, body).one_byte_per_write(),
        Script::unary(200, body).chunked().in_writes_of(3),
        Script::stream(body.bytes().map(|byte| [byte])).header("content-type", "application/json"),
    ] {
        let response = fixture.call_with(Chat, false, script);
        assert_eq!(response.assert_status(200).text(), body);
        assert_eq!(response.cost(), 35_000_000);
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 5);
    }
}
