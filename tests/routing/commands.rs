//! Commands about routes: what a name leads to for a key, and the health of a route, at the running server.

use serde_json::{Value, json};

use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::upstream::Upstream;

const ROUTES: &str = "[routes.smart]\nstrategy = \"ordered\"\ntargets = [{ model = \"a/m-small\", rpm = 100 }, \"b/m-small\"]\n\
    mirror = { target = \"b/m-large\", share = 0.25, budget = \"bud_7\" }\n";

fn start() -> (Gatekeeper, Upstream) {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::without_providers()
        .provider(&Provider::openai("a", &upstream))
        .provider(&Provider::openai("b", &upstream))
        .setting(ROUTES)
        .start();
    (gatekeeper, upstream)
}

/// Output of a command that succeeds.
fn run(gatekeeper: &Gatekeeper, arguments: &[&str]) -> String {
    let output = gatekeeper.run(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn name_resolves_for_a_key_by_its_id_its_name_and_its_team() {
    let (mut gatekeeper, _upstream) = start();
    let team = gatekeeper.team_with_budget("eng", "10");
    let key = gatekeeper.key(&json!({"name": "laptop", "team": team.id, "models": ["a/*"]}));
    for word in [key.id.as_str(), "laptop", "eng/laptop"] {
        let shown = run(&gatekeeper, &["routes", "resolve", "smart", "--key", word]);
        for expected in [
            "smart: route smart (ordered), for the key laptop",
            "a/m-small",
            "allowed",
            "b/m-small",
        ] {
            assert!(shown.contains(expected), "{word}: {expected}\n{shown}");
        }
        let lines: Vec<&str> = shown
            .lines()
            .filter(|line| line.contains("b/m-small"))
            .collect();
        assert!(!lines[0].ends_with(" allowed"), "{shown}");
    }
    let output = gatekeeper.run(&["routes", "resolve", "smart", "--key", "desktop"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn routes_health_shows_deployments_and_mirror() {
    let (mut gatekeeper, _upstream) = start();
    let team = gatekeeper.team_with_budget("eng", "10");
    let key = gatekeeper.key_of(&team);
    let body = super::fixture::chat("smart", false);
    let user = gatekeeper.user(&key);
    user.post("/v1/chat/completions", &body).assert_status(200);
    let shown = run(&gatekeeper, &["routes", "health", "smart"]);
    for expected in [
        "a/m-small",
        "closed",
        "1 of 100",
        "mirror b/m-large (25 % of the requests): 0 ok, 0 failed, $0",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    let json = run(&gatekeeper, &["routes", "health", "smart", "--json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["deployments"][0]["state"], "closed");
}

#[test]
fn drill_shows_what_clients_see_as_whole_answers_and_as_streams() {
    let (gatekeeper, upstream) = start();
    let shown = run(&gatekeeper, &["drill", "smart"]);
    for expected in [
        "cut_stream",
        "200, then upstream_error in the stream",
        "a/m-small overloaded, next_target; b/m-small ok",
        "no target was called; booked to the team drill",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    assert_eq!(upstream.request_count(), 0);
}
