//! Panics during a call, at any clock read: the hold is settled, the slot is free, and the upstream's usage is recorded.

use serde_json::json;

use super::fixture::BOTH;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider};
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

/// Upper bound of the clock reads of one call.
const INSTANTS_MAX: i64 = 40;

fn fixture(upstream: &Upstream) -> (InProcessGateway, Key) {
    let setup = Gatekeeper::with_upstream(upstream)
        .provider(&Provider::anthropic("claude", upstream))
        .ledger("segment_mb = 1");
    let mut gateway = setup.start_in_process();
    let team = gateway
        .team(&json!({"name": "eng", "max_parallel": 1, "rpm": 100_000, "budget_limit": "1"}));
    let key = gateway.key_of(&team);
    (gateway, key)
}

#[test]
fn panic_during_call_settles_hold_and_frees_slot() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let (gateway, key) = fixture(&upstream);
    for dialect in BOTH {
        for streamed in [false, true] {
            let mut body = dialect.body_for(streamed);
            body["model"] = json!(if dialect.path().ends_with("messages") {
                "c-small"
            } else {
                "m-small"
            });
            let mut panics = 0;
            for nth in 1..INSTANTS_MAX {
                let mut connection = gateway.user(&key).connect();
                gateway.clock_panic.panic_at(nth);
                connection.send_request("POST", dialect.path(), Some(body.to_string().as_bytes()));
                let response = connection.try_read_response("POST");
                let tripped = gateway.clock_panic.disarm();
                wait_until("no hold is open", || gateway.holds_open() == 0);
                if !tripped {
                    assert_eq!(response.expect("a response").status, 200);
                    break;
                }
                panics += 1;
            }
            assert!(
                (2..INSTANTS_MAX).contains(&panics),
                "{panics} panics of {dialect:?}, streamed: {streamed}"
            );
            upstream.wait_until_idle();
            wait_until("the upstream call is recorded", || {
                gateway.requests().len() == upstream.request_count()
            });
            let team = gateway.admin().get("/v1/teams").json()["data"][0].clone();
            assert_eq!(
                (&team["limits"][0]["running"], &team["budgets"][0]["held"]),
                (&json!(0), &json!("0"))
            );
            gateway
                .user(&key)
                .post(dialect.path(), &body)
                .assert_status(200);
        }
    }
}
