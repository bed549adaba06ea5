//! Lists of models and `null` in the control plane: absent and null mean all models, an empty list none, and null in a change
//! takes a thing away or is refused.

use serde_json::{Value, json};

use crate::harness::hello;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;

#[test]
fn empty_list_of_models_allows_none_and_null_allows_all() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team(&json!({"name": "eng"}));
    let path = format!("/v1/teams/{}", team.id);
    for (number, (body, shown, status)) in [
        (json!({}), Value::Null, 200),
        (json!({"models": null}), Value::Null, 200),
        (json!({"models": []}), json!([]), 403),
        (json!({"models": ["m-small"]}), json!(["m-small"]), 200),
    ]
    .into_iter()
    .enumerate()
    {
        let mut new = json!({"name": format!("key-{number}"), "team": team.id});
        for (name, value) in body.as_object().expect("an object") {
            new[name] = value.clone();
        }
        let key = gatekeeper.key(&new);
        let read = gatekeeper.admin().get(&format!("/v1/keys/{}", key.id));
        assert_eq!(read.assert_status(200).json()["models"], shown, "{body}");
        let answer = gatekeeper.user(&key).chat(&hello("m-small"));
        answer.assert_status(status);
        if status == 403 {
            assert!(answer.error_message().contains("may call no model"));
        }
    }
    let open = gatekeeper.key(&json!({"name": "open", "team": team.id}));
    for (models, status) in [(json!([]), 403), (Value::Null, 200)] {
        let changed = gatekeeper.admin().patch(&path, &json!({"models": models}));
        assert_eq!(changed.assert_status(200).json()["models"], models);
        let answer = gatekeeper.user(&open).chat(&hello("m-small"));
        answer.assert_status(status);
    }
    let cli = |arguments: &[&str]| gatekeeper.run(arguments);
    for (arguments, shown) in [
        (&["teams", "create", "none", "--models", ""][..], json!([])),
        (&["teams", "create", "everything"], Value::Null),
    ] {
        let output = cli(&[arguments, &["--json"]].concat());
        let created: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(created["models"], shown, "{arguments:?}");
    }
    let listed = String::from_utf8(cli(&["teams", "list"]).stdout).expect("text");
    let row = |name: &str| listed.lines().find(|line| line.starts_with(name));
    assert!(row("everything").is_some_and(|line| line.contains(" all ")));
    assert!(
        row("none").is_some_and(|line| line.matches("none").count() > 1),
        "{listed}"
    );
}

#[test]
fn null_in_a_change_takes_away_or_is_refused() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team(&json!({"name": "eng"}));
    let all = json!({"models": ["m-small"], "expires": "7d", "budgets": [{"limit": 1}],
        "limits": [{"rpm": 9, "model": "m-*"}, {"rpm": 10, "tpm": 1000, "max_parallel": 2}]});
    let mut new = all.clone();
    (new["name"], new["team"]) = (json!("ci"), json!(team.id));
    let key = gatekeeper.key(&new);
    let path = format!("/v1/keys/{}", key.id);
    let change = |body: Value| gatekeeper.admin().patch(&path, &body);
    for (body, member, taken) in [
        (json!({"models": null}), "models", Value::Null),
        (json!({"expires": null}), "expires_at", Value::Null),
        (json!({"budgets": null}), "budgets", json!([])),
        (json!({"budget_limit": null}), "budgets", json!([])),
        (json!({"rpm": null}), "rpm", Value::Null),
        (json!({"tpm": null}), "tpm", Value::Null),
        (json!({"max_parallel": null}), "max_parallel", Value::Null),
        (json!({"limits": null}), "limits", json!([])),
    ] {
        let before = change(all.clone()).assert_status(200).json();
        assert_ne!(before[member], taken, "{body}");
        let after = change(body.clone()).assert_status(200).json();
        assert_eq!(after[member], taken, "{body}");
    }
    for (body, param) in [
        (json!({"disabled": null}), "disabled"),
        (json!({"budget_period": null}), "budget_limit"),
        (json!({"budget_action": null, "rpm": 1}), "budget_limit"),
        (json!({"limits": null, "rpm": 1}), "rpm"),
        (json!({"name": null}), "name"),
    ] {
        let refused = change(body.clone());
        let error = refused.assert_status(400).json()["error"].clone();
        assert_eq!(error["param"], param, "{body}");
    }
    let team_path = format!("/v1/teams/{}", team.id);
    let budget = json!({"budgets": [{"limit": 5}], "limits": [{"rpm": 1}]});
    let admin = gatekeeper.admin();
    admin.patch(&team_path, &budget).assert_status(200);
    let nulls = json!({"budgets": null, "limits": null});
    let cleared = admin.patch(&team_path, &nulls).assert_status(200).json();
    assert_eq!(
        (&cleared["budgets"], &cleared["limits"]),
        (&json!([]), &json!([]))
    );
}
