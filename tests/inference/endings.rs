//! Ends of calls that are easily booked wrong: failures that tell a usage, refusals that nobody waits for, answers that begin late.

use serde_json::json;

use super::house::{BOTH, Chat, Dialect, House, Messages, refused};
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

fn failed(dialect: Dialect) -> String {
    let mut body = dialect.refusal("server_error", "it went dark");
    body["usage"] = match dialect {
        Chat => json!({"prompt_tokens": 10, "completion_tokens": 20}),
        Messages => json!({"input_tokens": 10, "output_tokens": 20}),
    };
    body.to_string()
}

#[test]
fn a_whole_answer_that_failed_is_billed_as_it_says() {
    let house = House::opens();
    for dialect in BOTH {
        for streamed in [false, true] {
            house.answered(dialect, streamed, Script::unary(200, failed(dialect)));
            house.booked().ends("upstream_error", &[]).costs(10, 20);
        }
        house.answered(dialect, false, Script::json(200, &dialect.refusal("server_error", "it went dark")));
        house.booked().ends("upstream_error", &[]).costs(0, 0);
    }
    for (client, vendor) in [(Chat, Messages), (Messages, Chat)] {
        house.upstream.answers(Script::unary(200, failed(vendor)));
        let mut body = client.body();
        body["model"] = json!(vendor.model());
        house.user().post(client.path(), &body);
        house.booked().ends("upstream_error", &[]).costs(10, 20);
    }
}

#[test]
fn a_response_that_failed_is_billed_as_it_says() {
    let upstream = Upstream::start();
    let provider = Provider::openai("v", &upstream).preset("openai").models(&["m"]);
    let house = House::before(upstream, |setup| setup.provider(&provider));
    let body = json!({"id": "resp_a", "object": "response", "status": "failed", "output": [],
        "error": {"code": "server_error", "message": "it went dark"}, "usage": {"input_tokens": 10, "output_tokens": 20}});
    let event = format!("event: response.failed\ndata: {}\n\n", json!({"type": "response.failed", "response": body}));
    for (streamed, script) in [(false, Script::json(200, &body)), (true, Script::stream([event]))] {
        house.upstream.answers(script);
        house.user().post("/v1/responses", &json!({"model": "m", "input": "say it", "stream": streamed}));
        house.booked().ends("upstream_error", &[]).costs(10, 20);
    }
}

/// A refusal whose reason never comes.
fn hangs(dialect: Dialect) -> Script {
    Script::json(400, &dialect.refusal("invalid_request_error", "no")).truncated_after(5).then_hangs()
}

#[test]
fn a_refusal_costs_nothing_though_its_client_leaves_before_its_reason() {
    let house = House::opens();
    for dialect in BOTH {
        house.upstream.answers(hangs(dialect));
        let before = house.upstream.request_count();
        let mut connection = house.user().connects();
        connection.sends_request("POST", dialect.path(), Some(dialect.body().to_string().as_bytes()));
        house.upstream.waits_for_requests(before + 1);
        std::thread::sleep(std::time::Duration::from_millis(300));
        connection.hangs_up();
        let booked = house.booked();
        assert_eq!(booked.0["upstream_status"], 400, "{}", booked.0);
        booked.ends("client_gone", &[]).costs(0, 0);
    }
}

#[test]
fn a_drained_call_whose_client_left_is_client_gone_however_it_ended() {
    let drains = |provider: Provider| provider.line("on_disconnect = \"drain\"");
    let house = House::calling(Upstream::start(), drains, |setup| setup.setting("[limits]\nhead_timeout_s = 1"));
    for dialect in BOTH {
        let refusal = Script::json(400, &dialect.refusal("invalid_request_error", "no")).delay_ms(400);
        for (script, flags) in [(refusal, &[][..]), (Script::hangs(), &["estimated"][..])] {
            house.upstream.answers(script);
            let before = house.upstream.request_count();
            let mut connection = house.user().connects();
            connection.sends_request("POST", dialect.path(), Some(dialect.body().to_string().as_bytes()));
            house.upstream.waits_for_requests(before + 1);
            connection.hangs_up();
            let booked = house.booked();
            booked.ends("client_gone", flags);
            assert_eq!(booked.cost() == 0, flags.is_empty(), "{}", booked.0);
        }
    }
}

#[test]
fn the_time_of_a_call_begins_when_it_is_sent() {
    let house = House::limited("call_timeout_s = 2");
    for dialect in BOTH {
        let began = std::time::Instant::now();
        let script = Script::stream(dialect.stream(1_000)).pause_ms_between(20).delay_ms(1_500);
        let (events, _) = house.events(dialect, script);
        assert!(began.elapsed().as_millis() < 3_200, "{:?} and {} events", began.elapsed(), events.len());
        house.booked().ends("broken", &["estimated"]);
    }
}

#[test]
fn the_first_content_is_told_when_it_came_and_not_where_none_did() {
    let house = House::opens();
    for dialect in BOTH {
        let [before, content, after] = dialect.events(2);
        house.events(dialect, Script::stream([before.clone(), after.clone()].concat()));
        assert!(house.booked().0["first_content_ms"].is_null());
        // nothing is kept back for longer than 2 s, and content comes later
        let events = Script::stream([vec![before.concat()], vec![[content, after].concat().concat()]].concat());
        house.events(dialect, events.pause_ms_between(3_000));
        let first_ms = house.booked().0["first_content_ms"].as_u64().expect("content came");
        assert!(first_ms >= 2_900, "{first_ms}");
    }
}

#[test]
fn a_refusal_that_is_too_long_is_not_told_as_an_empty_one() {
    let house = House::opens();
    for dialect in BOTH {
        let script = Script::json(400, &dialect.refusal("invalid_request_error", &"x".repeat(300_000)));
        let message = refused(dialect, &house.answered(dialect, false, script), 400, "invalid_request_error");
        assert!(message.contains("too long"), "{message}");
        house.booked().ends("upstream_error", &[]).costs(0, 0);
    }
}

#[test]
fn the_cost_of_a_translated_stream_stands_just_before_its_end() {
    let house = House::opens();
    for (client, vendor) in [(Chat, Messages), (Messages, Chat)] {
        house.upstream.answers(Script::stream(vendor.stream(3)));
        let mut body = client.streamed();
        body["model"] = json!(vendor.model());
        let text = house.user().post(client.path(), &body).text();
        let events: Vec<&str> = text.trim_end().split("\n\n").collect();
        let [.., comment, end] = &events[..] else { panic!("{text}") };
        assert!(comment.starts_with(": x-gatekeeper-cost-usd "), "{text}");
        assert!(end.contains("[DONE]") || end.contains("message_stop"), "{text}");
        house.booked();
    }
}
