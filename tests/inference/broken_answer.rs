//! Whole answers that are none: nothing of them reaches the client, and what may have been billed is in the books.

use serde_json::json;

use super::house::{BOTH, Chat, Dialect, House, Messages, refused};
use crate::harness::script::Script;

/// An honest whole answer: 10 tokens in, 20 out.
fn answer(dialect: Dialect) -> String {
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
fn an_upstream_that_never_answers_is_504_and_its_connection_is_closed() {
    let house = House::limited("head_timeout_s = 1");
    for dialect in BOTH {
        for streamed in [false, true] {
            let before = house.upstream.closed_connections().len();
            let message = refused(
                dialect,
                &house.answered(dialect, streamed, Script::hangs()),
                504,
                "upstream_timeout",
            );
            assert!(message.contains("within 1 s"), "{message}");
            let booked = house.booked();
            booked.ends("broken", &["estimated"]).is_about(10, 0);
            assert!(booked.0["upstream_status"].is_null());
            house.upstream.wait_until_idle();
            assert!(house.upstream.closed_connections().len() > before);
        }
    }
}

#[test]
fn an_upstream_that_hangs_after_the_head_is_504() {
    let house = House::limited("idle_timeout_s = 1");
    for dialect in BOTH {
        let script = Script::unary(200, answer(dialect)).only(0).then_hangs();
        refused(
            dialect,
            &house.answered(dialect, false, script),
            504,
            "upstream_timeout",
        );
        house
            .booked()
            .ends("broken", &["estimated"])
            .is_about(10, 0);
        let script = Script::unary(200, answer(dialect))
            .truncated_after(60)
            .then_hangs();
        refused(
            dialect,
            &house.answered(dialect, false, script),
            504,
            "upstream_timeout",
        );
        // what came counts as text, at 3 bytes a token
        let booked = house.booked();
        assert_eq!(
            booked.ends("broken", &["estimated"]).output(),
            20,
            "{}",
            booked.0
        );
        house.upstream.wait_until_idle();
    }
}

#[test]
fn a_connection_that_breaks_before_the_head_is_502() {
    let house = House::opens();
    for dialect in BOTH {
        for streamed in [false, true] {
            for script in [
                Script::closes(),
                Script::raw("").then_resets(),
                Script::raw("HTTP/1.1 200 O"),
                Script::raw("what?\r\n\r\n"),
            ] {
                refused(
                    dialect,
                    &house.answered(dialect, streamed, script),
                    502,
                    "upstream_error",
                );
                house
                    .booked()
                    .ends("broken", &["estimated"])
                    .is_about(10, 0);
            }
        }
    }
}

#[test]
fn an_answer_that_is_cut_off_is_502_however_it_was_framed() {
    let house = House::opens();
    for dialect in BOTH {
        let whole = answer(dialect);
        for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
            let script = Script::unary(200, &whole);
            for (script, status) in [
                (script.clone().truncated_after(cut), "broken"),
                (script.clone().truncated_after(cut).then_resets(), "broken"),
                (script.chunked().truncated_after(cut), "truncated"),
            ] {
                let answer = house.answered(dialect, false, script);
                let message = refused(dialect, &answer, 502, "upstream_error");
                assert!(!message.contains("word word"), "{message}");
                let booked = house.booked();
                // a reset may overtake the bytes before it
                let said = booked.0["status"].as_str().expect("a status");
                assert!(
                    said == status || said == "broken",
                    "{said} where {status} was expected, cut at {cut}"
                );
                // what came counts as text, at 3 bytes a token; of what a reset overtook nobody knows
                let came = (cut as u64).div_ceil(3);
                assert!(
                    booked.output() == came || said != status || booked.output() == 0 && cut == 0,
                    "{cut}: {}",
                    booked.0
                );
                assert!(
                    booked.output() <= came && booked.input() >= 10,
                    "{cut}: {}",
                    booked.0
                );
                assert_eq!(booked.0["flags"], json!(["estimated"]));
            }
        }
    }
}

#[test]
fn a_short_answer_is_cut_off_even_where_it_reads_as_whole_json() {
    let house = House::opens();
    for dialect in BOTH {
        let whole = answer(dialect);
        let script = Script::unary(200, format!("{whole}      ")).truncated_after(whole.len());
        refused(
            dialect,
            &house.answered(dialect, false, script),
            502,
            "upstream_error",
        );
        house.booked().ends("broken", &["estimated"]);
    }
}

#[test]
fn an_answer_whose_length_is_never_told_is_502_and_not_taken_for_an_empty_one() {
    let house = House::opens();
    for dialect in BOTH {
        for (streamed, script) in [
            (false, Script::unary(200, answer(dialect))),
            (true, Script::stream(dialect.stream(3))),
        ] {
            refused(
                dialect,
                &house.answered(dialect, streamed, script.close_delimited()),
                502,
                "upstream_error",
            );
            house
                .booked()
                .ends("truncated", &["estimated"])
                .is_about(10, 0);
        }
    }
}

#[test]
fn an_answer_that_is_no_json_object_is_502() {
    let house = House::opens();
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
            refused(
                dialect,
                &house.answered(dialect, false, Script::unary(200, body)),
                502,
                "upstream_error",
            );
            house.booked();
        }
    }
}

#[test]
fn a_whole_answer_to_a_request_for_a_stream_is_502_and_is_paid() {
    let house = House::opens();
    for dialect in BOTH {
        let answer = house.answered(dialect, true, Script::unary(200, answer(dialect)));
        refused(dialect, &answer, 502, "upstream_error");
        house.booked().ends("broken", &[]).costs(10, 20);
    }
}

#[test]
fn a_stream_in_answer_to_a_request_for_none_is_502() {
    let house = House::opens();
    for dialect in BOTH {
        let answer = house.answered(dialect, false, Script::stream(dialect.stream(3)));
        refused(dialect, &answer, 502, "upstream_error");
        house.booked();
    }
}

#[test]
fn an_answer_over_the_limit_is_502() {
    let house = House::limited("answer_mb = 1");
    for dialect in BOTH {
        let long = answer(dialect).replace("word ", &"w".repeat(100_000));
        for script in [
            Script::unary(200, &long),
            Script::unary(200, &long).chunked(),
        ] {
            refused(
                dialect,
                &house.answered(dialect, false, script),
                502,
                "upstream_error",
            );
            house.booked().ends("broken", &["estimated"]);
        }
    }
}

#[test]
fn an_answer_without_usage_is_estimated_and_one_that_lies_is_booked_at_its_ceiling() {
    let house = House::opens();
    for dialect in BOTH {
        let without = answer(dialect).replace("\"usage\":", "\"usage_was\":");
        let reply = house.answered(dialect, false, Script::unary(200, &without));
        assert_eq!(reply.assert_status(200).text(), without);
        let booked = house.booked();
        booked.ends("ok", &["estimated"]).is_about(10, 20);
        assert_eq!(reply.cost(), booked.cost());
        for lie in ["-5", "9223372036854775808", "null", "\"7\"", "1.5"] {
            let lying = answer(dialect).replace("_tokens\":20", &format!("_tokens\":{lie}"));
            assert_ne!(lying, answer(dialect));
            house
                .answered(dialect, false, Script::unary(200, &lying))
                .assert_status(200);
            let booked = house.booked();
            booked.ends("ok", &["lying_usage"]);
            assert_eq!(booked.0["cost_usd"], booked.0["ceiling_usd"]);
        }
    }
}

#[test]
fn a_whole_answer_that_outlasts_its_deadline_is_504_though_it_trickles() {
    let house = House::limited("call_timeout_s = 1");
    for (hang_ups, dialect) in (1..).zip(BOTH) {
        let crumbs: Vec<Vec<u8>> = answer(dialect)
            .into_bytes()
            .chunks(2)
            .map(<[u8]>::to_vec)
            .collect();
        let script = Script::stream(crumbs)
            .header("content-type", "application/json")
            .pause_ms_between(50);
        let message = refused(
            dialect,
            &house.answered(dialect, false, script),
            504,
            "upstream_timeout",
        );
        assert!(message.contains("incomplete after 1000 ms"), "{message}");
        house.upstream.wait_for_disconnects(hang_ups);
        let booked = house.booked();
        let came = booked.ends("broken", &["estimated"]).output();
        assert!(
            (1..=(answer(dialect).len() as u64).div_ceil(3)).contains(&came),
            "{}",
            booked.0
        );
    }
}
