//! Endings of calls: status, flags and cost of failures that report usage, rejections, drained calls, translated streams
//! that stop early.

mod partial_usage;
mod translated;

use serde_json::json;

use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::inference::fixture::{BOTH, Chat, Dialect, Fixture, Messages, assert_refusal};

fn failed(dialect: Dialect) -> String {
    let mut body = dialect.rejection("server_error", "it went dark");
    body["usage"] = match dialect {
        Chat => json!({"prompt_tokens": 10, "completion_tokens": 20}),
        Messages => json!({"input_tokens": 10, "output_tokens": 20}),
    };
    body.to_string()
}

#[test]
fn failed_unary_with_usage_is_charged_as_reported() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for streamed in [false, true] {
            fixture.call_with(dialect, streamed, Script::unary(200, failed(dialect)));
            fixture
                .assert_recorded()
                .assert_ended("upstream_error", &[])
                .assert_usage(10, 20);
        }
        fixture.call_with(
            dialect,
            false,
            Script::json(200, &dialect.rejection("server_error", "it went dark")),
        );
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[])
            .assert_usage(0, 0);
    }
    for (client, vendor) in [(Chat, Messages), (Messages, Chat)] {
        fixture
            .upstream
            .respond_with(Script::unary(200, failed(vendor)));
        let mut body = client.body();
        body["model"] = json!(vendor.model());
        fixture.user().post(client.path(), &body);
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[])
            .assert_usage(10, 20);
    }
}

#[test]
fn failed_responses_object_with_usage_is_charged_as_reported() {
    let upstream = Upstream::start();
    let provider = Provider::openai("v", &upstream)
        .preset("openai")
        .models(&["m"]);
    let fixture = Fixture::with_upstream(upstream, |setup| setup.provider(&provider));
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
        fixture.upstream.respond_with(script);
        fixture.user().post(
            "/v1/responses",
            &json!({"model": "m", "input": "say it", "stream": streamed}),
        );
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[])
            .assert_usage(10, 20);
    }
}

/// Rejection whose body never arrives.
fn hangs(dialect: Dialect) -> Script {
    Script::json(400, &dialect.rejection("invalid_request_error", "no"))
        .truncated_after(5)
        .then_hangs()
}

#[test]
fn rejection_is_free_when_client_disconnects_before_its_body() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        fixture.upstream.respond_with(hangs(dialect));
        let before = fixture.upstream.request_count();
        let mut connection = fixture.user().connect();
        connection.send_request(
            "POST",
            dialect.path(),
            Some(dialect.body().to_string().as_bytes()),
        );
        fixture.upstream.wait_for_requests(before + 1);
        std::thread::sleep(std::time::Duration::from_millis(300));
        connection.disconnect();
        let record = fixture.assert_recorded();
        assert_eq!(record.0["upstream_status"], 400, "{}", record.0);
        record.assert_ended("client_gone", &[]).assert_usage(0, 0);
    }
}

#[test]
fn drained_call_status_is_client_gone_in_any_ending() {
    let drains = |provider: Provider| provider.line("on_disconnect = \"drain\"");
    let fixture = Fixture::with_providers(Upstream::start(), drains, |setup| {
        setup.setting("[limits]\nhead_timeout_s = 1")
    });
    for dialect in BOTH {
        let refusal =
            Script::json(400, &dialect.rejection("invalid_request_error", "no")).delay_ms(400);
        for (script, flags) in [(refusal, &[][..]), (Script::hangs(), &["estimated"][..])] {
            fixture.upstream.respond_with(script);
            let before = fixture.upstream.request_count();
            let mut connection = fixture.user().connect();
            connection.send_request(
                "POST",
                dialect.path(),
                Some(dialect.body().to_string().as_bytes()),
            );
            fixture.upstream.wait_for_requests(before + 1);
            connection.disconnect();
            let record = fixture.assert_recorded();
            record.assert_ended("client_gone", flags);
            assert_eq!(record.cost() == 0, flags.is_empty(), "{}", record.0);
        }
    }
}

#[test]
fn call_timeout_starts_at_send() {
    let fixture = Fixture::with_limits("call_timeout_s = 6");
    for dialect in BOTH {
        let script = Script::stream(dialect.stream(1_000))
            .pause_ms_between(20)
            .delay_ms(3_000);
        let (events, _) = fixture.stream_events(dialect, script);
        // one in 20 ms: at most 150 in the three seconds that the head leaves, 300 in six seconds
        assert!(events.len() < 200, "{} events", events.len());
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"]);
    }
}

#[test]
fn first_content_time_is_recorded_only_with_content() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let [before, content, after] = dialect.events(2);
        fixture.stream_events(
            dialect,
            Script::stream([before.clone(), after.clone()].concat()),
        );
        assert!(fixture.assert_recorded().0["first_content_ms"].is_null());
        // the stream is withheld for 2 s at most; content comes later
        let events = Script::stream(
            [
                vec![before.concat()],
                vec![[content, after].concat().concat()],
            ]
            .concat(),
        );
        fixture.stream_events(dialect, events.pause_ms_between(3_000));
        let first_ms = fixture.assert_recorded().0["first_content_ms"]
            .as_u64()
            .expect("content came");
        assert!(first_ms >= 2_900, "{first_ms}");
    }
}

#[test]
fn rejection_over_size_limit_is_not_reported_as_empty() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let script = Script::json(
            400,
            &dialect.rejection("invalid_request_error", &"x".repeat(300_000)),
        );
        let message = assert_refusal(
            dialect,
            &fixture.call_with(dialect, false, script),
            400,
            "invalid_request_error",
        );
        assert!(message.contains("too long"), "{message}");
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[])
            .assert_usage(0, 0);
    }
}

#[test]
fn silence_after_stream_error_does_not_delay_client() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let [before, content, _] = dialect.events(3);
        let error = vec![dialect.error_event("server_error", "it went dark")];
        let began = std::time::Instant::now();
        let script = Script::stream([before, content, error].concat());
        fixture.stream_events(dialect, script.then_hangs());
        assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"])
            .assert_usage_about(10, 3);
    }
}
