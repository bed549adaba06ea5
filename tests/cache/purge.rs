//! Purges: by entry, model, team, key and organization, and of everything; each an audit event, and only within the actor's roles.

use serde_json::json;

use super::fixture::{CHAT, Fixture, ask};
use crate::harness::client;
use crate::harness::process::text;

/// Fills the cache with one answer of each key and route.
fn fill(fixture: &Fixture) {
    for key in [&fixture.one, &fixture.two, &fixture.other] {
        for route in ["by-key", "c-exact"] {
            fixture.chat(key, &ask(route, &key.id));
        }
    }
}

#[test]
fn purge_deletes_the_selected_answers_and_is_audited() {
    let fixture = Fixture::start();
    let admin = fixture.gateway.admin();
    let entry = |fixture: &Fixture| {
        let (hit, outcome) = fixture.send(&fixture.one, CHAT, &ask("by-key", &fixture.one.id));
        assert_eq!(outcome, "exact");
        hit.header("x-gatekeeper-cache-entry")
            .expect("an id")
            .to_owned()
    };
    fill(&fixture);
    let id = entry(&fixture);
    let organization = text(&admin.get("/v1/organizations").json()["data"][0], "id");
    for (selection, count) in [
        (format!("entry={id}"), 1),
        (format!("key={}", fixture.two.id), 2),
        ("team=rockets".to_owned(), 4),
        ("model=c-exact".to_owned(), 3),
        ("model=c-exact&team=support".to_owned(), 1),
        (format!("organization={organization}"), 6),
        ("all=true".to_owned(), 6),
    ] {
        fill(&fixture);
        let purged = admin.delete(&format!("/v1/cache?{selection}"));
        let purged = purged.assert_status(200).json();
        assert_eq!(
            purged,
            json!({"object": "purge", "entries": count}),
            "{selection}"
        );
    }
    assert_eq!(admin.get("/v1/cache").json()["entries"], 0);
    let events = fixture.gateway.audit();
    let purges = events
        .iter()
        .filter(|event| event["action"] == "cache.purge");
    assert_eq!(purges.count(), 7);
    admin.delete("/v1/cache").assert_status(400);
    admin
        .delete(&format!("/v1/cache?entry={id}"))
        .assert_status(404);
}

#[test]
fn purge_reaches_no_further_than_the_role() {
    let fixture = Fixture::start();
    let create =
        json!({"name": "lead", "admin": true, "role": "admin", "team": fixture.rockets.id});
    let key = fixture.gateway.admin().post("/v1/keys", &create);
    let key = text(&key.assert_status(201).json(), "key");
    let lead = client::admin(fixture.gateway.address(), &key);
    fill(&fixture);
    for (selection, status) in [
        ("all=true".to_owned(), 403),
        ("model=c-exact".to_owned(), 403),
        ("team=support".to_owned(), 404),
        (format!("key={}", fixture.other.id), 404),
        (format!("key={}", fixture.one.id), 200),
        ("team=rockets".to_owned(), 200),
    ] {
        let answered = lead.delete(&format!("/v1/cache?{selection}"));
        assert_eq!(answered.status, status, "{selection}: {}", answered.text());
    }
    lead.get("/v1/cache").assert_status(403);
    assert_eq!(
        fixture.gateway.admin().get("/v1/cache").json()["entries"],
        2
    );
}
