//! A first cache that is switched on while the process runs, by the configuration file or by the API, and what is kept of it.

use std::fs;

use rustix::process::Signal;
use serde_json::json;

use super::fixture::{CHAT, Fixture, ask, outcome, setup};
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;
use crate::harness::{model, wait_until};

#[test]
fn first_cache_of_a_reloaded_file_opens_without_a_restart() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 3));
    let routes = "[routes.later]\ntargets = [\"openai/m-small\"]\n";
    let mut gateway: Gatekeeper = setup(&upstream).setting(routes).start();
    let team = gateway.team(&json!({"name": "rockets", "models": ["*"]}));
    let key = gateway.key(&json!({"name": "one", "team": team.id, "models": ["*"]}));
    let send = || outcome(gateway.user(&key).post(CHAT, &ask("later", "hello")));
    assert_eq!(send().1, "none");
    assert_eq!(gateway.admin().get("/v1/cache").json()["enabled"], false);
    let text = fs::read_to_string(&gateway.config).expect("the file");
    let changed = text.replace("[routes.later]\n", "[routes.later]\ncache = \"exact\"\n");
    assert_ne!(text, changed);
    fs::write(&gateway.config, changed).expect("written");
    gateway.signal(Signal::HUP);
    let mut reasons = Vec::new();
    wait_until("the route has a cache", || {
        let (response, found) = send();
        reasons.extend(
            response
                .header("x-gatekeeper-cache-reason")
                .map(str::to_owned),
        );
        found == "exact"
    });
    assert!(
        reasons.iter().all(|reason| reason == "opening"),
        "{reasons:?}"
    );
    let cache = gateway.admin().get("/v1/cache").json();
    assert_eq!(
        (&cache["enabled"], &cache["entries"]),
        (&json!(true), &json!(1))
    );
}

#[test]
fn cache_of_a_route_of_the_api_opens_at_once_and_outlives_a_restart() {
    let upstream = Upstream::start();
    let mut fixture = Fixture::of(setup(&upstream), upstream);
    let route = json!({"name": "later", "targets": ["openai/m-small"], "cache": "exact"});
    let admin = fixture.gateway.admin();
    admin.post("/v1/routes", &route).assert_status(201);
    let body = ask("later", "hello");
    wait_until("the route has a cache", || {
        fixture.chat(&fixture.one, &body) == "exact"
    });
    fixture.gateway.stop();
    fixture.gateway.start();
    assert_eq!(fixture.chat(&fixture.one, &body), "exact");
}
