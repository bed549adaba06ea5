//! Providers, routes and aliases that are declared through the API: in force at once on every worker, sealed, audited, kept over a
//! restart, and apart from what the configuration file declares.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{create, listed};
use crate::budget::call::Call;
use crate::harness::client::Connection;
use crate::harness::instance::text;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

pub const SECRET: &str = "sk-sealed-canary-20b7c1";
/// Connections that are open during a change: several for each worker.
const CONNECTIONS: usize = 12;

pub fn provider(upstream: &Upstream, models: &[&str]) -> Value {
    json!({
        "name": "lan", "type": "openai_compatible", "base_url": format!("{}/v1", upstream.url()),
        "api_key": SECRET, "price": { "input": "1", "output": "5" }, "models": models,
    })
}

pub fn call(model: &str) -> Value {
    let mut call = Call::chat().at_most(5).body();
    call["model"] = json!(model);
    call
}

pub fn connections(gatekeeper: &mut Gatekeeper) -> Vec<Connection> {
    let team = gatekeeper.team(&json!({"name": "eng"}));
    let key = gatekeeper.key_of(&team);
    let user = gatekeeper.user(&key);
    (0..CONNECTIONS).map(|_| user.connect()).collect()
}

#[track_caller]
pub fn assert_all(connections: &mut [Connection], model: &str, status: u16) {
    for connection in connections {
        connection.chat(&call(model)).assert_status(status);
    }
}

pub fn events(gatekeeper: &Gatekeeper, action: &str) -> Vec<Value> {
    let events = gatekeeper
        .admin()
        .get(&format!("/v1/audit?action={action}"))
        .assert_status(200)
        .json();
    events["data"].as_array().expect("events").clone()
}

#[test]
fn declared_provider_is_in_force_on_the_next_request_of_every_connection() {
    let (upstream, other) = (Upstream::start(), Upstream::start());
    let mut gatekeeper = Gatekeeper::without_providers().start();
    let mut open = connections(&mut gatekeeper);
    let admin = gatekeeper.admin();
    assert_all(&mut open, "n-small", 404);
    create(&admin, "providers", &provider(&upstream, &["n-small"]));
    assert_all(&mut open, "n-small", 200);
    let sent = upstream.last_request();
    let bearer = format!("Bearer {SECRET}");
    assert_eq!(sent.header("authorization"), Some(bearer.as_str()));
    let change = json!({"base_url": format!("{}/v1", other.url()), "api_key": "sk-next"});
    admin.patch("/v1/providers/lan", &change).assert_status(200);
    upstream.forget_requests();
    assert_all(&mut open, "n-small", 200);
    assert_eq!(upstream.request_count(), 0);
    let sent = other.last_request();
    assert_eq!(sent.header("authorization"), Some("Bearer sk-next"));
    let tested = admin.post("/v1/providers/lan/test", &json!({}));
    assert_eq!(tested.assert_status(200).json()["provider"], "lan");
    admin.delete("/v1/providers/lan").assert_status(204);
    assert_all(&mut open, "n-small", 404);
    for action in ["provider.create", "provider.change", "provider.delete"] {
        let found = events(&gatekeeper, action);
        assert_eq!(found.len(), 1, "{action}");
        assert_eq!(found[0]["subject"], "lan");
        let text = found[0].to_string();
        assert!(
            !text.contains(SECRET) && !text.contains("sk-next"),
            "{text}"
        );
    }
}

#[test]
fn declared_objects_keep_their_version_and_are_created_once() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let admin = gatekeeper.admin();
    let once = admin.clone().with("idempotency-key", "one");
    let (first, again) = (
        once.post("/v1/providers", &provider(&upstream, &["n-small"])),
        once.post("/v1/providers", &provider(&upstream, &["n-small"])),
    );
    assert_eq!(
        first.assert_status(201).json(),
        again.assert_status(201).json()
    );
    let taken = admin.post("/v1/providers", &provider(&upstream, &[]));
    assert_eq!(taken.assert_status(409).error_type(), "conflict");
    let shown = first.json();
    assert!(!shown.to_string().contains(SECRET), "{shown}");
    assert_eq!(shown["credentials"][0]["members"], json!(["api_key"]));
    let version = first.header("etag").expect("a version").to_owned();
    let path = "/v1/providers/lan";
    let stale = admin.clone().with("if-match", "\"stale\"");
    let change = json!({"bare_names": false, "models": null});
    stale.patch(path, &change).assert_status(412);
    stale.delete(path).assert_status(412);
    let read = admin.get(path);
    assert_eq!(
        read.assert_status(200).header("etag"),
        Some(version.as_str())
    );
    let fresh = admin.clone().with("if-match", &version);
    let changed = fresh.patch(path, &change);
    let members = changed.assert_status(200).json()["members"].clone();
    assert_eq!(members["bare_names"], false);
    assert!(members.get("models").is_none(), "null takes a member away");
    assert_ne!(changed.header("etag"), Some(version.as_str()));
    for (body, param) in [
        (json!({"colour": 1}), "colour"),
        (json!({"api_key": "file:/etc/shadow"}), "api_key"),
        (json!({"headers": {"x": "env:HOME"}}), "headers"),
        (json!({"name": "other"}), "name"),
        (json!({"price": "sheet"}), "price"),
    ] {
        let refused = admin.patch(path, &body).assert_status(400).json();
        assert_eq!(refused["error"]["param"], param, "{refused}");
    }
    for path in ["/v1/providers/none", "/v1/routes/none", "/v1/aliases/none"] {
        admin.get(path).assert_status(404);
        admin.delete(path).assert_status(404);
    }
}

#[test]
fn declaration_of_the_file_is_changed_there_only_and_wins() {
    let (upstream, other) = (Upstream::start(), Upstream::start());
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let admin = gatekeeper.admin();
    for refused in [
        admin.post("/v1/providers", &json!({"name": "up", "type": "ollama"})),
        admin.patch("/v1/providers/up", &json!({"models": []})),
        admin.delete("/v1/providers/up"),
    ] {
        assert_eq!(refused.assert_status(409).error_type(), "managed_by_file");
    }
    create(&admin, "providers", &provider(&upstream, &["n-small"]));
    let text = fs::read_to_string(&gatekeeper.config).expect("the configuration");
    let same = format!(
        "{text}\n[providers.lan]\ntype = \"openai_compatible\"\nbase_url = \"{}/v1\"\nmodels = [\"f-small\"]\nprice = \"free\"\n",
        other.url()
    );
    fs::write(&gatekeeper.config, same).expect("written");
    gatekeeper.signal(Signal::HUP);
    let shown = || admin.get("/v1/providers/lan").json();
    wait_until("the file is in force", || {
        shown()["models"] == json!(["f-small"])
    });
    let fault = text_of(&shown(), "fault");
    assert!(fault.contains("configuration file too"), "{fault}");
    assert_eq!(shown()["managed_by_file"], true);
    fs::write(&gatekeeper.config, text).expect("written");
    gatekeeper.signal(Signal::HUP);
    wait_until("the declaration of the API is in force", || {
        shown()["models"] == json!(["n-small"]) && shown()["fault"].is_null()
    });
    gatekeeper.restart();
    let admin = gatekeeper.admin();
    assert_eq!(listed(&admin, "/v1/providers", "name"), ["up", "lan"]);
    assert_eq!(
        admin.get("/v1/providers/up").json()["managed_by_file"],
        true
    );
}

fn text_of(object: &Value, member: &str) -> String {
    object[member].as_str().unwrap_or_default().to_owned()
}

#[test]
fn declared_routes_and_aliases_lead_to_models_and_hold_their_provider() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::without_providers().start();
    let mut open = connections(&mut gatekeeper);
    let admin = gatekeeper.admin();
    create(&admin, "providers", &provider(&upstream, &["n-small"]));
    let lost = json!({"name": "smart", "targets": ["lan/n-small", "nowhere/m"]});
    let refused = admin.post("/v1/routes", &lost).assert_status(400).json();
    assert_eq!(refused["error"]["param"], "targets", "{refused}");
    for (name, target) in [("smart", "lan/n-small"), ("team/*", "lan/*")] {
        let route = json!({"name": name, "targets": [target], "strategy": "ordered"});
        let route = create(&admin, "routes", &route);
        assert_eq!(route["targets"][0]["model"], target);
    }
    create(
        &admin,
        "aliases",
        &json!({"name": "swift", "target": "smart"}),
    );
    for name in ["smart", "team/n-small", "swift"] {
        assert_all(&mut open, name, 200);
    }
    let path = "/v1/routes/team%2F%2A";
    let changed = admin.patch(path, &json!({"strategy": "weighted"}));
    assert_eq!(changed.assert_status(200).json()["strategy"], "weighted");
    let held = admin.delete("/v1/providers/lan").assert_status(409).json();
    let message = text_of(&held["error"], "message");
    assert!(message.contains("routes.smart to lan/n-small"), "{message}");
    let held = admin.delete("/v1/routes/smart").assert_status(409).json();
    assert!(text_of(&held["error"], "message").contains("aliases.swift"));
    let alias = admin.patch("/v1/aliases/swift", &json!({"target": "n-small"}));
    alias.assert_status(200);
    for path in [
        "/v1/routes/smart",
        path,
        "/v1/aliases/swift",
        "/v1/providers/lan",
    ] {
        admin.delete(path).assert_status(204);
    }
    assert_all(&mut open, "swift", 404);
    for list in ["/v1/routes", "/v1/aliases", "/v1/providers"] {
        assert_eq!(listed(&admin, list, "name"), [""; 0]);
    }
}

/// Contents of every file but the lock.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if path.file_name().is_some_and(|name| name != "lock") {
            let bytes = fs::read(&path).unwrap_or_default();
            found.insert(path, bytes);
        }
    }
    found
}

#[test]
fn sealed_credential_needs_its_seal_key_and_nothing_is_touched_without_it() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::without_providers().start();
    let mut open = connections(&mut gatekeeper);
    let created = create(
        &gatekeeper.admin(),
        "providers",
        &provider(&upstream, &["n-small"]),
    );
    let wanted = text(&created["credentials"][0], "seal_key_id");
    assert_all(&mut open, "n-small", 200);
    drop(open);
    gatekeeper.stop();
    for (name, bytes) in contents(&gatekeeper.data) {
        let found = memchr::memmem::find(&bytes, SECRET.as_bytes());
        assert!(found.is_none(), "the credential is in {}", name.display());
    }
    let (seal_key, kept) = (
        gatekeeper.data.join("seal.key"),
        gatekeeper.folder().join("kept"),
    );
    fs::rename(&seal_key, &kept).expect("renamed");
    let before = contents(&gatekeeper.data);
    let (status, output) = gatekeeper.start_expecting_failure();
    assert_eq!(status.code(), Some(78), "{output}");
    assert!(
        output.contains("the seal key is missing") && output.contains(&wanted),
        "{output}"
    );
    assert!(
        before == contents(&gatekeeper.data),
        "a missing key changed the folder"
    );
    fs::write(&seal_key, "f".repeat(64)).expect("written");
    let before = contents(&gatekeeper.data);
    let (status, output) = gatekeeper.start_expecting_failure();
    assert_eq!(status.code(), Some(78), "{output}");
    assert!(output.contains(&wanted), "{output}");
    assert!(
        before == contents(&gatekeeper.data),
        "a wrong key changed the folder"
    );
    fs::rename(&kept, &seal_key).expect("renamed");
    gatekeeper.start();
    let key = gatekeeper.key(&json!({"name": "again", "team": "eng"}));
    gatekeeper
        .user(&key)
        .chat(&call("n-small"))
        .assert_status(200);
}

/// Runs a command with words between single spaces; exit code, output and errors.
pub fn run(gatekeeper: &Gatekeeper, command: &str, input: &str) -> (Option<i32>, String, String) {
    let arguments: Vec<&str> = command.split(' ').collect();
    let output = gatekeeper.run_with_input(&arguments, input);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn command_line_adds_tests_changes_and_removes_a_provider() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::without_providers().start();
    let mut open = connections(&mut gatekeeper);
    let done = |command: &str, input: &str| {
        let (code, text, errors) = run(&gatekeeper, command, input);
        assert_eq!(code, Some(0), "{command}: {text}{errors}");
        text
    };
    let url = upstream.url();
    let add = format!(
        "providers add lan --type openai_compatible --base-url {url}/v1 --price 1/5 --models n-small --key-stdin"
    );
    let text = done(&add, &format!("{SECRET}\n"));
    assert!(text.contains("added provider lan, in force now") && !text.contains(SECRET));
    assert_all(&mut open, "n-small", 200);
    let text = done("providers list", "");
    assert!(text.contains("sealed") && text.contains("API"), "{text}");
    let (_, text, _) = run(&gatekeeper, "providers test lan", "");
    assert!(text.starts_with("lan: "), "{text}");
    done(
        "providers update lan --set bare_names=false --unset models",
        "",
    );
    assert_all(&mut open, "n-small", 404);
    assert_all(&mut open, "lan/n-small", 200);
    let text = done("routes add smart --target lan/n-small=3", "");
    assert!(text.contains("lan/n-small (3)"), "{text}");
    done("aliases add swift smart", "");
    assert_all(&mut open, "swift", 200);
    let (code, _, errors) = run(&gatekeeper, "providers remove lan", "");
    assert!(code == Some(1) && errors.contains("change them first"));
    for command in [
        "aliases remove swift",
        "routes remove smart",
        "providers remove lan",
    ] {
        done(command, "");
    }
    let text = done("providers list", "");
    assert!(text.contains("providers add openai --key-stdin"), "{text}");
}

#[test]
fn setting_of_the_books_is_in_force_at_once_and_one_of_the_file_is_refused() {
    let upstream = Upstream::start();
    let setup = Gatekeeper::with_upstream(&upstream).setting("[retention]\nhours_days = 500\n");
    let mut gatekeeper = setup.start();
    let value = |gatekeeper: &Gatekeeper, name: &str| {
        let listed = gatekeeper
            .admin()
            .get("/v1/settings")
            .assert_status(200)
            .json();
        let rows = listed["data"].as_array().expect("settings").clone();
        let row = rows
            .iter()
            .find(|row| row["name"] == name)
            .expect(name)
            .clone();
        (row["value"].clone(), row["managed_by_file"].clone())
    };
    assert_eq!(
        value(&gatekeeper, "retention.hours_days"),
        (json!("500"), json!(true))
    );
    assert_eq!(
        value(&gatekeeper, "alerts.threshold_percent"),
        (json!("85"), json!(false))
    );
    let change = json!({"alerts.threshold_percent": 40, "retention.days_days": 900});
    let admin = gatekeeper.admin();
    admin.patch("/v1/settings", &change).assert_status(200);
    for (body, status, word) in [
        (json!({"retention.hours_days": 3}), 409, "managed_by_file"),
        (
            json!({"alerts.threshold_percent": 0}),
            400,
            "invalid_request_error",
        ),
        (json!({"workers": 3}), 400, "invalid_request_error"),
        (json!({}), 400, "invalid_request_error"),
    ] {
        let refused = admin.patch("/v1/settings", &body);
        assert_eq!(refused.assert_status(status).error_type(), word, "{body}");
    }
    let found = events(&gatekeeper, "settings.change");
    let changed = &found[0]["detail"]["alerts.threshold_percent"];
    assert_eq!((found.len(), changed), (1, &json!({"from": 85, "to": 40})));
    // 0.00011 of 0.0002 is over 40 %, and not over 85 %
    let team = json!({"name": "eng", "budgets": [{"limit": "0.0002", "action": "warn"}]});
    let team = gatekeeper.team(&team);
    let key = gatekeeper.key_of(&team);
    let call = Call::chat().at_most(20).body();
    gatekeeper.user(&key).chat(&call).assert_status(200);
    wait_until("the alert is audited", || {
        !events(&gatekeeper, "budget.threshold").is_empty()
    });
    gatekeeper.restart();
    assert_eq!(
        value(&gatekeeper, "alerts.threshold_percent").0,
        json!("40")
    );
    let back = json!({"alerts.threshold_percent": null});
    gatekeeper
        .admin()
        .patch("/v1/settings", &back)
        .assert_status(200);
    assert_eq!(
        value(&gatekeeper, "alerts.threshold_percent").0,
        json!("85")
    );
}
