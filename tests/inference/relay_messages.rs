//! A messages stream on its way: the client gets the recording's bytes and the cost; nothing is understood that need not
//! be, and the usage is read from wherever it stands.

use serde_json::{Value, json};

use super::house::{House, Messages};
use crate::harness::process::{Provider, text};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const COST: &str = ": x-gatekeeper-cost-usd 0.000225\n\n";

/// Thinking with its signature, a redacted block, an unknown event, an unknown block, pings and comments, extra usage.
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
fn p04_p05_thinking_signatures_and_unknown_events_reach_the_client_byte_for_byte() {
    let house = House::opens();
    let answer = house.answered(Messages, true, Script::stream(RECORDING));
    assert_eq!(answer.assert_status(200).text(), expected("\n"));
    // of the two input counts the later one: E12
    house.booked().ends("ok", &[]).costs(100, 25);
}

#[test]
fn e14_however_the_network_cuts_the_stream_the_client_gets_the_same_bytes() {
    let house = House::opens();
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
                house
                    .answered(Messages, true, script)
                    .assert_status(200)
                    .text(),
                expected(line_end)
            );
            house.booked().ends("ok", &[]).costs(100, 25);
        }
    }
}

#[test]
fn p04_the_next_turn_carries_the_blocks_upstream_byte_for_byte() {
    let house = House::opens();
    let body = r#"{"model":"c-small","max_tokens":500,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"Gr\u00fcbelt","signature":"EqQBCgIYAhIM+/="},{"type":"redacted_thinking","data":"EmwKAhgBEgy3va3="}]},{"role":"user","content":"b"}]}"#;
    house
        .user()
        .post_bytes(Messages.path(), body.as_bytes())
        .assert_status(200);
    assert_eq!(house.upstream.last_request().body, body.as_bytes());
    house.booked().ends("ok", &[]);
}

#[test]
fn p06_what_a_coding_agent_sends_arrives_whole() {
    let house = House::opens();
    let tool = json!({"name": "Bash", "description": "runs", "cache_control": {"type": "ephemeral"},
        "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false}});
    let body = json!({
        "model": "c-small", "max_tokens": 64000, "stream": true, "tools": vec![tool; 25],
        "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
        "metadata": {"user_id": "{\"device_id\":\"d\"}"},
        "system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197"},
            {"type": "text", "text": "You are a CLI. ".repeat(4_000), "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": "say OK"}, {"role": "system", "content": "be brief"}]});
    let answer = house.user().post("/v1/messages?beta=true", &body);
    assert!(
        answer
            .assert_status(200)
            .text()
            .ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
    );
    assert_eq!(
        house.upstream.last_request().body,
        body.to_string().as_bytes()
    );
    house.booked().ends("ok", &[]).costs(10, 20);
}

#[test]
fn a_whole_answer_is_passed_on_byte_for_byte() {
    let house = House::opens();
    let body = "{ \"id\":\"msg_1\",\"type\":\"message\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"é\",\"signature\":\"s+/=\"},\
                {\"type\":\"hologram\",\"voxels\":[1e3]}],\"usage\":{\"output_tokens\":25,\"input_tokens\":100}}\n";
    for script in [
        Script::unary(200, body),
        Script::unary(200, body).chunked().one_byte_per_write(),
    ] {
        let answer = house.answered(Messages, false, script);
        assert_eq!(answer.assert_status(200).text(), body);
        assert_eq!(answer.cost(), 225_000_000);
        house.booked().ends("ok", &[]).costs(100, 25);
    }
}

#[test]
fn c06_cache_writes_of_both_lifetimes_are_counted_once() {
    let house = House::opens();
    let body = json!({"id": "msg_1", "type": "message", "content": [], "usage": {"input_tokens": 10, "output_tokens": 5,
        "cache_read_input_tokens": 1_000, "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}}});
    house
        .answered(Messages, false, Script::json(200, &body))
        .assert_status(200);
    let booked = house.booked();
    assert_eq!(
        booked.0["usage"],
        json!({"input_tokens": 1_310, "cached_tokens": 1_000, "cache_write_tokens": 300, "output_tokens": 5, "reasoning_tokens": 0})
    );
}

/// A gateway before Anthropic at list prices, and its answer with this usage: what the call's cost consists of, as class, count, amount.
fn lines_of(usage: &Value, more: Value) -> Vec<(String, u64, String)> {
    let upstream = Upstream::start();
    let claude = Provider::anthropic("claude", &upstream)
        .priced_by("sheet")
        .models(&["claude-opus-4-6"]);
    let house = House::before(upstream, |setup| setup.provider(&claude));
    let answer = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-6",
        "content": [{"type": "text", "text": "found"}], "stop_reason": "end_turn", "stop_sequence": null, "usage": usage});
    house.upstream.respond_with(Script::json(200, &answer));
    let mut body = Messages.body();
    body["model"] = json!("claude/claude-opus-4-6");
    body.as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("members").clone());
    house.user().post(Messages.path(), &body).assert_status(200);
    let row = house.booked();
    row.ends("ok", &[]);
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
fn c06_cache_writes_of_both_lifetimes_are_billed_in_their_classes() {
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
fn c08_three_web_searches_are_three_fees() {
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
