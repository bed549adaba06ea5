//! Roles: each sees and changes what its scope contains, and nothing else exists for it.

use serde_json::{Value, json};

use super::{Tenancy, create, listed};
use crate::budget::call::Call;
use crate::harness::instance::text;

fn key_of(team: &str) -> Value {
    json!({"name": format!("key of {team}"), "team": team})
}

#[test]
fn organization_admin_manages_own_organization_only() {
    let tenancy = Tenancy::start();
    let owner = tenancy.gateway.admin();
    let foreign = create(&owner, "keys", &key_of("support"));
    let admin = tenancy.with_role(&json!({"role": "admin", "organization": "acme"}));
    assert_eq!(listed(&admin, "/v1/organizations", "name"), ["acme"]);
    assert_eq!(listed(&admin, "/v1/teams", "name"), ["rockets"]);
    let team = create(&admin, "teams", &json!({"name": "ground"}));
    assert_eq!(team["organization"], tenancy.acme);
    create(&admin, "keys", &key_of("ground"));
    assert_eq!(listed(&admin, "/v1/keys", "name"), ["key of ground"]);
    let id = text(&foreign, "id");
    for response in [
        admin.get(&format!("/v1/keys/{id}")),
        admin.patch(&format!("/v1/keys/{id}"), &json!({"disabled": true})),
        admin.delete(&format!("/v1/keys/{id}")),
        admin.get(&format!("/v1/teams/{}", tenancy.support)),
        admin.post("/v1/keys", &key_of("support")),
        admin.post("/v1/keys", &key_of(&tenancy.support)),
        admin.get("/v1/keys?team=support"),
        admin.get("/v1/organizations/org_1"),
    ] {
        let error = response.assert_status(404).text();
        assert!(!error.contains("key of support"), "{error}");
    }
    let own = format!("/v1/organizations/{}", tenancy.acme);
    let raised = admin.patch(&own, &json!({"budget_limit": 10}));
    raised.assert_status(403);
    admin
        .post("/v1/organizations", &json!({"name": "x"}))
        .assert_status(403);
}

#[test]
fn team_admin_manages_keys_and_members_but_not_the_teams_budget() {
    let tenancy = Tenancy::start();
    let admin = tenancy.with_role(&json!({"role": "admin", "team": "rockets"}));
    let key = create(&admin, "keys", &key_of("rockets"));
    let path = format!("/v1/keys/{}", text(&key, "id"));
    admin
        .patch(&path, &json!({"budget_limit": "5"}))
        .assert_status(200);
    let team = format!("/v1/teams/{}", tenancy.rockets);
    for change in [
        json!({"budget_limit": "5"}),
        json!({"models": null}),
        json!({"rpm": 5}),
        json!({"name": "x"}),
        json!({"allowed_endpoints": null}),
    ] {
        admin.patch(&team, &change).assert_status(403);
    }
    let managed = json!({"member_key_budget": "3", "member_keys_max": 1, "tags": ["pilot"]});
    let managed = admin.patch(&team, &managed).assert_status(200).json();
    assert_eq!(
        (&managed["member_key_budget"], &managed["tags"]),
        (&json!("3"), &json!(["pilot"]))
    );
    let member =
        json!({"email": "Ada@Example.org", "memberships": [{"role": "member", "team": "rockets"}]});
    let member = create(&admin, "users", &member);
    assert_eq!(
        (&member["email"], &member["name"]),
        (&json!("ada@example.org"), &json!("ada"))
    );
    let promoted = json!({"memberships": [{"role": "admin", "organization": "acme"}]});
    let path = format!("/v1/users/{}", text(&member, "id"));
    admin.patch(&path, &promoted).assert_status(404);
    let owner = json!({"memberships": [{"role": "owner"}]});
    admin.patch(&path, &owner).assert_status(404);
    assert_eq!(
        listed(&admin, &format!("{team}/members"), "email"),
        ["ada@example.org"]
    );
}

#[test]
fn member_makes_own_keys_under_the_limits_of_the_team() {
    let tenancy = Tenancy::start();
    let owner = tenancy.gateway.admin();
    let team = format!("/v1/teams/{}", tenancy.rockets);
    let rules = json!({"member_key_budget": "3", "member_keys_max": 2});
    owner.patch(&team, &rules).assert_status(200);
    create(&owner, "keys", &key_of("rockets"));
    let member = tenancy.as_user(
        "ada@example.org",
        &json!([{"role": "member", "team": "rockets"}]),
    );
    assert!(listed(&member, "/v1/keys", "name").is_empty());
    let own = create(
        &member,
        "keys",
        &json!({"name": "laptop", "team": "rockets"}),
    );
    assert_eq!(own["budgets"][0]["limit"], "3");
    assert_eq!(own["budgets"][0]["period"], "monthly");
    let path = format!("/v1/keys/{}", text(&own, "id"));
    for change in [
        json!({"budgets": []}),
        json!({"budget_limit": "4", "budget_period": "monthly"}),
    ] {
        member.patch(&path, &change).assert_status(400);
    }
    let lower = json!({"budget_limit": "2", "budget_period": "monthly"});
    member.patch(&path, &lower).assert_status(200);
    create(
        &member,
        "keys",
        &json!({"name": "phone", "team": "rockets"}),
    );
    let third = json!({"name": "watch", "team": "rockets"});
    member.post("/v1/keys", &third).assert_status(409);
    member.patch(&team, &rules).assert_status(403);
    member.get("/v1/users").assert_status(403);
    assert_eq!(listed(&member, "/v1/keys", "name"), ["laptop", "phone"]);

    let user = text(&owner.get("/v1/users").json()["data"][0], "id");
    let call = Call::chat().at_most(10).body();
    let secret = text(&own, "key");
    let caller = crate::harness::client::user(tenancy.gateway.address(), &secret);
    caller.chat(&call).assert_status(200);
    let disabled = json!({"disabled": true});
    owner
        .patch(&format!("/v1/users/{user}"), &disabled)
        .assert_status(200);
    caller.chat(&call).assert_status(401);
    member.get("/v1/keys").assert_status(401);
    let enabled = json!({"disabled": false});
    owner
        .patch(&format!("/v1/users/{user}"), &enabled)
        .assert_status(200);
    caller.chat(&call).assert_status(200);
    owner
        .delete(&format!("{team}/members/{user}"))
        .assert_status(204);
    caller.chat(&call).assert_status(401);
    member.get("/v1/keys").assert_status(403);
}

#[test]
fn administrative_key_has_its_role_and_no_more() {
    let tenancy = Tenancy::start();
    let owner = tenancy.gateway.admin();
    let admin = tenancy.with_role(&json!({"role": "admin", "organization": "acme"}));
    let made = create(
        &admin,
        "keys",
        &json!({"admin": true, "name": "v", "role": "viewer", "team": "rockets"}),
    );
    assert!(text(&made, "key").starts_with("sk-gk-admin-v-"));
    assert_eq!(
        (&made["role"], &made["scope"]),
        (&json!("viewer"), &json!("team"))
    );
    for role in [
        json!({"admin": true, "name": "o"}),
        json!({"admin": true, "name": "o", "role": "viewer"}),
        json!({"admin": true, "name": "o", "role": "admin", "team": "support"}),
        json!({"admin": true, "name": "o", "role": "admin", "organization": "default"}),
    ] {
        admin.post("/v1/keys", &role).assert_status(404);
    }
    assert_eq!(listed(&admin, "/v1/keys?admin=true", "name").len(), 2);
    let viewer = tenancy.with_role(&json!({"role": "viewer"}));
    viewer.get("/v1/teams").assert_status(200);
    viewer.get("/metrics").assert_status(200);
    viewer
        .post("/v1/teams", &json!({"name": "x", "organization": "acme"}))
        .assert_status(403);
    viewer.get("/v1/ledger/verify").assert_status(403);
    admin.get("/metrics").assert_status(403);
    let secret = text(&made, "key");
    let call = Call::chat().at_most(10).body();
    let as_model = crate::harness::client::user(tenancy.gateway.address(), &secret);
    as_model.chat(&call).assert_status(403);
    owner
        .delete(&format!("/v1/keys/{}", text(&made, "id")))
        .assert_status(204);
    as_model.get("/v1/keys").assert_status(401);
}

#[test]
fn usage_and_requests_show_the_scope_of_the_role() {
    let tenancy = Tenancy::start();
    let gateway = &tenancy.gateway;
    let call = Call::chat().at_most(10).body();
    for team in ["rockets", "support"] {
        let key = gateway.key(&key_of(team));
        gateway.user(&key).chat(&call).assert_status(200);
    }
    gateway.usage();
    let all = gateway.admin().get("/v1/usage?group_by=team").json();
    assert_eq!(all["data"].as_array().map(Vec::len), Some(2));
    let viewer = tenancy.with_role(&json!({"role": "viewer", "team": "rockets"}));
    let usage = viewer
        .get("/v1/usage?group_by=team")
        .assert_status(200)
        .json();
    assert_eq!(usage["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(usage["data"][0]["team_name"], "rockets");
    let requests = viewer.get("/v1/requests").assert_status(200).json();
    assert_eq!(requests["data"].as_array().map(Vec::len), Some(1));
    let foreign = gateway
        .requests()
        .into_iter()
        .find(|row| row["team"] == tenancy.support)
        .expect("a request of the other team");
    viewer
        .get(&format!("/v1/requests/{}", text(&foreign, "id")))
        .assert_status(404);
    let filtered = format!("/v1/requests?key={}", text(&foreign, "key"));
    let filtered = viewer.get(&filtered).assert_status(200).json();
    assert_eq!(filtered["data"], json!([]));
}

#[test]
fn organization_list_of_models_and_endpoints_restrict_every_key() {
    let tenancy = Tenancy::start();
    let owner = tenancy.gateway.admin();
    let key = tenancy.gateway.key(&key_of("rockets"));
    let user = tenancy.gateway.user(&key);
    let call = Call::chat().at_most(10).body();
    user.chat(&call).assert_status(200);
    let organization = format!("/v1/organizations/{}", tenancy.acme);
    owner
        .patch(&organization, &json!({"models": ["other-*"]}))
        .assert_status(200);
    let refused = user.chat(&call).assert_status(403).text();
    assert!(refused.contains("organization `acme`"), "{refused}");
    owner
        .patch(&organization, &json!({"models": null}))
        .assert_status(200);
    let team = format!("/v1/teams/{}", tenancy.rockets);
    let messages = json!({"allowed_endpoints": ["messages"]});
    owner.patch(&team, &messages).assert_status(200);
    let refused = user.chat(&call).assert_status(403).text();
    assert!(refused.contains("chat_completions"), "{refused}");
    owner
        .patch(&team, &json!({"allowed_endpoints": null}))
        .assert_status(200);
    user.chat(&call).assert_status(200);
}

#[test]
fn uncorrected_orphans_are_shown_only_to_readers_of_the_ledger() {
    let tenancy = Tenancy::start();
    let orphans = |role: &Value| {
        let usage = tenancy.with_role(role).get("/v1/usage");
        usage.assert_status(200).json()["orphans_uncorrected"].clone()
    };
    assert_eq!(orphans(&json!({"role": "auditor"})), 0);
    let viewer = json!({"role": "viewer", "organization": "acme"});
    assert_eq!(orphans(&viewer), Value::Null);
}
