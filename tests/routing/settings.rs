//! Settings that people's configurations use: request parameters per route, headers per provider, the end user in a header, and a ceiling
//! per request.

use serde_json::json;

use super::fixture::{Fixture, chat};
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::upstream::Upstream;

#[test]
fn route_sets_defaults_and_overrides_and_names_them() {
    let fixture = Fixture::new(
        "[routes.smart]\ntargets = [\"a/m-small\"]\nfallbacks = [\"c/c-small\"]\n\
         defaults = { temperature = 0.25, top_p = 0.5, max_tokens = 7 }\noverride = { seed = 7, stop = [\"x\"] }\n",
    );
    let mut body = chat("smart", false);
    body["temperature"] = json!(1);
    body["seed"] = json!(1);
    let response = fixture.user().post("/v1/chat/completions", &body);
    response.assert_status(200);
    assert_eq!(
        response.header("x-gatekeeper-route-params"),
        Some("top_p,seed,stop")
    );
    let sent = fixture.a.last_request().json();
    assert_eq!(
        (&sent["temperature"], &sent["top_p"], &sent["seed"]),
        (&json!(1), &json!(0.5), &json!(7))
    );
    assert_eq!(
        (&sent["max_tokens"], &sent["stop"]),
        (&json!(50), &json!(["x"]))
    );
    // a client that names no output cap gets the route's, which bounds its cost
    body.as_object_mut()
        .expect("an object")
        .remove("max_tokens");
    let response = fixture.user().post("/v1/chat/completions", &body);
    response.assert_status(200);
    assert_eq!(fixture.a.last_request().json()["max_tokens"], json!(7));
}

#[test]
fn header_limits_the_cost_of_a_request() {
    let fixture = Fixture::new("[routes.smart]\ntargets = [\"a/m-small\"]\n");
    let call = |most: &str, body: &serde_json::Value| {
        let user = fixture.user().with("x-gatekeeper-max-cost-usd", most);
        user.post("/v1/chat/completions", body)
    };
    let body = chat("smart", false);
    call("0.01", &body).assert_status(200);
    let refused = call("0.0001", &body);
    assert_eq!(refused.assert_status(402).error_type(), "budget_exceeded");
    assert_eq!(
        refused.json()["error"]["param"],
        "x-gatekeeper-max-cost-usd"
    );
    // without a cap of the client's, the gateway chooses one that fits
    let mut open = body.clone();
    open.as_object_mut()
        .expect("an object")
        .remove("max_tokens");
    let fits = call("0.001", &open);
    fits.assert_status(200);
    let cap: u64 = fits
        .header("x-gatekeeper-output-cap")
        .expect("a cap")
        .parse()
        .expect("a number");
    assert!((1..200).contains(&cap), "{cap}");
    call("cheap", &body).assert_status(400);
    assert_eq!(fixture.counts(), [2, 0, 0]);
}

#[test]
fn provider_headers_and_user_header_are_used() {
    let upstream = Upstream::start();
    let setup = Gatekeeper::without_providers()
        .setting("user_header = \"X-OpenWebUI-User-Email\"")
        .provider(
            &Provider::openai("up", &upstream)
                .line("headers = { X-Org = \"org-1\", user-agent = \"ours\" }"),
        );
    let mut gateway = setup.start_in_process();
    let team = gateway.team_with_budget("eng", "10");
    let key = gateway.key_of(&team);
    let user = gateway
        .user(&key)
        .with("x-openwebui-user-email", "ann@example.org")
        .with("user-agent", "theirs");
    user.post("/v1/chat/completions", &chat("up/m-small", false))
        .assert_status(200);
    let sent = upstream.last_request();
    assert_eq!(sent.header("x-org"), Some("org-1"));
    assert_eq!(sent.header("user-agent"), Some("ours"));
    assert_eq!(sent.header("x-openwebui-user-email"), None);
    let record = &gateway.requests()[0];
    let pseudonym = record["user"].as_str().expect("a pseudonym");
    assert!(!pseudonym.contains("ann"), "{pseudonym}");
}
