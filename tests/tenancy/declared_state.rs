//! `gatekeeper export` and `apply`: the state as a file, applied in one transaction; a second application changes nothing.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use super::{Tenancy, create, listed};
use crate::harness::instance::text;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;

const FILE: &str = r#"
[[organizations]]
name = "acme"
models = ["m-*"]
budgets = [{ limit = "500", period = "monthly" }]

[[organizations.teams]]
name = "rockets"
tags = ["emea"]
metadata = '{"cost_center": 7, "lead": null}'
rpm = 600
member_key_budget = "5"
capture_keep_days = 7
capture_readers = ["team:admin"]

[[organizations.teams.keys]]
name = "ci"
models = ["m-small"]
expires_at = "2099-01-31T00:00:00Z"
capture_keep_days = 1

[[organizations.teams.keys]]
name = "nightly"
parent = "ci"
disabled = true
budgets = [{ limit = "1.5", period = "daily", action = "warn", model = "m-*" }]
"#;

struct CommandResult {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(gatekeeper: &Gatekeeper, arguments: &[&str]) -> CommandResult {
    let Output {
        status,
        stdout,
        stderr,
    } = gatekeeper.run(arguments);
    CommandResult {
        code: status.code(),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

fn write(folder: &tempfile::TempDir, text: &str) -> String {
    let path: PathBuf = folder.path().join("state.toml");
    fs::write(&path, text).expect("written");
    path.to_string_lossy().into_owned()
}

#[test]
fn file_is_planned_applied_exported_and_applied_again_without_a_change() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(&folder, FILE);
    let planned = run(&gatekeeper, &["apply", "-f", &file, "--dry-run"]);
    assert_eq!(planned.code, Some(0), "{}", planned.err);
    for part in [
        "+ organization acme",
        "+ team acme/rockets",
        "+ key acme/rockets/ci",
        "~ capture acme/rockets/ci",
        "nothing was changed",
    ] {
        assert!(planned.out.contains(part), "{part} in {}", planned.out);
    }
    assert!(!planned.out.contains("sk-gk-"), "no key, no secret");
    assert_eq!(
        listed(&gatekeeper.admin(), "/v1/organizations", "name"),
        ["default"]
    );
    let applied = run(&gatekeeper, &["apply", "-f", &file]);
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    assert_eq!(applied.out.matches("sk-gk-").count(), 2, "{}", applied.out);
    assert_eq!(
        listed(&gatekeeper.admin(), "/v1/keys?disabled=true", "name"),
        ["nightly"]
    );
    let again = run(&gatekeeper, &["apply", "-f", &file]);
    assert!(again.out.contains("no change"), "{}", again.out);
    let exported = run(&gatekeeper, &["export"]);
    let file = write(&folder, &exported.out);
    let same = run(&gatekeeper, &["apply", "-f", &file]);
    assert!(same.out.contains("no change"), "{} {}", same.out, same.err);
    let fewer = write(
        &folder,
        &exported.out.replace("member_key_budget = \"5\"\n", ""),
    );
    let changed = run(&gatekeeper, &["apply", "-f", &fewer]);
    assert!(
        changed.out.contains("~ team acme/rockets") && changed.out.contains("1 object changed"),
        "{}",
        changed.out
    );
    let broken = write(&folder, "[[organizations]]\nname = 7\n");
    let refused = run(&gatekeeper, &["apply", "-f", &broken]);
    assert!(refused.err.contains("name"), "{}", refused.err);
}

#[test]
fn document_turns_capture_on_and_off_with_its_event() {
    let tenancy = Tenancy::start();
    let admin = tenancy.gateway.admin();
    let apply = |team: Value| {
        let document = json!({"organizations": [{"name": "acme", "teams": [team]}]});
        admin.post("/v1/state", &document)
    };
    let on = json!({"name": "rockets", "capture_keep_days": 9, "capture_readers": ["team:viewer"],
        "keys": [{"name": "ci", "capture_keep_days": 2}]});
    let plan = apply(on.clone()).assert_status(200).json();
    let kinds: Vec<&Value> = plan["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| &step["kind"])
        .collect();
    assert_eq!(kinds, ["capture", "key", "capture"]);
    let settings = admin.get("/v1/captures").assert_status(200).json();
    let days = |name: &str| {
        let rows = settings["data"].as_array().expect("settings");
        let row = rows.iter().find(|row| row["name"] == name).expect(name);
        (row["keep_days"].clone(), row["readers"].clone())
    };
    assert_eq!(days("rockets"), (json!(9), json!(["team:viewer"])));
    assert_eq!(days("ci"), (json!(2), json!([])));
    let again = apply(on.clone()).assert_status(200).json();
    assert_eq!(again["steps"], json!([]));
    let exported = state(&tenancy);
    let team = exported["organizations"]
        .as_array()
        .and_then(|all| all.iter().find(|one| one["name"] == "acme"))
        .map(|acme| acme["teams"][0].clone())
        .expect("the team");
    assert_eq!(team["capture_readers"], on["capture_readers"]);
    assert_eq!(team["keys"][0]["capture_keep_days"], 2);
    apply(json!({"name": "rockets", "keys": [{"name": "ci"}]})).assert_status(200);
    let settings = admin.get("/v1/captures").assert_status(200).json();
    assert_eq!(settings["data"], json!([]));
    let events = tenancy.gateway.audit();
    let changes = events
        .iter()
        .filter(|event| event["action"] == "capture.change");
    let toggles: Vec<&Value> = changes.map(|event| &event["detail"]["on"]["to"]).collect();
    assert_eq!(toggles, [true, true, false, false]);
    for (team, param) in [
        (
            json!({"name": "rockets", "capture_keep_days": 0}),
            "capture_keep_days",
        ),
        (
            json!({"name": "rockets", "capture_readers": ["owner"]}),
            "capture_readers",
        ),
        (
            json!({"name": "rockets", "keys": [{"name": "ci", "capture_readers": []}]}),
            "keys[0].capture_readers",
        ),
    ] {
        let error = apply(team).assert_status(400).json();
        assert!(text(&error["error"], "param").ends_with(param), "{error}");
    }
}

fn state(tenancy: &Tenancy) -> Value {
    let state = tenancy.gateway.admin().get("/v1/state");
    state.assert_status(200).json()
}

#[test]
fn document_that_fails_at_its_end_changes_nothing() {
    let tenancy = Tenancy::start();
    let admin = tenancy.gateway.admin();
    let (before, events) = (state(&tenancy), tenancy.gateway.audit().len());
    let document = json!({"organizations": [{"name": "acme", "rpm": 5, "teams": [
        {"name": "new", "keys": [{"name": "a"}, {"name": "b", "parent": "missing"}]},
    ]}]});
    let refused = admin.post("/v1/state", &document).assert_status(404).json();
    assert!(text(&refused["error"], "message").contains("missing"));
    let twice = json!({"organizations": [{"name": "acme", "teams": [
        {"name": "new", "keys": [{"name": "a", "rpm": 1}, {"name": "a", "rpm": 2}]},
    ]}]});
    // the second entry of the same name changes the key of the first
    let plan = admin.post(
        "/v1/state",
        &json!({"dry_run": true, "organizations": twice["organizations"]}),
    );
    assert_eq!(
        plan.assert_status(200).json()["steps"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
    assert_eq!(state(&tenancy), before);
    assert_eq!(tenancy.gateway.audit().len(), events);
    let wrong =
        json!({"organizations": [{"name": "acme", "teams": [{"name": "rockets", "rpm": "x"}]}]});
    let error = admin.post("/v1/state", &wrong).assert_status(400).json();
    assert_eq!(error["error"]["param"], "organizations[0].teams[0].rpm");
}

#[test]
fn every_step_of_a_document_has_its_event_and_names_no_secret() {
    let tenancy = Tenancy::start();
    let admin = tenancy.gateway.admin();
    let before = tenancy.gateway.audit().len();
    let document = json!({"organizations": [{"name": "acme", "budget_limit": "9", "teams": [
        {"name": "rockets", "models": ["m-small"], "keys": [{"name": "ci"}]},
        {"name": "lasers"},
    ]}]});
    let plan = admin.post("/v1/state", &document).assert_status(200).json();
    let events = tenancy.gateway.audit().split_off(before);
    let actions: Vec<&str> = events
        .iter()
        .map(|event| event["action"].as_str().expect("an action"))
        .collect();
    assert_eq!(
        actions,
        [
            "organization.change",
            "team.change",
            "key.create",
            "team.create"
        ]
    );
    let ids: Vec<&Value> = events.iter().map(|event| &event["subject"]).collect();
    let steps = plan["steps"].as_array().expect("steps");
    assert_eq!(
        ids,
        steps.iter().map(|step| &step["id"]).collect::<Vec<_>>()
    );
    let secret = text(&plan["keys"][0], "key");
    let call = json!({"model": "m-large", "messages": [{"role": "user", "content": "x"}]});
    let user = crate::harness::client::user(tenancy.gateway.address(), &secret);
    user.chat(&call).assert_status(403);
    assert!(!state(&tenancy).to_string().contains(&secret));
    let viewer = tenancy.with_role(&json!({"role": "admin", "organization": "acme"}));
    viewer.get("/v1/state").assert_status(403);
    viewer.post("/v1/state", &document).assert_status(403);
    // a document never moves a key to another parent
    create(&admin, "keys", &json!({"name": "top", "team": "rockets"}));
    let moved = json!({"organizations": [{"name": "acme", "teams": [
        {"name": "rockets", "keys": [{"name": "ci", "parent": "top"}]},
    ]}]});
    admin.post("/v1/state", &moved).assert_status(409);
}
