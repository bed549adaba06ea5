//! Messages streams: the client gets the recording's bytes and the cost; unknown events pass, and usage is read from every
//! event that carries it.

use serde_json::{Value, json};

use super::fixture::{Fixture, Messages};
use crate::harness::process::{Provider, text};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const COST: &str = ": x-gatekeeper-cost-usd 0.000225\n";

/// Recording with signed and redacted thinking, an unknown event and block, pings, comments and extra usage fields.
const RECORDING: [&str; 19] = [
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"c-small\",\"usage\":{\"input_tokens\":900,\"output_tokens\":1,\"service_tier\":\"standard\",\"geo\":\"eu\"}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Grübelt … 🦀\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"EqQBCgIYAhIM+/=\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"redacted_thinking\",\"data\":\"EmwKAhgBEgy3va3=\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
    "event: weather_report\ndata: {\"type\":\"weather_report\",\"sun\":1.0}\n\n",
    ": keep-alive\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"hologram\",\"voxels\":[1e3]}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":2}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":3,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\": \\\"é\\\"}\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":3}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"input_tokens\":100,\"output_tokens\":25,\"carbon\":2}}\n\n",
    "event: message_limit\ndata: {\"type\":\"message_limit\",\"left\":3}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
];

fn expected(line_end: &str) -> String {
    let mut shown: Vec<String> = RECORDING
        .iter()
        .map(|event| event.replace('\n', line_end))
        .collect();
    shown.insert(shown.len() - 1, COST.to_owned());
    shown.concat()
}

#[test]
fn p04_p05_messages_stream_passes_through_byte_for_byte() {
    let fixture = Fixture::new();
    let response = fixture.call_with(Messages, true, Script::stream(RECORDING));
    assert_eq!(response.assert_status(200).text(), expected("\n"));
    // the later of the two input counts is charged
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(100, 25);
}

#[test]
fn e14_messages_stream_split_at_any_byte_gives_same_bytes() {
    let fixture = Fixture::new();
    for line_end in ["\n", "\r\n"] {
        let recording = RECORDING.concat().replace('\n', line_end);
        let whole = Script::stream([&recording]);
        for script in [
            whole.clone(),
            whole.clone().one_byte_per_write(),
            whole.in_writes_of(11),
            Script::stream(recording.bytes().map(|byte| [byte])),
        ] {
            assert_eq!(
                fixture
                    .call_with(Messages, true, script)
                    .assert_status(200)
                    .text(),
                expected(line_end)
            );
            fixture
                .assert_recorded()
                .assert_ended("ok", &[])
                .assert_usage(100, 25);
        }
    }
}

#[test]
fn p04_thinking_blocks_of_next_turn_pass_through() {
    let fixture = Fixture::new();
    let body = r#"{"model":"c-small","max_tokens":500,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"Gr\u00fcbelt","signature":"EqQBCgIYAhIM+/="},{"type":"redacted_thinking","data":"EmwKAhgBEgy3va3="}]},{"role":"user","content":"b"}]}"#;
    fixture
        .user()
        .post_bytes(Messages.path(), body.as_bytes())
        .assert_status(200);
    assert_eq!(fixture.upstream.last_request().body, body.as_bytes());
    fixture.assert_recorded().assert_ended("ok", &[]);
}

#[test]
fn p06_coding_agent_request_passes_through() {
    let fixture = Fixture::new();
    let tool = json!({"name": "Bash", "description": "runs",
        "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false}});
    let mut tools = vec![tool; 25];
    tools[24]["cache_control"] = json!({"type": "ephemeral"});
    let body = json!({
        "model": "c-small", "max_tokens": 64000, "stream": true, "tools": tools,
        "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
        "metadata": {"user_id": "{\"device_id\":\"d\"}"},
        "system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197"},
            {"type": "text", "text": "You are a CLI. ".repeat(4_000), "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": "say OK"}, {"role": "system", "content": "be brief"}]});
    let response = fixture.user().post("/v1/messages?beta=true", &body);
    assert!(
        response
            .assert_status(200)
            .text()
            .ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
    );
    assert_eq!(
        fixture.upstream.last_request().body,
        body.to_string().as_bytes()
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 20);
}

#[test]
fn messages_unary_passes_through_byte_for_byte() {
    let fixture = Fixture::new();
    let body = "{ \"id\":\"msg_1\",\"type\":\"message\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"é\",\"signature\":\"s+/=\"},\
                {\"type\":\"hologram\",\"voxels\":[1e3]}],\"usage\":{\"output_tokens\":25,\"input_tokens\":100}}\n";
    for script in [
        Script::unary(200, body),
        Script::unary(200, body).chunked().one_byte_per_write(),
    ] {
        let response = fixture.call_with(Messages, false, script);
        assert_eq!(response.assert_status(200).text(), body);
        assert_eq!(response.cost(), 225_000_000);
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(100, 25);
    }
}

#[test]
fn c06_cache_writes_of_both_lifetimes_count_once() {
    let fixture = Fixture::new();
    let body = json!({"id": "msg_1", "type": "message", "content": [], "usage": {"input_tokens": 10, "output_tokens": 5,
        "cache_read_input_tokens": 1_000, "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}}});
    fixture
        .call_with(Messages, false, Script::json(200, &body))
        .assert_status(200);
    let record = fixture.assert_recorded();
    let expected = json!({"input_tokens": 1_310, "cached_tokens": 1_000, "cache_write_tokens": 300, "output_tokens": 5, "reasoning_tokens": 0});
    for (name, count) in expected.as_object().expect("counts") {
        assert_eq!(&record.0["usage"][name], count, "{name}");
    }
}

/// Cost lines (class, count, amount) of a call to Anthropic at list prices with this usage.
fn lines_of(usage: &Value, more: Value) -> Vec<(String, u64, String)> {
    let upstream = Upstream::start();
    let claude = Provider::anthropic("claude", &upstream)
        .priced_by("sheet")
        .models(&["claude-opus-4-6"]);
    let fixture = Fixture::with_upstream(upstream, |setup| setup.provider(&claude));
    let response = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-6",
        "content": [{"type": "text", "text": "found"}], "stop_reason": "end_turn", "stop_sequence": null, "usage": usage});
    fixture.upstream.respond_with(Script::json(200, &response));
    let mut body = Messages.body();
    body["model"] = json!("claude/claude-opus-4-6");
    body.as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("members").clone());
    fixture
        .user()
        .post(Messages.path(), &body)
        .assert_status(200);
    let row = fixture.assert_recorded();
    row.assert_ended("ok", &[]);
    let lines = row.0["cost_lines"].as_array().expect("lines").iter();
    let line = |line: &Value| {
        (
            text(line, "class"),
            line["count"].as_u64().expect("a count"),
            text(line, "amount_usd"),
        )
    };
    lines.map(line).collect()
}

#[test]
fn c06_cache_writes_are_charged_by_lifetime_class() {
    let usage = json!({"input_tokens": 3, "output_tokens": 10, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}});
    let lines = lines_of(&usage, json!({}));
    // at $6.25 and $10 per million tokens
    let line = |class: &str, count, amount: &str| (class.to_owned(), count, amount.to_owned());
    for expected in [
        line("cache_write_5m", 10, "0.0000625"),
        line("cache_write_1h", 20, "0.0002"),
    ] {
        assert!(lines.contains(&expected), "{expected:?} in {lines:?}");
    }
    assert!(lines.contains(&line("input", 3, "0.000015")), "{lines:?}");
}

#[test]
fn c08_web_searches_are_charged_per_search() {
    let usage = json!({"input_tokens": 100, "output_tokens": 10, "server_tool_use": {"web_search_requests": 3}});
    let tools = json!([{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]);
    let lines = lines_of(&usage, json!({"tools": tools}));
    let searches: Vec<_> = lines
        .iter()
        .filter(|(class, ..)| class == "web_search")
        .collect();
    assert_eq!(
        searches,
        [&("web_search".to_owned(), 3, "0.03".to_owned())],
        "{lines:?}"
    );
}
