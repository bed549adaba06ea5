//! Routes and the health of their deployments as administrators see them: `/v1/routes`, metrics, alerts.

use serde_json::{Value, json};

use super::fixture::{Fixture, rejection};
use crate::harness::model;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const ROUTES: &str = "[routes.smart]\nstrategy = \"ordered\"\nmax_retries = 1\nhead_timeout_s = 30\ndefaults = { temperature = 0.5 }\n\
    targets = [{ model = \"a/m-small\", weight = 3, rpm = 100, head_timeout_s = 5 }, \"b/m-small\"]\nfallbacks = [\"c/c-small\"]\n\
    [routes.\"old/*\"]\ntargets = [\"b/*\"]\n";

#[test]
fn routes_are_listed_with_their_policies_and_found_by_name() {
    let fixture = Fixture::new(ROUTES);
    let admin = fixture.gateway.admin();
    let list = admin.get("/v1/routes").assert_status(200).json();
    let names: Vec<&Value> = list["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|route| &route["name"])
        .collect();
    assert_eq!(names, [&json!("old/*"), &json!("smart")]);
    let smart = admin.get("/v1/routes/smart").assert_status(200).json();
    assert_eq!(smart, list["data"][1]);
    assert_eq!(smart["strategy"], "ordered");
    assert_eq!(smart["targets"][0]["rpm"], 100);
    assert_eq!(smart["targets"][0]["timeouts"]["head_timeout_s"], 5);
    assert_eq!(smart["timeouts"]["head_timeout_s"], 30);
    assert_eq!(smart["defaults"], json!({"temperature": 0.5}));
    assert_eq!(smart["fallbacks"], json!(["c/c-small"]));
    assert_eq!(smart["managed_by_file"], true);
    let star = admin.get("/v1/routes/old%2F*").assert_status(200).json();
    assert_eq!(star["name"], "old/*");
    admin.get("/v1/routes/none").assert_status(404);
    admin.get("/v1/routes/none/health").assert_status(404);
}

#[test]
fn health_of_a_route_shows_breaker_bounds_and_latency_of_each_deployment() {
    let fixture = Fixture::new(ROUTES);
    fixture
        .a
        .respond_with(rejection(401, "invalid_api_key", "no"));
    fixture.call("smart").assert_status(200);
    let health = || {
        let admin = fixture.gateway.admin();
        let health = admin.get("/v1/routes/smart/health");
        health.assert_status(200).json()["deployments"]
            .as_array()
            .expect("a list")
            .clone()
    };
    let [a, b] = &health()[..] else {
        panic!("two deployments");
    };
    assert_eq!(
        (&a["deployment"], &a["state"]),
        (&json!("a/m-small"), &json!("open"))
    );
    assert_eq!(
        (&a["cooldown_ms"], &a["cooldowns"]),
        (&json!(5_000), &json!(1))
    );
    assert_eq!((&a["rpm"], &a["requests"]), (&json!(100), &json!(1)));
    assert_eq!(
        (&b["state"], &b["cooldowns"]),
        (&json!("closed"), &json!(0))
    );
    assert!(b["first_content_ms"].is_u64(), "{b}");
    fixture.gateway.clock.advance_ms(5_000);
    assert_eq!(health()[0]["state"], "half_open");
    fixture.a.respond_with(model::with_usage(10, 20));
    fixture.call("smart").assert_status(200);
    assert_eq!(health()[0]["state"], "closed");
}

#[test]
fn deployment_that_leaves_the_rotation_and_returns_is_told_to_the_webhook_once() {
    let receiver = Upstream::start();
    receiver.respond_with(Script::json(200, &json!({})));
    let settings = format!(
        "[alerts]\nwebhook = \"{}/hook\"\nwebhook_timeout_s = 60\n{ROUTES}",
        receiver.url()
    );
    let fixture = Fixture::new(&settings);
    let messages = |count: usize| {
        receiver.wait_for_requests(count);
        let messages = receiver.requests();
        messages.iter().map(|seen| seen.json()).collect::<Vec<_>>()
    };
    fixture.a.respond_with(rejection(500, "server_error", "no"));
    for _ in 0..8 {
        fixture.call("smart").assert_status(200);
    }
    let down = messages(1).remove(0);
    assert_eq!(down["event"], "deployment.unavailable");
    assert_eq!(down["deployment"], "a/m-small");
    assert_eq!(
        (&down["class"], &down["cooldown_ms"]),
        (&json!("broken"), &json!(5_000))
    );
    // a probe that fails is no further message
    fixture.gateway.clock.advance_ms(5_000);
    fixture.call("smart").assert_status(200);
    fixture.a.respond_with(model::with_usage(10, 20));
    fixture.gateway.clock.advance_ms(5_000);
    fixture.call("smart").assert_status(200);
    let told = messages(2);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1]["event"], "deployment.available");
}
