//! Broken unary responses: nothing of them reaches the client, and the tokens that may have been billed are recorded.

use serde_json::json;

use super::fixture::{BOTH, Chat, Dialect, Fixture, Messages, assert_refusal};
use crate::harness::script::Script;

/// Honest unary response: 10 input and 20 output tokens.
fn response(dialect: Dialect) -> String {
    let text = "word ".repeat(20);
    match dialect {
        Chat => json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "m-small",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}}),
        Messages => json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "c-small",
            "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 10, "output_tokens": 20}}),
    }
    .to_string()
}

#[test]
fn head_timeout_returns_504_and_closes_connection() {
    let fixture = Fixture::with_limits("head_timeout_s = 1");
    for dialect in BOTH {
        for streamed in [false, true] {
            let before = fixture.upstream.closed_connections().len();
            let message = assert_refusal(
                dialect,
                &fixture.call_with(dialect, streamed, Script::hangs()),
                504,
                "upstream_timeout",
            );
            assert!(message.contains("within 1 s"), "{message}");
            let record = fixture.assert_recorded();
            record
                .assert_ended("broken", &["estimated"])
                .assert_usage_about(10, 0);
            assert!(record.0["upstream_status"].is_null());
            fixture.upstream.wait_until_idle();
            assert!(fixture.upstream.closed_connections().len() > before);
        }
    }
}

#[test]
fn body_idle_timeout_returns_504() {
    let fixture = Fixture::with_limits("idle_timeout_s = 1");
    for dialect in BOTH {
        let script = Script::unary(200, response(dialect)).only(0).then_hangs();
        assert_refusal(
            dialect,
            &fixture.call_with(dialect, false, script),
            504,
            "upstream_timeout",
        );
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"])
            .assert_usage_about(10, 0);
        let script = Script::unary(200, response(dialect))
            .truncated_after(60)
            .then_hangs();
        assert_refusal(
            dialect,
            &fixture.call_with(dialect, false, script),
            504,
            "upstream_timeout",
        );
        // received bytes count as text, at 3 bytes per token
        let record = fixture.assert_recorded();
        assert_eq!(
            record.assert_ended("broken", &["estimated"]).output(),
            20,
            "{}",
            record.0
        );
        fixture.upstream.wait_until_idle();
    }
}

#[test]
fn connection_lost_before_head_returns_502() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for streamed in [false, true] {
            for script in [
                Script::closes(),
                Script::raw("").then_resets(),
                Script::raw("HTTP/1.1 200 O"),
                Script::raw("what?\r\n\r\n"),
            ] {
                assert_refusal(
                    dialect,
                    &fixture.call_with(dialect, streamed, script),
                    502,
                    "upstream_error",
                );
                fixture
                    .assert_recorded()
                    .assert_ended("broken", &["estimated"])
                    .assert_usage_about(10, 0);
            }
        }
    }
}

#[test]
fn unary_truncated_in_any_framing_returns_502() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let whole = response(dialect);
        for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
            let script = Script::unary(200, &whole);
            for (script, status) in [
                (script.clone().truncated_after(cut), "broken"),
                (script.clone().truncated_after(cut).then_resets(), "broken"),
                (script.chunked().truncated_after(cut), "truncated"),
            ] {
                let response = fixture.call_with(dialect, false, script);
                let message = assert_refusal(dialect, &response, 502, "upstream_error");
                assert!(!message.contains("word word"), "{message}");
                let record = fixture.assert_recorded();
                // a reset may overtake earlier bytes
                let said = record.0["status"].as_str().expect("a status");
                assert!(
                    said == status || said == "broken",
                    "{said} where {status} was expected, cut at {cut}"
                );
                // received bytes count as text, at 3 bytes per token; bytes overtaken by a reset are unknown
                let came = (cut as u64).div_ceil(3);
                assert!(
                    record.output() == came || said != status || record.output() == 0 && cut == 0,
                    "{cut}: {}",
                    record.0
                );
                assert!(
                    record.output() <= came && record.input() >= 10,
                    "{cut}: {}",
                    record.0
                );
                assert_eq!(record.0["flags"], json!(["estimated"]));
            }
        }
    }
}

#[test]
fn unary_shorter_than_content_length_returns_502_despite_valid_json() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let whole = response(dialect);
        let script = Script::unary(200, format!("{whole}      ")).truncated_after(whole.len());
        assert_refusal(
            dialect,
            &fixture.call_with(dialect, false, script),
            502,
            "upstream_error",
        );
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"]);
    }
}

/// A body without a length ends with its connection; whether it is complete, only the answer in it can say.
#[test]
fn response_close_delimited_is_relayed_and_truncated_if_it_is_not_whole() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let (whole, events) = (response(dialect), dialect.stream(3));
        let unary = Script::unary(200, &whole).close_delimited();
        let relayed = fixture.call_with(dialect, false, unary);
        assert_eq!(relayed.assert_status(200).text(), whole);
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 20);
        let stream = Script::stream(events).close_delimited();
        fixture.call_with(dialect, true, stream).assert_status(200);
        fixture.assert_recorded().assert_ended("ok", &[]);
        let half = whole[..whole.len() / 2].to_owned();
        let cut = Script::unary(200, half).close_delimited();
        let refused = fixture.call_with(dialect, false, cut);
        assert_refusal(dialect, &refused, 502, "upstream_error");
        fixture
            .assert_recorded()
            .assert_ended("truncated", &["estimated"]);
    }
}

#[test]
fn unary_not_json_object_returns_502() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for body in [
            "<html>maintenance</html>",
            "[]",
            "null",
            "ok",
            "",
            "{\"choices\":,}",
            "{}{}",
        ] {
            assert_refusal(
                dialect,
                &fixture.call_with(dialect, false, Script::unary(200, body)),
                502,
                "upstream_error",
            );
            fixture.assert_recorded();
        }
    }
}

#[test]
fn stream_request_unary_response_returns_502_and_is_charged() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let response = fixture.call_with(dialect, true, Script::unary(200, response(dialect)));
        assert_refusal(dialect, &response, 502, "upstream_error");
        fixture
            .assert_recorded()
            .assert_ended("broken", &[])
            .assert_usage(10, 20);
    }
}

#[test]
fn unary_request_stream_response_returns_502() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let response = fixture.call_with(dialect, false, Script::stream(dialect.stream(3)));
        assert_refusal(dialect, &response, 502, "upstream_error");
        fixture.assert_recorded();
    }
}

#[test]
fn unary_over_size_limit_returns_502() {
    let fixture = Fixture::with_limits("answer_mb = 1");
    for dialect in BOTH {
        let long = response(dialect).replace("word ", &"w".repeat(100_000));
        for script in [
            Script::unary(200, &long),
            Script::unary(200, &long).chunked(),
        ] {
            assert_refusal(
                dialect,
                &fixture.call_with(dialect, false, script),
                502,
                "upstream_error",
            );
            fixture
                .assert_recorded()
                .assert_ended("broken", &["estimated"]);
        }
    }
}

#[test]
fn unary_without_usage_is_estimated_and_invalid_usage_costs_ceiling() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let without = response(dialect).replace("\"usage\":", "\"usage_was\":");
        let reply = fixture.call_with(dialect, false, Script::unary(200, &without));
        assert_eq!(reply.assert_status(200).text(), without);
        let record = fixture.assert_recorded();
        record
            .assert_ended("ok", &["estimated"])
            .assert_usage_about(10, 20);
        assert_eq!(reply.cost(), record.cost());
        for lie in ["-5", "9223372036854775808", "null", "\"7\"", "1.5"] {
            let lying = response(dialect).replace("_tokens\":20", &format!("_tokens\":{lie}"));
            assert_ne!(lying, response(dialect));
            fixture
                .call_with(dialect, false, Script::unary(200, &lying))
                .assert_status(200);
            let record = fixture.assert_recorded();
            record.assert_ended("ok", &["lying_usage"]);
            assert_eq!(record.0["cost_usd"], record.0["ceiling_usd"]);
        }
    }
}

#[test]
fn unary_past_call_timeout_returns_504_despite_progress() {
    let fixture = Fixture::with_limits("call_timeout_s = 1");
    for (disconnects, dialect) in (1..).zip(BOTH) {
        let crumbs: Vec<Vec<u8>> = response(dialect)
            .into_bytes()
            .chunks(2)
            .map(<[u8]>::to_vec)
            .collect();
        let script = Script::stream(crumbs)
            .header("content-type", "application/json")
            .pause_ms_between(50);
        let message = assert_refusal(
            dialect,
            &fixture.call_with(dialect, false, script),
            504,
            "upstream_timeout",
        );
        assert!(message.contains("incomplete after 1000 ms"), "{message}");
        fixture.upstream.wait_for_disconnects(disconnects);
        let record = fixture.assert_recorded();
        let came = record.assert_ended("broken", &["estimated"]).output();
        assert!(
            (1..=(response(dialect).len() as u64).div_ceil(3)).contains(&came),
            "{}",
            record.0
        );
    }
}
