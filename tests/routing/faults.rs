//! Faults of the network between the gateway and a target, and budgets of the targets that take over.

use serde_json::{Value, json};

use super::fixture::{Fixture, chat, decisions, rejection};
use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Gatekeeper, Key, Provider};
use crate::harness::script::Script;
use crate::harness::tls::{self, Authority, ClientCertificate};
use crate::harness::upstream::Upstream;
use crate::harness::{model, pico};

/// A gateway whose route asks `faulty` first and `spare` next.
struct Faulty {
    gateway: InProcessGateway,
    key: Key,
}

impl Faulty {
    fn new(base_url: &str, spare: &Upstream) -> Faulty {
        let mut gateway = Gatekeeper::without_providers()
            .provider(&Provider::openai("faulty", spare).base_url(base_url))
            .provider(&Provider::openai("spare", spare))
            .setting(
                "[routes.smart]\nstrategy = \"ordered\"\nmax_retries = 0\nconnect_timeout_s = 10\nidle_timeout_s = 1\n\
                 targets = [\"faulty/m-small\", \"spare/m-small\"]\n",
            )
            .start_in_process();
        let team = gateway.team_with_budget("eng", "10");
        let key = gateway.key_of(&team);
        Faulty { gateway, key }
    }

    fn call(&self, streamed: bool) -> Response {
        let user = self.gateway.user(&self.key);
        user.post("/v1/chat/completions", &chat("smart", streamed))
    }

    /// The failed first attempt of a request that the spare target answered.
    fn first_attempt(&self, response: &Response) -> Value {
        response.assert_status(200);
        assert_eq!(response.header("x-gatekeeper-provider"), Some("spare"));
        let id = response.header("x-gatekeeper-request-id").expect("an id");
        let request = self.gateway.admin().get(&format!("/v1/requests/{id}"));
        let request = request.assert_status(200).json();
        let attempts = request["attempts"].as_array().expect("attempts");
        assert_eq!(decisions(attempts), ["next_target", "-"]);
        attempts[0].clone()
    }
}

fn detail(attempt: &Value) -> &str {
    attempt["upstream_error_detail"]
        .as_str()
        .unwrap_or_default()
}

#[test]
fn connection_reset_after_dispatch_or_in_the_body_is_booked_and_followed_by_another_target() {
    let (faulty, spare) = (Upstream::start(), Upstream::start());
    let fixture = Faulty::new(&format!("{}/v1", faulty.url()), &spare);
    for script in [
        Script::raw(b"").then_resets(),
        Script::raw(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{",
        )
        .then_resets(),
        Script::raw(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{",
        )
        .then_hangs(),
        Script::raw(b"not HTTP at all\r\n\r\n"),
    ] {
        faulty.respond_with(script);
        for streamed in [false, true] {
            let failed = fixture.first_attempt(&fixture.call(streamed));
            let class = failed["failure"]["class"].as_str().expect("a class");
            assert!(["broken", "timed_out"].contains(&class), "{failed}");
            assert_eq!(failed["flags"], json!(["estimated"]));
            assert!(pico(failed["cost_usd"].as_str().expect("a cost")) > 0);
            fixture.gateway.clock.advance_ms(61_000);
        }
    }
}

#[test]
fn name_without_an_address_costs_nothing_and_is_followed_by_another_target() {
    let spare = Upstream::start();
    let fixture = Faulty::new("https://gatekeeper-test.invalid/v1", &spare);
    let failed = fixture.first_attempt(&fixture.call(false));
    assert_eq!(failed["failure"]["class"], "connect_failed");
    assert_eq!(failed["cost_usd"], "0");
    assert!(detail(&failed).starts_with("dns: "), "{failed}");
}

#[test]
fn server_with_an_unknown_certificate_costs_nothing_and_is_followed_by_another_target() {
    let (folder, spare) = (tempfile::tempdir().expect("a folder"), Upstream::start());
    let authority = Authority::write(folder.path());
    let answer = tls::answer("application/json", b"{}");
    let server = authority.serve("localhost", ClientCertificate::NotAsked, answer);
    let address = server.address;
    let fixture = Faulty::new(&format!("https://localhost:{}/v1", address.port()), &spare);
    let failed = fixture.first_attempt(&fixture.call(true));
    assert_eq!(failed["failure"]["class"], "connect_failed");
    assert_eq!(failed["cost_usd"], "0");
    assert!(detail(&failed).starts_with("tls: "), "{failed}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn fallback_holds_its_own_budget_and_without_room_is_left_out() {
    let mut fixture = Fixture::new(
        "[routes.smart]\nmax_retries = 0\ntargets = [\"a/m-small\"]\nfallbacks = [\"b/m-big\"]\n",
    );
    fixture
        .a
        .respond_with(rejection(500, "server_error", "a broke"));
    // one call at 10 tokens in and 20 out costs $0.00011, and holds at most the ceiling of 50 tokens
    let team = fixture
        .gateway
        .team(&json!({"name": "small", "models": ["*"], "budgets": [
        {"limit": "10", "period": "total", "action": "block"},
        {"limit": "0.0006", "period": "total", "action": "block", "model": "b/*"}]}));
    let key = fixture.gateway.key_of(&team);
    let call = || {
        let user = fixture.gateway.user(&key);
        user.post("/v1/chat/completions", &chat("smart", false))
    };
    let answered = call();
    answered.assert_status(200);
    assert_eq!(answered.header("x-gatekeeper-provider"), Some("b"));
    let spent = fixture.gateway.admin().get("/v1/budgets").json();
    let of_fallback = spent["data"]
        .as_array()
        .expect("budgets")
        .iter()
        .find(|budget| budget["model"] == "b/*")
        .expect("the budget of the fallback")
        .clone();
    assert_eq!(of_fallback["spent"], "0.00011", "{of_fallback}");
    let mut answers = 1;
    while call().status == 200 {
        answers += 1;
        assert!(answers < 10, "the budget of the fallback holds nothing");
    }
    let refused = call();
    assert!(refused.assert_status(502).text().contains("a broke"));
    assert_eq!(fixture.counts()[1], answers);
    // the first target is not hindered
    fixture.a.respond_with(model::with_usage(10, 20));
    call().assert_status(200);
}
