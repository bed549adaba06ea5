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

/// Fixture without budgets, with a key that has this bound.
fn bounded_key(
    fixture: &mut Fixture,
    team: &str,
    key: serde_json::Value,
) -> crate::harness::client::HttpClient {
    let team = fixture
        .gateway
        .team(&json!({"name": team, "max_cost_usd": "0.02"}));
    let mut new = json!({"name": "bounded", "team": team.id});
    new["max_cost_usd"] = key;
    let key = fixture.gateway.key(&new);
    fixture.gateway.user(&key)
}

#[test]
fn key_and_team_settings_limit_the_cost_of_a_request_and_the_lowest_counts() {
    let mut fixture = Fixture::new("[routes.smart]\ntargets = [\"a/m-small\"]\n");
    let body = chat("smart", false);
    let refusal = |user: &crate::harness::client::HttpClient, body: &serde_json::Value| {
        let refused = user.post("/v1/chat/completions", body);
        assert_eq!(refused.assert_status(402).error_type(), "budget_exceeded");
        assert!(
            refused.error_message().contains("may cost $"),
            "{}",
            refused.error_message()
        );
        refused.json()["error"]["param"].clone()
    };
    let user = bounded_key(&mut fixture, "tight", json!("0.0001"));
    assert_eq!(refusal(&user, &body), "max_cost_usd");
    assert_eq!(
        refusal(
            &user.clone().with("x-gatekeeper-max-cost-usd", "0.00001"),
            &body
        ),
        "x-gatekeeper-max-cost-usd"
    );
    // a header cannot raise what the key allows
    assert_eq!(
        refusal(&user.clone().with("x-gatekeeper-max-cost-usd", "1"), &body),
        "max_cost_usd"
    );
    let user = bounded_key(&mut fixture, "by-team", serde_json::Value::Null);
    user.post("/v1/chat/completions", &body).assert_status(200);
    let mut long = body.clone();
    long["max_tokens"] = json!(1_000_000);
    assert_eq!(refusal(&user, &long), "max_cost_usd");
    // no budget, and the client names no cap: the gateway writes one that fits
    let mut open = body.clone();
    open.as_object_mut()
        .expect("an object")
        .remove("max_tokens");
    let user = bounded_key(&mut fixture, "open", json!("0.001"));
    user.post("/v1/chat/completions", &open).assert_status(200);
    let sent = fixture.a.last_request().json();
    let cap = sent["max_tokens"]
        .as_u64()
        .or(sent["max_completion_tokens"].as_u64());
    assert!(cap.is_some_and(|cap| (1..200).contains(&cap)), "{sent}");
}

#[test]
fn clamp_lowers_the_cap_to_what_the_setting_affords() {
    let upstream = Upstream::start();
    let setup = Gatekeeper::without_providers()
        .ledger("budget_overrun = \"clamp\"")
        .provider(&Provider::openai("a", &upstream));
    let mut gateway = setup.start_in_process();
    let team = gateway.team(&json!({"name": "t"}));
    let key = json!({"name": "tight", "team": team.id, "max_cost_usd": "0.001"});
    let key = gateway.key(&key);
    let mut long = chat("a/m-small", false);
    long["max_tokens"] = json!(100_000);
    let response = gateway.user(&key).post("/v1/chat/completions", &long);
    response.assert_status(200);
    let cap = upstream.last_request().json()["max_tokens"].as_u64();
    assert!(cap.is_some_and(|cap| (1..200).contains(&cap)), "{cap:?}");
}

#[test]
fn bound_of_a_key_is_changed_and_removed_and_audited() {
    let mut fixture = Fixture::new("[routes.smart]\ntargets = [\"a/m-small\"]\n");
    let team = fixture.gateway.team(&json!({"name": "t"}));
    let key = fixture
        .gateway
        .key(&json!({"name": "k", "team": team.id, "max_cost_usd": "0.5"}));
    let path = format!("/v1/keys/{}", key.id);
    let admin = fixture.gateway.admin();
    assert_eq!(admin.get(&path).json()["max_cost_usd"], "0.5");
    admin
        .patch(&path, &json!({"max_cost_usd": "0.25"}))
        .assert_status(200);
    let changed = admin.patch(&path, &json!({"max_cost_usd": null}));
    assert_eq!(
        changed.assert_status(200).json()["max_cost_usd"],
        json!(null)
    );
    admin
        .patch(&path, &json!({"max_cost_usd": -1}))
        .assert_status(400);
    let details: Vec<serde_json::Value> = fixture
        .gateway
        .audit()
        .iter()
        .filter(|event| event["action"] == "key.change")
        .map(|event| event["detail"]["max_cost_usd"].clone())
        .collect();
    assert_eq!(
        details,
        [
            json!({"from": "0.5", "to": "0.25"}),
            json!({"from": "0.25", "to": null})
        ]
    );
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
