//! Ends of calls that are easily booked wrong: failures that tell a usage, refusals that nobody waits for, answers that begin late.

use serde_json::json;

use super::house::{BOTH, Chat, Dialect, House, Messages, is_error, refused};
use crate::harness::client::{BodyEnd, SseEvent};
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
        house.answered(
            dialect,
            false,
            Script::json(200, &dialect.refusal("server_error", "it went dark")),
        );
        house.booked().ends("upstream_error", &[]).costs(0, 0);
    }
    for (client, vendor) in [(Chat, Messages), (Messages, Chat)] {
        house
            .upstream
            .respond_with(Script::unary(200, failed(vendor)));
        let mut body = client.body();
        body["model"] = json!(vendor.model());
        house.user().post(client.path(), &body);
        house.booked().ends("upstream_error", &[]).costs(10, 20);
    }
}

#[test]
fn a_response_that_failed_is_billed_as_it_says() {
    let upstream = Upstream::start();
    let provider = Provider::openai("v", &upstream)
        .preset("openai")
        .models(&["m"]);
    let house = House::before(upstream, |setup| setup.provider(&provider));
    let body = json!({"id": "resp_a", "object": "response", "status": "failed", "output": [],
        "error": {"code": "server_error", "message": "it went dark"}, "usage": {"input_tokens": 10, "output_tokens": 20}});
    let event = format!(
        "event: response.failed\ndata: {}\n\n",
        json!({"type": "response.failed", "response": body})
    );
    for (streamed, script) in [
        (false, Script::json(200, &body)),
        (true, Script::stream([event])),
    ] {
        house.upstream.respond_with(script);
        house.user().post(
            "/v1/responses",
            &json!({"model": "m", "input": "say it", "stream": streamed}),
        );
        house.booked().ends("upstream_error", &[]).costs(10, 20);
    }
}

/// A refusal whose reason never comes.
fn hangs(dialect: Dialect) -> Script {
    Script::json(400, &dialect.refusal("invalid_request_error", "no"))
        .truncated_after(5)
        .then_hangs()
}

#[test]
fn a_refusal_costs_nothing_though_its_client_leaves_before_its_reason() {
    let house = House::opens();
    for dialect in BOTH {
        house.upstream.respond_with(hangs(dialect));
        let before = house.upstream.request_count();
        let mut connection = house.user().connect();
        connection.send_request(
            "POST",
            dialect.path(),
            Some(dialect.body().to_string().as_bytes()),
        );
        house.upstream.wait_for_requests(before + 1);
        std::thread::sleep(std::time::Duration::from_millis(300));
        connection.disconnect();
        let booked = house.booked();
        assert_eq!(booked.0["upstream_status"], 400, "{}", booked.0);
        booked.ends("client_gone", &[]).costs(0, 0);
    }
}

#[test]
fn a_drained_call_whose_client_left_is_client_gone_however_it_ended() {
    let drains = |provider: Provider| provider.line("on_disconnect = \"drain\"");
    let house = House::calling(Upstream::start(), drains, |setup| {
        setup.setting("[limits]\nhead_timeout_s = 1")
    });
    for dialect in BOTH {
        let refusal =
            Script::json(400, &dialect.refusal("invalid_request_error", "no")).delay_ms(400);
        for (script, flags) in [(refusal, &[][..]), (Script::hangs(), &["estimated"][..])] {
            house.upstream.respond_with(script);
            let before = house.upstream.request_count();
            let mut connection = house.user().connect();
            connection.send_request(
                "POST",
                dialect.path(),
                Some(dialect.body().to_string().as_bytes()),
            );
            house.upstream.wait_for_requests(before + 1);
            connection.disconnect();
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
        let script = Script::stream(dialect.stream(1_000))
            .pause_ms_between(20)
            .delay_ms(1_500);
        let (events, _) = house.events(dialect, script);
        assert!(
            began.elapsed().as_millis() < 3_200,
            "{:?} and {} events",
            began.elapsed(),
            events.len()
        );
        house.booked().ends("broken", &["estimated"]);
    }
}

#[test]
fn the_first_content_is_told_when_it_came_and_not_where_none_did() {
    let house = House::opens();
    for dialect in BOTH {
        let [before, content, after] = dialect.events(2);
        house.events(
            dialect,
            Script::stream([before.clone(), after.clone()].concat()),
        );
        assert!(house.booked().0["first_content_ms"].is_null());
        // nothing is kept back for longer than 2 s, and content comes later
        let events = Script::stream(
            [
                vec![before.concat()],
                vec![[content, after].concat().concat()],
            ]
            .concat(),
        );
        house.events(dialect, events.pause_ms_between(3_000));
        let first_ms = house.booked().0["first_content_ms"]
            .as_u64()
            .expect("content came");
        assert!(first_ms >= 2_900, "{first_ms}");
    }
}

#[test]
fn a_refusal_that_is_too_long_is_not_told_as_an_empty_one() {
    let house = House::opens();
    for dialect in BOTH {
        let script = Script::json(
            400,
            &dialect.refusal("invalid_request_error", &"x".repeat(300_000)),
        );
        let message = refused(
            dialect,
            &house.answered(dialect, false, script),
            400,
            "invalid_request_error",
        );
        assert!(message.contains("too long"), "{message}");
        house.booked().ends("upstream_error", &[]).costs(0, 0);
    }
}

#[test]
fn the_cost_of_a_translated_stream_stands_just_before_its_end() {
    let house = House::opens();
    for (client, vendor) in [(Chat, Messages), (Messages, Chat)] {
        house
            .upstream
            .respond_with(Script::stream(vendor.stream(3)));
        let mut body = client.streamed();
        body["model"] = json!(vendor.model());
        let text = house.user().post(client.path(), &body).text();
        let events: Vec<&str> = text.trim_end().split("\n\n").collect();
        let [.., comment, end] = &events[..] else {
            panic!("{text}")
        };
        assert!(comment.starts_with(": x-gatekeeper-cost-usd "), "{text}");
        assert!(
            end.contains("[DONE]") || end.contains("message_stop"),
            "{text}"
        );
        house.booked();
    }
}

/// Asks for a stream in the client's dialect of a vendor that speaks chat.
fn asks_a_chat_vendor(house: &House, client: Dialect, script: Script) -> (Vec<SseEvent>, BodyEnd) {
    house.upstream.respond_with(script);
    let mut body = client.streamed();
    body["model"] = json!(Chat.model());
    let stream = house.user().open_stream(client.path(), &body);
    assert_eq!(stream.status(), 200);
    stream.read_events()
}

#[test]
fn a_choice_that_ended_with_error_is_a_failed_answer_whole_as_in_a_stream() {
    let house = House::opens();
    let body = json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "m-small",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "so"}, "finish_reason": "error"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20}});
    for client in BOTH {
        house.upstream.respond_with(Script::json(200, &body));
        let mut asking = client.body();
        asking["model"] = json!(Chat.model());
        let answer = house.user().post(client.path(), &asking);
        let message = refused(client, &answer, 502, "upstream_error");
        assert!(message.contains("finish reason `error`"), "{message}");
        house.booked().ends("upstream_error", &[]).costs(10, 20);
    }
}

#[test]
fn a_translated_answer_without_any_choice_is_none() {
    let house = House::opens();
    for body in [
        "{}",
        r#"{"choices":[]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":20}}"#,
    ] {
        house.upstream.respond_with(Script::unary(200, body));
        let mut asking = Messages.body();
        asking["model"] = json!(Chat.model());
        refused(
            Messages,
            &house.user().post(Messages.path(), &asking),
            502,
            "upstream_error",
        );
        let (flags, booked) = (
            if body.contains("usage") {
                &[][..]
            } else {
                &["estimated"]
            },
            house.booked(),
        );
        booked.ends("broken", flags);
        assert_eq!(
            booked.output(),
            if flags.is_empty() { 20 } else { 0 },
            "{}",
            booked.0
        );
    }
    house.upstream.respond_with(Script::unary(200, "{}"));
    let mut asking = Chat.body();
    asking["model"] = json!(Messages.model());
    refused(
        Chat,
        &house.user().post(Chat.path(), &asking),
        502,
        "upstream_error",
    );
    house.booked().ends("broken", &["estimated"]);
}

/// Streams of chat that end with `[DONE]` and never told why: with text, and in the middle of a call.
fn unfinished() -> [Vec<String>; 2] {
    let call = json!({"choices": [{"index": 0, "delta": {"tool_calls":
        [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a"}}]}}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 3}});
    let done = "data: [DONE]\n\n".to_owned();
    let [before, content, _] = Chat.events(3);
    let call = vec![
        format!("data: {call}\n\n"),
        format!("data: {usage}\n\n"),
        done.clone(),
    ];
    [
        [before.clone(), content, vec![done]].concat(),
        [before, call].concat(),
    ]
}

#[test]
fn a_translated_stream_that_never_said_why_it_ended_is_truncated() {
    let house = House::opens();
    // the pauses let the content through before the end is seen; one upstream never ends its body
    for script in unfinished().map(|events| Script::stream(events).pause_ms_between(20)) {
        for script in [script.clone(), script.then_hangs()] {
            let (events, end) = asks_a_chat_vendor(&house, Messages, script.clone());
            assert!(
                !events
                    .iter()
                    .any(|event| Messages.is_terminal(event) || event.name == "message_delta"),
                "{events:?}"
            );
            is_error(
                Messages,
                &events.last().expect("an error").json(),
                "upstream_error",
            );
            assert_eq!(end, BodyEnd::Clean);
            house.booked().ends("truncated", &["estimated"]);

            house.upstream.respond_with(script);
            let answer = house.user().post(
                "/v1/responses",
                &json!({"model": Chat.model(), "input": "say it", "stream": true}),
            );
            let text = answer.assert_status(200).text();
            assert!(
                text.contains("response.failed") && !text.contains("response.completed"),
                "{text}"
            );
            house.booked().ends("truncated", &["estimated"]);
        }
    }
    house
        .upstream
        .respond_with(Script::stream(["data: [DONE]\n\n"]));
    let mut asking = Messages.streamed();
    asking["model"] = json!(Chat.model());
    let message = refused(
        Messages,
        &house.user().post(Messages.path(), &asking),
        502,
        "upstream_error",
    );
    assert!(message.contains("broke off"), "{message}");
    house.booked().ends("truncated", &["estimated"]);
    // who speaks the same dialect gets what the upstream said
    for events in unfinished() {
        let (told, _) = asks_a_chat_vendor(&house, Chat, Script::stream(events));
        assert_eq!(told.last().map(|event| event.data.as_str()), Some("[DONE]"));
        house.booked().ends("ok", &["estimated"]);
    }
}

#[test]
fn a_usage_that_follows_a_fault_is_booked_and_the_client_sees_the_fault() {
    let house = House::opens();
    let error = json!({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
        "error": {"message": "it went dark", "code": 502}});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 20}});
    let tail = vec![
        format!("data: {error}\n\n"),
        format!("data: {usage}\n\n"),
        "data: [DONE]\n\n".to_owned(),
    ];
    let [before, content, _] = Chat.events(3);
    for client in BOTH {
        for pause_ms in [0, 30] {
            let script = |begun: &[Vec<String>]| {
                Script::stream([begun.concat(), tail.clone()].concat()).pause_ms_between(pause_ms)
            };
            house
                .upstream
                .respond_with(script(std::slice::from_ref(&before)));
            let mut asking = client.streamed();
            asking["model"] = json!(Chat.model());
            refused(
                client,
                &house.user().post(client.path(), &asking),
                502,
                "upstream_error",
            );
            house.booked().ends("upstream_error", &[]).costs(10, 20);
            if pause_ms == 0 {
                continue;
            }
            let (events, end) =
                asks_a_chat_vendor(&house, client, script(&[before.clone(), content.clone()]));
            let last = events.last().expect("an error").json();
            is_error(client, &last, "upstream_error");
            assert!(last.to_string().contains("it went dark"), "{last}");
            assert_eq!(
                (events.iter().filter_map(SseEvent::delta).count(), end),
                (3, BodyEnd::Clean),
                "{events:?}"
            );
            house.booked().ends("broken", &[]).costs(10, 20);
        }
    }
}

#[test]
fn an_upstream_that_is_silent_after_its_fault_does_not_keep_the_client() {
    let house = House::opens();
    for dialect in BOTH {
        let [before, content, _] = dialect.events(3);
        let error = vec![dialect.error_event("server_error", "it went dark")];
        let began = std::time::Instant::now();
        let script = Script::stream([before, content, error].concat());
        house.events(dialect, script.then_hangs());
        assert!(began.elapsed().as_millis() < 3_000, "{:?}", began.elapsed());
        house
            .booked()
            .ends("broken", &["estimated"])
            .is_about(10, 3);
    }
}

/// What an Anthropic that says this at the beginning is booked at, when its client leaves after 30 deltas.
fn left_by_its_client(usage: serde_json::Value) -> super::house::Booked {
    let upstream = Upstream::start();
    let provider = Provider::anthropic("v", &upstream)
        .preset("anthropic")
        .models(&["claude"]);
    let house = House::before(upstream, |setup| setup.provider(&provider));
    let [before, content, _] = Messages.events(40);
    let start = json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
        "model": "claude", "content": [], "usage": usage}});
    let begun = vec![
        format!("event: message_start\ndata: {start}\n\n"),
        before[1].clone(),
    ];
    house
        .upstream
        .respond_with(Script::stream([begun, content].concat()).then_hangs());
    let mut asking = Messages.streamed();
    asking["model"] = json!("claude");
    let mut stream = house.user().open_stream(Messages.path(), &asking);
    stream.read_deltas(30);
    stream.disconnect();
    house.booked()
}

#[test]
fn the_beginning_of_an_output_is_no_bound_where_the_input_was_not_said() {
    let booked = left_by_its_client(json!({"output_tokens": 1}));
    booked.ends("client_gone", &["estimated"]).is_about(10, 30);
}

#[test]
fn an_input_of_zero_at_the_beginning_of_an_answer_that_never_came_whole_is_estimated() {
    let booked = left_by_its_client(json!({"input_tokens": 0, "output_tokens": 1}));
    booked.ends("client_gone", &["estimated"]).is_about(10, 30);
}
