//! Requests that ask the same in other words: served by a strict route over HTTP, never across what separates requests, and a miss names the
//! guard that refused its nearest entry, whose words only readers of captured calls get.

use serde_json::json;

use super::fixture::{CHAT, Fixture, SEMANTIC_ROUTES, ask, outcome, with};
use crate::harness::client;
use crate::harness::process::{Key, text};

/// Beside `SEMANTIC_ROUTES`.
const ROUTES: &str = r#"
[routes.shared]
targets = ["openai/m-small"]
cache = "semantic"
[routes.near]
targets = ["openai/m-small"]
cache = { mode = "semantic", threshold = "0.999" }
"#;

fn start() -> Fixture {
    let fixture = Fixture::with(&format!("{SEMANTIC_ROUTES}{ROUTES}"));
    // the first question starts the embedder
    fixture.chat(&fixture.one, &ask("strict", "Hello there"));
    fixture
}

#[test]
fn near_repeat_is_served_with_its_similarity_and_a_trap_is_not() {
    let fixture = start();
    let first = ask("strict", "What is the capital of France?");
    let (answer, _) = fixture.send(&fixture.one, CHAT, &first);
    let again = ask("strict", "what is the capital of france");
    let (hit, outcome) = fixture.send(&fixture.one, CHAT, &again);
    assert_eq!(outcome, "semantic", "{}", hit.text());
    let similarity = hit
        .header("x-gatekeeper-cache-similarity")
        .expect("a header");
    assert!(
        similarity.parse::<f64>().expect("a number") >= 0.8,
        "{similarity}"
    );
    assert_eq!(
        hit.json()["choices"][0]["message"]["content"],
        answer.json()["choices"][0]["message"]["content"]
    );
    assert_eq!(hit.cost(), 0);
    let exact = fixture
        .client(&fixture.one)
        .with("x-gatekeeper-cache", "exact");
    assert_eq!(
        exact.chat(&again).header("x-gatekeeper-cache"),
        Some("miss")
    );
    let km = |text: &str| fixture.chat(&fixture.one, &ask("strict", text));
    assert_eq!(km("Convert 5 km to miles"), "miss");
    assert_eq!(km("Convert 50 km to miles"), "miss");
    let row = &fixture.gateway.requests()[0];
    assert_eq!(
        (&row["cache"]["outcome"], &row["cache"]["reason"]),
        (&json!("miss"), &json!("number"))
    );
    assert!(
        row["cache"]["entry"]
            .as_str()
            .is_some_and(|id| id.starts_with("ce_"))
    );
    assert!(
        row["cache"]["similarity"]
            .as_str()
            .is_some_and(|text| text.starts_with("0."))
    );
    assert!(!row.to_string().contains("miles"), "no text in the record");
    let path = format!(
        "/v1/cache/difference?entry={}&other={}",
        text(&row["cache"], "own_entry"),
        text(&row["cache"], "entry")
    );
    let difference = fixture.gateway.admin().get(&path);
    let difference = difference.assert_status(200).json();
    assert_eq!(
        (&difference["entry"], &difference["other"]),
        (&json!(["50"]), &json!(["5"]))
    );
    let events = fixture.gateway.audit();
    assert_eq!(
        events.last().expect("an event")["action"],
        "cache.difference"
    );
    assert_only_readers_of_captures_get(&fixture, &path);
}

/// A role of the team reads the words only while it is named as a reader of the team's captured calls.
#[track_caller]
fn assert_only_readers_of_captures_get(fixture: &Fixture, path: &str) {
    let admin = fixture.gateway.admin();
    let team = &fixture.rockets.id;
    let client = |role: &str, team: &str| {
        let create = json!({"name": role, "admin": true, "role": role, "team": team});
        let key = admin.post("/v1/keys", &create).assert_status(201).json();
        client::admin(fixture.gateway.address(), &text(&key, "key"))
    };
    let (lead, foreign) = (client("admin", team), client("viewer", "support"));
    lead.get(path).assert_status(403);
    let readers = json!({"readers": ["team:admin", "team:viewer"]});
    let setting = format!("/v1/teams/{team}/capture");
    admin.patch(&setting, &readers).assert_status(200);
    lead.get(path).assert_status(200);
    foreign.get(path).assert_status(404);
    admin
        .patch(&setting, &json!({"readers": []}))
        .assert_status(200);
    lead.get(path).assert_status(403);
    let events = fixture.gateway.audit();
    let read = events
        .iter()
        .filter(|event| event["action"] == "cache.difference");
    assert_eq!(read.count(), 2, "one for each reading that was allowed");
}

#[test]
fn similar_answer_of_a_key_that_may_no_longer_call_or_of_another_team_is_not_served() {
    let fixture = start();
    let first = ask("shared", "What is the capital of France?");
    let again = ask("shared", "what is the capital of france");
    let no_store = |key: &Key| {
        let client = fixture.client(key).with("x-gatekeeper-cache", "no-store");
        outcome(client.chat(&again)).1
    };
    assert_eq!(fixture.chat(&fixture.one, &first), "miss");
    assert_eq!(no_store(&fixture.two), "semantic");
    assert_eq!(no_store(&fixture.other), "miss", "another team");
    let admin = fixture.gateway.admin();
    let key = format!("/v1/keys/{}", fixture.one.id);
    admin.delete(&key).assert_status(204);
    assert_eq!(no_store(&fixture.two), "miss", "its key is deleted");
}

#[test]
fn threshold_may_only_be_raised() {
    let fixture = start();
    let with_threshold = |route: &str, threshold: &str| {
        let client = fixture
            .client(&fixture.one)
            .with("x-gatekeeper-cache-threshold", threshold)
            .with("x-gatekeeper-cache", "no-store");
        outcome(client.chat(&ask(route, "what is the capital of france please"))).1
    };
    for route in ["strict", "near"] {
        let first = ask(route, "What is the capital of France?");
        fixture.chat(&fixture.one, &first);
    }
    assert_eq!(with_threshold("strict", "0"), "semantic");
    for (route, threshold) in [("strict", "1"), ("near", "0")] {
        assert_eq!(with_threshold(route, threshold), "miss");
        let row = &fixture.gateway.requests()[0];
        assert_eq!(row["cache"]["reason"], "threshold", "{route}");
    }
}

#[test]
fn similar_request_is_not_served_across_what_separates_requests() {
    let fixture = start();
    let first = ask("strict", "What is the capital of France?");
    let again = ask("strict", "what is the capital of france");
    assert_eq!(fixture.chat(&fixture.one, &first), "miss");
    let system = json!({"messages": [{"role": "system", "content": "In French."}, {"role": "user", "content": "what is the capital of france"}]});
    let tools =
        json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]});
    for members in [
        system,
        tools,
        json!({"temperature": 0.3}),
        json!({"seed": 4}),
        json!({"model": "balanced"}),
    ] {
        assert_eq!(
            fixture.chat(&fixture.one, &with(again.clone(), members.clone())),
            "miss",
            "{members}"
        );
    }
    assert_eq!(fixture.chat(&fixture.two, &again), "miss", "another key");
    assert_eq!(
        fixture.send(&fixture.one, "/v1/messages", &again).1,
        "miss",
        "another dialect"
    );
    assert_eq!(fixture.chat(&fixture.one, &again), "semantic");
}

#[test]
fn kept_question_is_found_after_a_restart_and_not_after_a_purge() {
    let mut fixture = start();
    let first = ask("strict", "What is the capital of France?");
    let again = ask("strict", "what is the capital of france");
    let no_store = |fixture: &Fixture| {
        let client = fixture
            .client(&fixture.one)
            .with("x-gatekeeper-cache", "no-store");
        client
            .chat(&again)
            .header("x-gatekeeper-cache")
            .expect("an outcome")
            .to_owned()
    };
    fixture.chat(&fixture.one, &first);
    fixture.gateway.stop();
    fixture.gateway.start();
    assert_eq!(no_store(&fixture), "semantic");
    fixture
        .gateway
        .admin()
        .delete("/v1/cache?all=true")
        .assert_status(200);
    assert_eq!(no_store(&fixture), "miss");
}
