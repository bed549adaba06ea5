//! Pages and filters of lists, deletion with what depends on an object.

use serde_json::{Value, json};

use super::{Tenancy, create, listed};
use crate::harness::instance::text;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;

#[test]
fn list_pages_visit_every_key_once_and_filters_apply() {
    let tenancy = Tenancy::start();
    let admin = tenancy.gateway.admin();
    for number in 0..7 {
        let team = if number % 2 == 0 {
            "rockets"
        } else {
            "support"
        };
        let body =
            json!({"name": format!("k{number}"), "team": team, "tags": [format!("t{number}")]});
        create(&admin, "keys", &body);
    }
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/v1/keys?limit=3{after}")).json();
        let rows = page["data"].as_array().expect("`data`");
        assert!(rows.len() <= 3);
        names.extend(rows.iter().map(|row| text(row, "name")));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["k0", "k1", "k2", "k3", "k4", "k5", "k6"]);
    assert_eq!(
        listed(&admin, "/v1/keys?team=support", "name"),
        ["k1", "k3", "k5"]
    );
    assert_eq!(listed(&admin, "/v1/keys?tag=t4", "name"), ["k4"]);
    assert_eq!(
        listed(&admin, "/v1/teams?organization=acme", "name"),
        ["rockets"]
    );
    for (query, param) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=org_1", "after"),
        ("colour=blue", "colour"),
        ("disabled=maybe", "disabled"),
    ] {
        let error = admin.get(&format!("/v1/keys?{query}"));
        assert_eq!(error.assert_status(400).json()["error"]["param"], param);
    }
}

#[test]
fn deletion_names_dependents_and_keeps_names_in_reports() {
    let tenancy = Tenancy::start();
    let (gateway, admin) = (&tenancy.gateway, tenancy.gateway.admin());
    let key = gateway.key(&json!({"name": "ci", "team": "rockets"}));
    let child = json!({"name": "child", "parent": key.id});
    let child = gateway.key(&child);
    let body = crate::budget::call::Call::chat().at_most(10).body();
    gateway.user(&child).chat(&body).assert_status(200);
    let path = format!("/v1/keys/{}", key.id);
    let refused = admin.delete(&path).assert_status(409).json();
    let message = text(&refused["error"], "message");
    assert!(
        message.contains(&child.id) && message.contains("cascade=true"),
        "{message}"
    );
    let team = format!("/v1/teams/{}", tenancy.rockets);
    admin.delete(&team).assert_status(409);
    admin
        .delete(&format!("{team}?cascade=true"))
        .assert_status(204);
    for path in [&path, &team] {
        admin.get(path).assert_status(404);
    }
    gateway.user(&child).chat(&body).assert_status(401);
    gateway.usage();
    let usage = admin.get("/v1/usage?group_by=team").json();
    assert_eq!(usage["data"][0]["team_name"], "rockets");
    assert_eq!(gateway.requests()[0]["status"], "ok");
    // the name is free again
    create(
        &admin,
        "teams",
        &json!({"name": "rockets", "organization": "acme"}),
    );
    let organization = format!("/v1/organizations/{}?cascade=true", tenancy.acme);
    admin.delete(&organization).assert_status(204);
    assert_eq!(listed(&admin, "/v1/teams", "name"), ["support"]);
}

#[test]
fn command_line_lists_teams() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    for number in 0..3 {
        create(
            &gatekeeper.admin(),
            "teams",
            &json!({"name": format!("team-{number:03}")}),
        );
    }
    let output = gatekeeper.run(&["teams", "list", "--json"]);
    let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(list.as_array().expect("a list").len(), 3);
}
