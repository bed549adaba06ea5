//! Usage by tag and end user: counted by day and key, with a row for calls that state nothing.

use serde_json::{Value, json};

use crate::harness::hello;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;

/// Calls of two teams over two days: two with the tag `nightly`, one with `review`, one of a user, one that states nothing.
fn fixture() -> (Upstream, InProcessGateway) {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gateway =
        Gatekeeper::with_upstream(&upstream).start_in_process_at("2026-11-21T23:00:00Z");
    let mut keys = Vec::new();
    for name in ["eng", "ops"] {
        let team = gateway.team(&json!({"name": name}));
        keys.push(gateway.key(&json!({"name": name, "team": team.id, "models": ["*"]})));
    }
    let named = json!({"model": "m-small", "user": "ann", "max_tokens": 50,
        "messages": [{"role": "user", "content": "hi"}]});
    for (instant, key, tag, body) in [
        ("2026-11-21T23:30:00Z", 0, "nightly", hello("m-small")),
        ("2026-11-22T10:00:00Z", 1, "nightly", hello("m-small")),
        ("2026-11-22T11:00:00Z", 1, "review", hello("m-small")),
        ("2026-11-22T12:00:00Z", 0, "", named),
        ("2026-11-22T13:00:00Z", 0, "", hello("m-small")),
    ] {
        gateway.advance_to(instant);
        let user = gateway.user(&keys[key]);
        let user = match tag {
            "" => user,
            tag => user.with("x-gatekeeper-tag", tag),
        };
        user.chat(&body).assert_status(200);
    }
    (upstream, gateway)
}

fn report(gateway: &InProcessGateway, query: &str) -> Value {
    let path = format!("/v1/usage?start=2026-11-21&end=2026-11-24&{query}");
    gateway.admin().get(&path).assert_status(200).json()
}

/// (tag or user, requests) of each row, sorted.
fn counts(report: &Value, dimension: &str) -> Vec<(String, u64)> {
    let rows = report["data"].as_array().expect("rows").iter();
    let count = |row: &Value| {
        let value = row[dimension].as_str().unwrap_or("(nothing)").to_owned();
        (value, row["requests"].as_u64().expect("a count"))
    };
    let mut counts: Vec<(String, u64)> = rows.map(count).collect();
    counts.sort();
    counts
}

#[test]
fn usage_by_tag_and_user_has_a_row_for_each_and_one_for_the_rest() {
    let (_upstream, gateway) = fixture();
    let by_tag = report(&gateway, "group_by=tag");
    let expected = [("(nothing)", 2), ("nightly", 2), ("review", 1)];
    let expected = expected.map(|(tag, count)| (tag.to_owned(), count));
    assert_eq!(counts(&by_tag, "tag"), expected);
    assert_eq!(by_tag["total"], report(&gateway, "group_by=team")["total"]);
    let by_user = counts(&report(&gateway, "group_by=user"), "user");
    assert_eq!((by_user[0].1, by_user.len()), (4, 2), "{by_user:?}");
    assert_eq!(by_user[1].0.len(), 16, "a pseudonym: {by_user:?}");
    let with_team = report(&gateway, "group_by=team,tag,day");
    assert_eq!(with_team["data"].as_array().map(Vec::len), Some(4));
    assert_eq!(with_team["total"], by_tag["total"]);
    let csv = gateway.admin().with("accept", "text/csv");
    let csv = csv.get("/v1/usage?start=2026-11-22&end=2026-11-23&group_by=day,tag");
    let text = csv.assert_status(200).text();
    assert!(text.starts_with("day,tag,requests,"), "{text}");
    assert!(text.contains("2026-11-22,review,1,"), "{text}");
}

#[test]
fn usage_by_tag_combines_with_time_team_and_key_only() {
    let (_upstream, gateway) = fixture();
    for groups in [
        "tag,model",
        "tag,user",
        "tag,status",
        "hour,tag",
        "user,provider",
    ] {
        let path = format!("/v1/usage?group_by={groups}");
        let refused = gateway.admin().get(&path);
        let message = refused.assert_status(400).text();
        assert!(message.contains("group_by"), "{groups}: {message}");
    }
}

#[test]
fn correction_changes_the_cost_of_the_tag() {
    let (_upstream, gateway) = fixture();
    let cost = || {
        let report = report(&gateway, "group_by=tag");
        let rows = report["data"].as_array().expect("rows").clone();
        let review = rows.into_iter().find(|row| row["tag"] == "review");
        review.expect("the tag")["cost_usd"]
            .as_str()
            .map(str::to_owned)
    };
    assert_eq!(cost().as_deref(), Some("0.00011"));
    let rows = gateway.requests();
    let request = rows
        .iter()
        .find(|row| row["tag"] == "review")
        .expect("a request");
    let correction = json!({"request": request["id"], "amount": "-0.00001", "reason": "goodwill"});
    gateway
        .admin()
        .post("/v1/ledger/corrections", &correction)
        .assert_status(201);
    assert_eq!(cost().as_deref(), Some("0.0001"));
}
