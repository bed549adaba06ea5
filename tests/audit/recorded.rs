//! Events besides changes: start, configuration, binary and stop of the process, and denied uses, which are bounded.

use std::fs;

use serde_json::{Value, json};

use super::path;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;
use crate::harness::{hello, wait_until};

pub(super) fn list(gatekeeper: &Gatekeeper, query: &str) -> Vec<Value> {
    let page = gatekeeper
        .admin()
        .get(&format!("/v1/audit?limit=500&{query}"));
    page.assert_status(200).json()["data"]
        .as_array()
        .expect("a list")
        .clone()
}

#[test]
fn start_binary_and_stop_of_the_process_are_events() {
    let mut gatekeeper = Gatekeeper::without_providers().start();
    wait_until("the binary is hashed", || {
        list(&gatekeeper, "action=process.binary").len() == 1
    });
    let binary = fs::read(env!("CARGO_BIN_EXE_gatekeeper")).expect("the binary");
    let hash = ring::digest::digest(&ring::digest::SHA256, &binary);
    let hash: String = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let event = &list(&gatekeeper, "action=process.binary")[0];
    assert_eq!(event["detail"]["sha256"], json!(hash));
    assert_eq!(event["detail"]["version"], env!("CARGO_PKG_VERSION"));
    let load = &list(&gatekeeper, "action=config.load")[0];
    assert!(
        load["detail"]["changed"].is_null(),
        "the first start has nothing to compare with: {load}"
    );
    gatekeeper.stop();
    gatekeeper.start();
    let actions: Vec<Value> = list(&gatekeeper, "action=process.st*")
        .iter()
        .map(|event| event["action"].clone())
        .collect();
    assert_eq!(actions, ["process.start", "process.stop", "process.start"]);
    let load = &list(&gatekeeper, "action=config.load")[0];
    assert_eq!(load["detail"]["changed"], json!({}), "{load}");
}

#[test]
fn denied_uses_are_events_for_the_first_of_each_kind_and_counted_after() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team(&json!({"name": "eng", "models": ["other-*"]}));
    let key = gatekeeper.key_of(&team);
    for _ in 0..5 {
        gatekeeper
            .user(&key)
            .chat(&hello("m-small"))
            .assert_status(403);
        gatekeeper
            .anon()
            .post("/v1/chat/completions", &hello("m-small"))
            .assert_status(401);
        gatekeeper.anon().get("/v1/teams").assert_status(401);
    }
    wait_until("the denials are recorded", || {
        !list(&gatekeeper, "action=access.denied").is_empty()
    });
    let of_key = list(
        &gatekeeper,
        &format!("action=use.denied&subject={}", key.id),
    );
    let event = &of_key[0];
    assert_eq!(event["detail"]["reason"], "model_not_allowed");
    assert_eq!(event["address"], "127.0.0.1");
    assert!(
        event["request"]
            .as_str()
            .expect("an id")
            .starts_with("req_")
    );
    let of_strangers = list(&gatekeeper, "action=use.denied&subject=127.0.0.1");
    assert_eq!(of_strangers[0]["detail"]["reason"], "authentication_error");
    // at shutdown the rest of the minute is one event with their number
    gatekeeper.stop();
    gatekeeper.start();
    let rest = list(&gatekeeper, "action=use.denied_unlisted");
    let counted: u64 = rest
        .iter()
        .filter_map(|event| event["detail"]["count"].as_u64())
        .sum();
    let listed = list(&gatekeeper, "action=*.denied").len() as u64;
    // three kinds, each perhaps in two minutes
    assert!((3..=6).contains(&listed), "{listed} events");
    assert_eq!(listed + counted, 15, "{rest:?}");
}

#[test]
fn changed_setting_is_shown_and_secret_is_not() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    gatekeeper.stop();
    let file = gatekeeper.folder().join("gatekeeper.toml");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", path(&file)));
    fs::write(&file, format!("picker_aliases = \"on\"\n{text}")).expect("written");
    gatekeeper.start();
    let load = &list(&gatekeeper, "action=config.load")[0];
    assert_eq!(
        load["detail"]["changed"],
        json!({"picker_aliases": {"from": null, "to": "on"}}),
        "{load}"
    );
    assert!(!load.to_string().contains("env:"), "{load}");
}
