//! Work of a change on an instance with many keys: it reads its own rows, not those of the other keys.

use serde_json::json;

use super::{Tenancy, create};
use crate::harness::in_process::InProcessGateway;
use crate::harness::instance::text;

const METRIC: &str = "gatekeeper_change_rows_read";
/// Rows that a change of one object may read.
const ROWS_MAX: f64 = 4.0;

#[test]
fn change_among_many_keys_reads_few_rows() {
    let tenancy = Tenancy::start();
    let (gateway, admin) = (&tenancy.gateway, tenancy.gateway.admin());
    let key = |number: u32| {
        let body =
            json!({"name": format!("k{number}"), "team": "rockets", "budget_limit": "1", "rpm": 9});
        create(&admin, "keys", &body)
    };
    let keys: Vec<_> = (0..200).map(key).collect();
    let path = format!("/v1/keys/{}", text(&keys[77], "id"));
    let team = format!("/v1/teams/{}", tenancy.rockets);
    let organization = format!("/v1/organizations/{}", tenancy.acme);
    let changes: [(&str, &dyn Fn()); 7] = [
        ("create", &|| drop(key(1_000))),
        ("change", &|| {
            let body = json!({"budget_limit": "2"});
            admin.patch(&path, &body).assert_status(200);
        }),
        ("rotate", &|| {
            let path = format!("{path}/rotate");
            admin.post(&path, &json!({})).assert_status(200);
        }),
        ("team", &|| {
            admin
                .patch(&team, &json!({"budget_limit": "9"}))
                .assert_status(200);
        }),
        ("organization", &|| {
            admin
                .patch(&organization, &json!({"rpm": 900}))
                .assert_status(200);
        }),
        ("capture", &|| {
            let path = format!("{path}/capture");
            admin.patch(&path, &json!({"on": true})).assert_status(200);
        }),
        ("delete", &|| {
            admin.delete(&path).assert_status(204);
        }),
    ];
    assert_few_rows(gateway, &changes);
}

/// Each change reads few rows, however many keys there are.
fn assert_few_rows(gateway: &InProcessGateway, changes: &[(&str, &dyn Fn())]) {
    for (name, change) in changes {
        let before = gateway.metric(METRIC);
        change();
        let read = gateway.metric(METRIC) - before;
        assert!(read <= ROWS_MAX, "{name}: {read} rows");
    }
}

#[test]
fn change_of_users_and_declarations_among_many_keys_reads_few_rows() {
    let tenancy = Tenancy::start();
    let (gateway, admin) = (&tenancy.gateway, tenancy.gateway.admin());
    for number in 0..100 {
        let key = json!({"name": format!("k{number}"), "team": "rockets", "rpm": 9});
        create(&admin, "keys", &key);
    }
    let team = format!("/v1/teams/{}", tenancy.rockets);
    let user = json!({"email": "ada@example.org", "memberships": [{"role": "member", "team": tenancy.rockets}]});
    let user = create(&admin, "users", &user);
    let provider = json!({"name": "lan", "type": "openai_compatible", "base_url": "http://127.0.0.1:9/v1", "price": "free", "models": ["n"]});
    create(&admin, "providers", &provider);
    let changes: [(&str, &dyn Fn()); 6] = [
        ("user", &|| {
            let path = format!("/v1/users/{}", text(&user, "id"));
            admin
                .patch(&path, &json!({"name": "Ada"}))
                .assert_status(200);
        }),
        ("member", &|| {
            let member = json!({"user": "ada@example.org", "role": "admin"});
            admin
                .post(&format!("{team}/members"), &member)
                .assert_status(200);
        }),
        ("personal key", &|| {
            let key = json!({"name": "own", "team": tenancy.rockets, "user": user["id"]});
            create(&admin, "keys", &key);
        }),
        ("administrative key", &|| {
            create(
                &admin,
                "keys",
                &json!({"admin": true, "name": "ops", "role": "viewer"}),
            );
        }),
        ("provider", &|| {
            let more = json!({"api_keys": {"b": "sk-b"}});
            admin.patch("/v1/providers/lan", &more).assert_status(200);
        }),
        ("route", &|| {
            create(
                &admin,
                "routes",
                &json!({"name": "smart", "targets": ["lan/n"]}),
            );
        }),
    ];
    assert_few_rows(gateway, &changes);
}
