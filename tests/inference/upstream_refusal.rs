//! Upstreams that say no. What the client can mend is passed on as it came; what only we can mend never looks like the
//! client's fault. A refusal costs nothing and leaves a record.

use super::house::{BOTH, Booked, Chat, Dialect, House, Messages, refused};
use crate::harness::client::Response;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

/// In both dialects, whole and streamed: sets the script, asks, and shows the answer and its record.
fn each(script: impl Fn(Dialect) -> Script, check: impl Fn(Dialect, &Response, &Booked)) {
    let house = House::opens();
    for dialect in BOTH {
        for streamed in [false, true] {
            let answer = house.answered(dialect, streamed, script(dialect));
            let booked = house.booked();
            booked.ends("upstream_error", &[]).costs(0, 0);
            check(dialect, &answer, &booked);
        }
    }
}

fn refuses(status: u16, kind: &'static str, message: &'static str) -> impl Fn(Dialect) -> Script {
    move |dialect| {
        Script::json(status, &dialect.refusal(kind, message)).header("request-id", "req_up_1")
    }
}

#[test]
fn x04_a_refusal_that_is_the_clients_to_mend_is_passed_on_as_it_came() {
    for (status, kind) in [
        (400, "context_length_exceeded"),
        (413, "request_too_large"),
        (422, "unprocessable"),
    ] {
        each(
            refuses(status, kind, "the prompt is too long"),
            |dialect, answer, booked| {
                let said = dialect.refusal(kind, "the prompt is too long").to_string();
                assert_eq!(answer.assert_status(status).text(), said);
                assert_eq!(answer.header("content-type"), Some("application/json"));
                assert_eq!(answer.header("request-id"), Some("req_up_1"));
                assert_eq!(
                    answer.header("x-gatekeeper-request-id"),
                    booked.0["id"].as_str()
                );
                assert_eq!(booked.0["upstream_status"], status);
            },
        );
    }
}

#[test]
fn a_429_is_passed_on_with_its_retry_after() {
    let limited = |dialect: Dialect| {
        let script = Script::json(429, &dialect.refusal("rate_limit_error", "slow down"))
            .header("retry-after", "7");
        script
            .header("x-ratelimit-remaining-requests", "0")
            .header("anthropic-ratelimit-requests-remaining", "0")
    };
    each(limited, |dialect, answer, _| {
        assert_eq!(
            answer.assert_status(429).text(),
            dialect.refusal("rate_limit_error", "slow down").to_string()
        );
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("0"));
        assert_eq!(
            answer.header("anthropic-ratelimit-requests-remaining"),
            Some("0")
        );
    });
}

#[test]
fn a_429_that_is_no_json_is_told_in_the_dialect() {
    for page in [
        "slow down",
        "<html><body>slow down</body></html>",
        "",
        "[1]",
    ] {
        each(
            |_| Script::unary(429, page),
            |dialect, answer, _| drop(refused(dialect, answer, 429, "rate_limit_exceeded")),
        );
    }
}

#[test]
fn x13_our_own_credential_being_refused_is_never_a_401() {
    for status in [401, 402, 403] {
        each(
            refuses(status, "authentication_error", "invalid x-api-key sk-up"),
            |dialect, answer, booked| {
                let message = refused(dialect, answer, 502, "upstream_error");
                assert!(
                    message.contains("credential") && !message.contains("sk-up"),
                    "{message}"
                );
                assert_eq!(booked.0["upstream_status"], status);
            },
        );
    }
}

#[test]
fn a_model_that_the_upstream_does_not_know_is_our_fault() {
    each(
        refuses(404, "not_found_error", "model: c-small"),
        |dialect, answer, _| {
            let message = refused(dialect, answer, 502, "upstream_error");
            assert!(message.contains(dialect.model()), "{message}");
        },
    );
}

#[test]
fn an_upstreams_own_failure_is_502() {
    for status in [500, 502] {
        each(
            refuses(status, "server_error", "something broke"),
            |dialect, answer, _| {
                let message = refused(dialect, answer, 502, "upstream_error");
                assert!(
                    message.contains("something broke") && message.contains(&status.to_string()),
                    "{message}"
                );
            },
        );
    }
}

#[test]
fn x01_an_overloaded_upstream_is_503_and_its_retry_after_is_kept() {
    for status in [503, 529] {
        each(
            move |dialect| {
                refuses(status, "overloaded_error", "Overloaded")(dialect)
                    .header("retry-after", "30")
            },
            |dialect, answer, _| {
                refused(dialect, answer, 503, "overloaded");
                assert_eq!(answer.header("retry-after"), Some("30"));
            },
        );
    }
}

#[test]
fn an_upstreams_timeout_is_504() {
    each(refuses(504, "timeout", "too slow"), |dialect, answer, _| {
        drop(refused(dialect, answer, 504, "upstream_timeout"))
    });
}

#[test]
fn x12_the_html_page_of_a_proxy_is_not_handed_on() {
    let page = "<html><head><title>502 Bad Gateway</title></head><body><center>nginx-secret-host</center></body></html>";
    each(
        |_| Script::unary(502, page).header("content-type", "text/html"),
        |dialect, answer, _| {
            let message = refused(dialect, answer, 502, "upstream_error");
            assert!(
                !message.contains("nginx") && !message.contains('<'),
                "{message}"
            );
        },
    );
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Upstream::start();
    for status in [301, 302, 307, 308] {
        let location = format!("{}/v1/chat/completions", elsewhere.url());
        each(
            move |_| Script::unary(status, "").header("location", &location),
            |dialect, answer, _| {
                refused(dialect, answer, 502, "upstream_error");
                assert_eq!(answer.header("location"), None);
            },
        );
    }
    assert_eq!(elsewhere.request_count(), 0);
}

#[test]
fn a_connection_that_is_refused_is_502_and_costs_nothing() {
    let house = House::before(Upstream::refusing(), |setup| setup);
    for dialect in BOTH {
        for streamed in [false, true] {
            let message = refused(
                dialect,
                &house.asks(dialect, streamed),
                502,
                "upstream_error",
            );
            assert!(
                !message.contains("127.0.0.1"),
                "an address is shown: {message}"
            );
            let booked = house.booked();
            booked.ends("upstream_error", &[]).costs(0, 0);
            assert!(booked.0["upstream_status"].is_null());
        }
    }
}

#[test]
fn an_error_with_a_good_status_is_no_answer() {
    let house = House::opens();
    for dialect in BOTH {
        for streamed in [false, true] {
            let script = Script::json(200, &dialect.refusal("server_error", "lost it"));
            let message = refused(
                dialect,
                &house.answered(dialect, streamed, script),
                502,
                "upstream_error",
            );
            assert!(message.contains("lost it"), "{message}");
            house.booked().ends("upstream_error", &[]).costs(0, 0);
        }
    }
}

#[test]
fn the_connection_to_the_client_survives_an_upstreams_refusal() {
    let house = House::opens();
    house.upstream.respond_with(Script::in_turn([
        Script::json(500, &Chat.refusal("server_error", "no")),
        Script::json(400, &Messages.refusal("invalid_request_error", "no")),
        crate::harness::model::with_usage(10, 20),
    ]));
    let mut connection = house.user().connect();
    refused(Chat, &connection.chat(&Chat.body()), 502, "upstream_error");
    house.booked();
    connection.messages(&Messages.body()).assert_status(400);
    house.booked();
    connection.chat(&Chat.body()).assert_status(200);
    house.booked().ends("ok", &[]).costs(10, 20);
}
