//! Error bodies, error events and pings of the client dialects.

use super::*;
use crate::dialect::wire::sse::{Fields, parse};
use crate::dialect::{Dialect, cost_comment, error_body, ping};
use crate::domain::api_error::ErrorCode;

fn problem() -> ApiError {
    ApiError::new(ErrorCode::BudgetExceeded, "team \"eng\" has spent\nits $10").with_param("model")
}

fn error_event(dialect: Dialect, error: &ApiError, request_id: &str) -> Bytes {
    let client = dialect.client().expect("a client");
    client.tap(false).error_events(error, request_id)
}

#[test]
fn error_body_has_the_shape_of_its_dialect() {
    assert_eq!(
        error_body(Dialect::Chat, &problem(), "req_1"),
        r#"{"error":{"message":"team \"eng\" has spent\nits $10","type":"budget_exceeded","param":"model","code":"budget_exceeded"}}"#
    );
    assert_eq!(
        error_body(Dialect::Chat, &ApiError::invalid("m"), "req_1"),
        r#"{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#
    );
    assert_eq!(
        error_body(Dialect::Messages, &problem(), "req_1"),
        r#"{"type":"error","error":{"type":"billing_error","message":"team \"eng\" has spent\nits $10"},"request_id":"req_1"}"#
    );
}

#[test]
fn error_event_and_ping_are_complete_events() {
    for dialect in [Dialect::Chat, Dialect::Messages] {
        let event = error_event(dialect, &problem(), "req_1");
        let Fields {
            event: name, data, ..
        } = parse(&event);
        assert_eq!(
            String::from_utf8_lossy(&data),
            error_body(dialect, &problem(), "req_1")
        );
        assert_eq!(
            name,
            (dialect == Dialect::Messages).then_some(&b"error"[..])
        );
        assert!(event.ends_with(b"\n\n"));
    }
    assert_eq!(ping(Dialect::Chat), ": ping\n");
    assert_eq!(
        ping(Dialect::Messages),
        "event: ping\ndata: {\"type\": \"ping\"}\n\n"
    );
    assert_eq!(cost_comment("0.0012"), ": x-gatekeeper-cost-usd 0.0012\n");
}
