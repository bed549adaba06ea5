//! Mirrored requests: copies in the background for keys that may call the target, at the cost of the key that the route names.

use serde_json::{Value, json};

use super::fixture::chat;
use crate::harness::client::HttpClient;
use crate::harness::gate::Gate;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider};
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

struct Fixture {
    gateway: InProcessGateway,
    /// serves
    a: Upstream,
    /// gets the copies
    b: Upstream,
    caller: Key,
    payer: Key,
}

/// Gateway whose route mirrors this share; the payer's budget is the first one of the instance that the route names.
fn start(share: &str, payer_usd: &str) -> Fixture {
    start_with(share, payer_usd, |provider| provider)
}

/// The same with a change of the provider that gets the copies.
fn start_with(share: &str, payer_usd: &str, edit: impl FnOnce(Provider) -> Provider) -> Fixture {
    let (a, b) = (Upstream::start(), Upstream::start());
    // ids are given in turn: organization, administrative key, team, key, budget
    let route = format!(
        "[routes.smart]\ntargets = [\"a/m-small\"]\n\
         mirror = {{ target = \"b/m-small\", share = {share}, budget = \"{BUDGET}\" }}\n"
    );
    let setup = Gatekeeper::without_providers()
        .provider(&Provider::openai("a", &a))
        .provider(&edit(Provider::openai("b", &b).models(&["m-small"])))
        .setting(&route);
    let mut gateway = setup.start_in_process();
    let shadow = gateway.team(&json!({"name": "shadow"}));
    let payer =
        gateway.key(&json!({"name": "mirror", "team": shadow.id, "budget_limit": payer_usd}));
    let budget = gateway
        .admin()
        .get(&format!("/v1/keys/{}", payer.id))
        .json()["budgets"][0]["id"]
        .clone();
    assert_eq!(budget, BUDGET, "the number in the configuration");
    let team = gateway.team_with_budget("eng", "10");
    let caller = gateway.key_of(&team);
    Fixture {
        gateway,
        a,
        b,
        caller,
        payer,
    }
}

const BUDGET: &str = "bud_5";

impl Fixture {
    fn user(&self) -> HttpClient {
        self.gateway.user(&self.caller)
    }

    fn call(&self, user: &HttpClient, streamed: bool) {
        user.post("/v1/chat/completions", &chat("smart", streamed))
            .assert_status(200);
    }

    fn mirrored(&self) -> Vec<Value> {
        let list = self.gateway.admin().get("/v1/requests?flag=mirror");
        list.assert_status(200).json()["data"]
            .as_array()
            .cloned()
            .expect("a list")
    }

    fn dropped(&self, reason: &str) -> bool {
        let metrics = self.gateway.admin().get("/metrics").text();
        metrics.contains(&format!("gatekeeper_mirror_dropped_total{{reason={reason}"))
    }
}

#[test]
fn mirror_sends_a_copy_that_the_named_budget_pays() {
    let fixture = start("1", "1");
    for streamed in [false, true] {
        fixture.call(&fixture.user(), streamed);
    }
    wait_until("both copies are booked", || fixture.mirrored().len() == 2);
    assert_eq!(
        (fixture.a.request_count(), fixture.b.request_count()),
        (2, 2)
    );
    let (sent, copied) = (
        fixture.a.last_request().json(),
        fixture.b.last_request().json(),
    );
    assert_eq!(sent["messages"], copied["messages"]);
    for row in fixture.mirrored() {
        assert_eq!(
            (&row["key"], &row["provider"], &row["status"]),
            (&json!(fixture.payer.id), &json!("b"), &json!("ok"))
        );
    }
    let of_caller = fixture
        .gateway
        .admin()
        .get(&format!("/v1/requests?key={}", fixture.caller.id));
    assert_eq!(of_caller.json()["data"].as_array().map(Vec::len), Some(2));
    let metrics = fixture.gateway.admin().get("/metrics").text();
    for expected in [
        "gatekeeper_mirror_ok_total{deployment=\"b/m-small\"} 2",
        "gatekeeper_mirror_cost_usd_total",
        "gatekeeper_mirror_ms_total",
    ] {
        assert!(metrics.contains(expected), "{expected}");
    }
    // the team's budget counts its own two calls alone: `Drop` compares
}

#[test]
fn mirror_is_left_out_for_the_header_and_for_keys_that_may_not_call_the_target() {
    let fixture = start("1", "1");
    fixture.call(&fixture.user().with("x-gatekeeper-mirror", "off"), false);
    let team = fixture.gateway.admin().get("/v1/teams").json()["data"][1]["id"].clone();
    let restricted = fixture
        .gateway
        .key(&json!({"name": "only-a", "team": team, "models": ["a/m-small"]}));
    fixture.call(&fixture.gateway.user(&restricted), false);
    // a key that the route's name grants may not call the target by its own name
    let by_route = fixture
        .gateway
        .key(&json!({"name": "by-route", "team": team, "models": ["smart"]}));
    fixture.call(&fixture.gateway.user(&by_route), false);
    fixture.call(&fixture.user(), false);
    wait_until("the one copy is booked", || fixture.mirrored().len() == 1);
    assert_eq!(
        (fixture.a.request_count(), fixture.b.request_count()),
        (4, 1)
    );
}

#[test]
fn mirror_without_room_in_its_budget_is_dropped_and_counted() {
    let fixture = start("1", "0.00000001");
    fixture.call(&fixture.user(), false);
    wait_until("the copy is dropped", || {
        fixture.dropped("\"budget_exceeded\"} 1\n")
    });
    assert_eq!(
        (fixture.b.request_count(), fixture.mirrored().len()),
        (0, 0)
    );
    let path = format!("/v1/keys/{}", fixture.payer.id);
    fixture
        .gateway
        .admin()
        .patch(&path, &json!({"disabled": true}))
        .assert_status(200);
    fixture.call(&fixture.user(), false);
    wait_until("no payer", || fixture.dropped("\"no_payer\"} 1\n"));
}

#[test]
fn mirror_has_at_most_16_copies_in_flight() {
    let fixture = start("1", "100");
    let gate = Gate::default();
    fixture
        .b
        .respond_with(model::with_usage(10, 5).held_by(&gate));
    for _ in 0..20 {
        fixture.call(&fixture.user(), false);
    }
    fixture.b.wait_for_requests(16);
    assert!(fixture.dropped("\"busy\"} 4\n"));
    gate.open();
    wait_until("all copies are booked", || fixture.mirrored().len() == 16);
    assert_eq!(fixture.b.in_flight_max(), 16);
}

#[test]
fn mirror_spreads_its_copies_over_the_api_keys_of_the_target() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, secret) in [
        ("first", "sk-first-canary-1111"),
        ("second", "sk-second-canary-2222"),
    ] {
        std::fs::write(folder.path().join(name), secret).expect("a key file");
    }
    let path = folder.path().to_string_lossy().into_owned();
    let keys = format!(
        "api_keys = [{{ key = \"file:{path}/first\", weight = 3 }}, \"file:{path}/second\"]"
    );
    let fixture = start_with("1", "100", |provider| {
        provider.without_credential().line(&keys)
    });
    for _ in 0..80 {
        fixture.call(&fixture.user(), false);
    }
    wait_until("nothing is in flight", || fixture.gateway.holds_open() == 0);
    fixture.b.wait_until_idle();
    let requests = fixture.b.requests();
    let with_second = requests
        .iter()
        .filter(|request| request.header("authorization") == Some("Bearer sk-second-canary-2222"));
    // of 80 copies 20 are expected, with a standard deviation of 4
    let (count, all) = (with_second.count(), requests.len());
    assert!(
        all >= 40 && count > 0 && count * 2 < all,
        "{count} of {all}"
    );
}

#[test]
fn mirror_has_its_latency_and_cost_in_the_health_of_the_route() {
    let fixture = start("1", "1");
    fixture.b.respond_with(model::with_usage(10, 20));
    let health = || {
        let health = fixture.gateway.admin().get("/v1/routes/smart/health");
        health.assert_status(200).json()["mirror"].clone()
    };
    let figures = health();
    assert_eq!(
        (&figures["target"], &figures["share"], &figures["budget"]),
        (&json!("b/m-small"), &json!(1.0), &json!(BUDGET))
    );
    assert_eq!(
        (&figures["ok"], &figures["total_ms"]),
        (&json!(0), &Value::Null)
    );
    for streamed in [false, true] {
        fixture.call(&fixture.user(), streamed);
    }
    wait_until("both copies are counted", || health()["ok"] == 2);
    let figures = health();
    assert_eq!(figures["deployment"], "b/m-small");
    assert_eq!(
        (&figures["failed"], &figures["cost_usd"]),
        (&json!(0), &json!("0.00022"))
    );
    assert!(figures["total_ms"].is_u64() && figures["first_content_ms"].is_u64());
    let route = fixture.gateway.admin().get("/v1/routes/smart").json();
    assert_eq!(route["mirror"]["target"], "b/m-small");
}

#[test]
fn mirror_takes_about_its_share() {
    let fixture = start("0.25", "100");
    for _ in 0..200 {
        fixture.call(&fixture.user(), false);
    }
    wait_until("nothing is in flight", || fixture.gateway.holds_open() == 0);
    fixture.b.wait_until_idle();
    // 50 are expected, with a standard deviation of 6
    let copies = fixture.b.request_count();
    assert!((20..=80).contains(&copies), "{copies}");
}
