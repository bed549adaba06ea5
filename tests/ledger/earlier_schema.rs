//! Data folder of schema 5 as `kill -9` left it (`tests/golden/schema-5`): log records that the books lack, two open holds, a
//! reasoning memory. It was written by commit 9beb8c0, whose answers to the same requests after a restart are recorded beside it; there
//! an empty list of models allowed all, which is null since.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::budget::call::Call;
use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Gatekeeper, Key, Provider, text};
use crate::harness::upstream::Upstream;
use crate::harness::{golden, model, wait_until};

const FOLDER: &str = "schema-5";

/// Recorded answers, with the instant, the keys and the administrative key of the folder.
fn recorded() -> Value {
    serde_json::from_str(&golden(&format!("{FOLDER}/answers.json"))).expect("the file is JSON")
}

fn start(upstream: &Upstream, recorded: &Value) -> InProcessGateway {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(FOLDER)
        .join("data");
    let claude = Provider::anthropic("claude", upstream).models(&["c-small", "claude-sonnet-4-5"]);
    Gatekeeper::with_upstream(upstream)
        .provider(&claude)
        .ledger("segment_mb = 1")
        .start_in_process_on_copy(&data, &text(recorded, "admin_key"), &text(recorded, "at"))
}

fn key(recorded: &Value, name: &str) -> Key {
    let keys = recorded["keys"].as_array().expect("a list of keys");
    let key = keys.iter().find(|key| key["name"] == name);
    let key = key.unwrap_or_else(|| panic!("the folder has no key {name}"));
    Key {
        id: text(key, "id"),
        secret: text(key, "key"),
    }
}

/// Adds to `differences` every recorded member that is missing or has another value; further members are additions. The cursor
/// `follow` begins with a random number of the running process.
fn compare(path: &str, recorded: &Value, found: &Value, differences: &mut Vec<String>) {
    match (recorded, found) {
        (Value::Object(recorded), Value::Object(found)) => {
            for (name, value) in recorded.iter().filter(|(name, _)| *name != "follow") {
                let found = found.get(name).unwrap_or(&Value::Null);
                compare(&format!("{path}.{name}"), value, found, differences);
            }
        }
        (Value::Array(recorded), Value::Array(found)) if recorded.len() == found.len() => {
            for (index, (recorded, found)) in recorded.iter().zip(found).enumerate() {
                compare(&format!("{path}[{index}]"), recorded, found, differences);
            }
        }
        _ if recorded == found => {}
        _ => differences.push(format!("{path}: was {recorded}, is {found}")),
    }
}

#[test]
fn folder_of_schema_5_gives_its_recorded_answers() {
    let upstream = Upstream::start();
    let recorded = recorded();
    let gateway = start(&upstream, &recorded);
    wait_until("the books have the records of the log", || {
        !gateway.usage()["as_of"].is_null()
    });
    let mut differences = Vec::new();
    for (path, answer) in recorded["answers"].as_object().expect("answers by path") {
        let found = gateway.admin().get(path);
        assert_eq!(found.status, 200, "{path}: {}", found.text());
        compare(path, answer, &found.json(), &mut differences);
    }
    let events = recorded["audit"].as_array().expect("audit events");
    let found = gateway.audit();
    for (event, found) in events.iter().zip(&found) {
        compare("audit", event, found, &mut differences);
    }
    assert!(found.len() >= events.len(), "audit events are missing");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The columns that schema 9 added to roll-ups are filled from the records that are kept.
#[test]
fn folder_of_schema_5_has_the_usage_columns_of_its_records() {
    let upstream = Upstream::start();
    let recorded = recorded();
    let mut gateway = start(&upstream, &recorded);
    wait_until("the books have the records of the log", || {
        !gateway.usage()["as_of"].is_null()
    });
    let rows = gateway.requests();
    let columns = [
        "cache_write_tokens",
        "reasoning_tokens",
        "image_tokens",
        "audio_tokens",
        "searches",
    ];
    let counts = |row: &Value| columns.map(|column| row[column].as_u64().unwrap_or(0));
    let mut expected = [0; 5];
    for row in &rows {
        for (sum, count) in expected.iter_mut().zip(counts(&row["usage"])) {
            *sum += count;
        }
    }
    assert!(expected[0] > 0, "{expected:?}");
    assert_eq!(counts(&gateway.usage()["total"]), expected);
    // and the days of tags and users are
    let by_tag = gateway
        .admin()
        .get("/v1/usage?start=2026-11-01&end=2026-12-31&group_by=tag");
    let by_tag = by_tag.assert_status(200).json();
    let nightly = by_tag["data"]
        .as_array()
        .and_then(|rows| rows.iter().find(|row| row["tag"] == "nightly"));
    assert_eq!(nightly.map(|row| &row["requests"]), Some(&json!(4)));
    gateway.skip_books_check();
    let verified = gateway.admin().get("/v1/ledger/verify");
    assert_eq!(verified.assert_status(200).json()["agrees"], json!(true));
}

#[test]
fn folder_of_schema_5_serves_calls_within_its_budgets() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let recorded = recorded();
    let mut gateway = start(&upstream, &recorded);
    let call = Call::chat().at_most(20).body();
    for name in ["CI", "open"] {
        let user = gateway.user(&key(&recorded, name));
        user.chat(&call).assert_status(200);
    }
    let disabled = gateway.user(&key(&recorded, "off")).chat(&call);
    disabled.assert_status(401);
    let child = gateway.user(&key(&recorded, "CI-child")).chat(&call);
    assert_eq!(child.assert_status(402).error_type(), "budget_exceeded");
    let before = gateway.usage();
    gateway.stop();
    gateway.start();
    assert_eq!(gateway.usage()["total"], before["total"]);
    gateway.skip_books_check();
    let verified = gateway.admin().get("/v1/ledger/verify");
    assert_eq!(verified.assert_status(200).json()["agrees"], json!(true));
}
