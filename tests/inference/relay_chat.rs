//! A chat stream on its way: the client gets the recording's bytes and the cost, however the network cut them; the usage
//! that the gateway asked for stays its own business.

use serde_json::json;

use super::house::{Chat, House};
use crate::harness::client::{BodyEnd, SseEvent};
use crate::harness::script::Script;

const COST: &str = ": x-gatekeeper-cost-usd 0.000035\n\n";

/// A recording with everything that is odd: Azure's first chunk, comments, unknown members and events, several bytes per
/// letter, a tool call, and usage as the last chunk.
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

/// What the client must see of the recording.
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
fn p02_a_stream_without_stream_options_is_metered_and_the_client_sees_no_usage_chunk() {
    let house = House::opens();
    let (events, end) = house.events(Chat, crate::harness::model::with_usage(10, 20));
    assert_eq!(
        house.upstream.last_request().json()["stream_options"],
        json!({"include_usage": true})
    );
    assert_eq!(end, BodyEnd::Clean);
    assert_eq!(events.iter().filter_map(SseEvent::delta).count(), 20);
    assert!(
        !events.iter().any(|event| event.data.contains("usage")),
        "{events:?}"
    );
    assert_eq!(
        events[events.len() - 2].comment,
        "x-gatekeeper-cost-usd 0.00011"
    );
    assert_eq!(events[events.len() - 1].data, "[DONE]");
    house.booked().ends("ok", &[]).costs(10, 20);
}

#[test]
fn p03_a_client_that_asks_for_usage_gets_one_chunk_of_it_last_before_the_end() {
    let house = House::opens();
    let mut body = Chat.streamed();
    body["stream_options"] = json!({"include_usage": true, "include_obfuscation": false});
    let (events, end) = house.user().open_stream(Chat.path(), &body).read_events();
    assert_eq!(house.upstream.last_request().json(), body);
    assert_eq!(end, BodyEnd::Clean);
    let with_usage: Vec<usize> = (0..events.len())
        .filter(|at| events[*at].json()["usage"].is_object())
        .collect();
    assert_eq!(with_usage, [events.len() - 3]);
    assert_eq!(events[events.len() - 1].data, "[DONE]");
    house.booked().ends("ok", &[]).costs(10, 20);
}

#[test]
fn other_stream_options_stay_as_they_were_sent() {
    let house = House::opens();
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
        house
            .user()
            .post_bytes(Chat.path(), body(sent).as_bytes())
            .assert_status(200);
        assert_eq!(
            String::from_utf8_lossy(&house.upstream.last_request().body),
            body(expected)
        );
        house.booked().ends("ok", &[]).costs(10, 20);
    }
}

#[test]
fn p05_the_clients_bytes_are_the_recordings_bytes() {
    let house = House::opens();
    let answer = house.answered(Chat, true, Script::stream(RECORDING));
    assert_eq!(answer.assert_status(200).text(), expected(false, "\n"));
    assert_eq!(
        answer.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    house.booked().ends("ok", &[]).costs(10, 5);
    let mut body = Chat.streamed();
    body["stream_options"] = json!({"include_usage": true});
    assert_eq!(house.user().chat(&body).text(), expected(true, "\n"));
    house.booked().ends("ok", &[]).costs(10, 5);
}

#[test]
fn e14_however_the_network_cuts_the_stream_the_client_gets_the_same_bytes() {
    let house = House::opens();
    let whole = Script::stream([RECORDING.concat()]);
    for script in [
        whole.clone(),
        whole.clone().one_byte_per_write(),
        whole.in_writes_of(7),
        Script::stream(RECORDING).one_byte_per_write(),
    ] {
        assert_eq!(
            house.answered(Chat, true, script).assert_status(200).text(),
            expected(false, "\n")
        );
        house.booked().ends("ok", &[]).costs(10, 5);
    }
    // every byte a chunk of its own: letters are cut in the middle on both levels
    let bytes: Vec<[u8; 1]> = RECORDING.concat().bytes().map(|byte| [byte]).collect();
    assert_eq!(
        house
            .answered(Chat, true, Script::stream(bytes))
            .assert_status(200)
            .text(),
        expected(false, "\n")
    );
    house.booked().ends("ok", &[]).costs(10, 5);
}

#[test]
fn e14_lines_may_end_with_cr_lf() {
    let house = House::opens();
    let recording = RECORDING.concat().replace('\n', "\r\n");
    let whole = Script::stream([&recording]);
    for script in [
        whole.clone(),
        whole.one_byte_per_write(),
        Script::stream(recording.bytes().map(|byte| [byte])),
    ] {
        assert_eq!(
            house.answered(Chat, true, script).assert_status(200).text(),
            expected(false, "\r\n")
        );
        house.booked().ends("ok", &[]).costs(10, 5);
    }
}

#[test]
fn the_last_event_needs_no_empty_line() {
    let house = House::opens();
    let recording = RECORDING.concat();
    let answer = house.answered(Chat, true, Script::stream([recording.trim_end()]));
    assert_eq!(answer.assert_status(200).text(), expected(false, "\n"));
    house.booked().ends("ok", &[]).costs(10, 5);
}

#[test]
fn a_stream_that_reports_no_usage_is_estimated_and_says_so() {
    let house = House::opens();
    let mut recording = RECORDING.to_vec();
    recording.remove(USAGE);
    let answer = house.answered(Chat, true, Script::stream(recording));
    let booked = house.booked();
    booked.ends("ok", &["estimated"]).is_about(10, 5);
    let cost = format!(
        ": x-gatekeeper-cost-usd {}\n\n",
        booked.0["cost_usd"].as_str().expect("a cost")
    );
    assert_eq!(
        answer.assert_status(200).text(),
        expected(false, "\n").replace(COST, &cost)
    );
}

#[test]
fn a_whole_answer_is_passed_on_byte_for_byte() {
    let house = House::opens();
    let body = "\n{ \"id\":\"c1\",\"choices\":[{\"message\":{\"content\":\"Grüße \\u00e9 🦀\"},\"finish_reason\":\"stop\"}],\
                \"odd\":[1.0,1e3, null],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5}}  \n";
    for script in [
        Script::unary(200, body),
        Script::unary(200, body).chunked(),
        Script::unary(200, body).one_byte_per_write(),
        Script::unary(200, body).chunked().in_writes_of(3),
        Script::stream(body.bytes().map(|byte| [byte])).header("content-type", "application/json"),
    ] {
        let answer = house.answered(Chat, false, script);
        assert_eq!(answer.assert_status(200).text(), body);
        assert_eq!(answer.cost(), 35_000_000);
        house.booked().ends("ok", &[]).costs(10, 5);
    }
}
