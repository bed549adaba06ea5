//! Faults and bounds: a damaged file, a full queue and a full disk cost captures and nothing else; settings, metrics and backups.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use super::{ANSWER, Fixture, PROMPT, answer, chat, files_with, request_id};
use crate::harness::process::Gatekeeper;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

#[test]
fn damaged_capture_file_stops_no_start_and_no_call() {
    let mut fixture = Fixture::new();
    fixture.turn_on();
    fixture
        .upstream
        .respond_with(Script::json(200, &answer(ANSWER)));
    let lost = request_id(&fixture.chat(&fixture.captured, PROMPT));
    fixture.stored(&lost);
    fixture.gatekeeper.stop();
    fs::write(fixture.file(), [0x5a; 70_000]).expect("written");
    fixture.gatekeeper.start();
    let call = fixture.chat(&fixture.captured, PROMPT);
    fixture.stored(&request_id(call.assert_status(200)));
    fixture.capture(&lost).assert_status(404);
    let discarded = fixture
        .gatekeeper
        .metric("gatekeeper_capture_files_discarded_total");
    assert!((discarded - 1.0).abs() < f64::EPSILON, "{discarded}");
    // overwritten while the process runs
    fs::write(fixture.file(), [0x5a; 70_000]).expect("written");
    for _ in 0..3 {
        fixture.chat(&fixture.captured, PROMPT).assert_status(200);
    }
    fixture
        .admin()
        .delete("/v1/captures?all=true")
        .assert_status(200);
    let call = fixture.chat(&fixture.captured, PROMPT);
    fixture.stored(&request_id(&call));
}

#[test]
fn call_that_does_not_fit_the_queue_is_answered_and_counted() {
    let fixture = Fixture::with_setting("[capture]\nqueue_mb = 1");
    fixture.turn_on();
    fixture
        .upstream
        .respond_with(Script::json(200, &answer(ANSWER)));
    let long = fixture.chat(&fixture.captured, &"x".repeat(1_100_000));
    let long = request_id(long.assert_status(200));
    let short = fixture.chat(&fixture.captured, PROMPT);
    fixture.stored(&request_id(&short));
    fixture.capture(&long).assert_status(404);
    let metrics = fixture.admin().get("/metrics").text();
    for line in [
        "gatekeeper_captures_dropped_total{reason=\"queue_full\"} 1",
        "gatekeeper_captures_dropped_total{reason=\"disk\"} 0",
        "gatekeeper_captures_stored_total 1",
        "gatekeeper_captures_on 1",
        "gatekeeper_capture_entries 1",
        "gatekeeper_capture_queue_bytes 0",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
}

#[test]
fn full_disk_drops_captures_and_no_call() {
    let upstream = Upstream::start();
    upstream.respond_with(Script::json(200, &answer(ANSWER)));
    let setup = Gatekeeper::with_upstream(&upstream).ledger("disk_reserve_mb = 100");
    let mut gateway = setup.start_in_process();
    let team = gateway.team(&json!({"name": "eng"}));
    let key = gateway.key_of(&team);
    let setting = format!("/v1/teams/{}/capture", team.id);
    let admin = gateway.admin();
    admin
        .patch(&setting, &json!({"on": true}))
        .assert_status(200);
    // enough for the books, too little for captures
    gateway.disk.set_free_mb(150);
    let call = gateway.user(&key).chat(&chat(PROMPT));
    let id = request_id(call.assert_status(200));
    admin
        .get(&format!("/v1/requests/{id}/capture"))
        .assert_status(404);
    let line = "gatekeeper_captures_dropped_total{reason=\"disk\"} 1";
    assert!(admin.get("/metrics").text().contains(line));
    gateway.disk.set_free_mb(0);
    let call = gateway.user(&key).chat(&chat(PROMPT));
    let id = request_id(call.assert_status(200));
    admin
        .get(&format!("/v1/requests/{id}/capture"))
        .assert_status(200);
}

#[test]
fn retention_deletes_captured_calls() {
    let upstream = Upstream::start();
    upstream.respond_with(Script::json(200, &answer(ANSWER)));
    let mut gateway = Gatekeeper::with_upstream(&upstream).start_in_process();
    let team = gateway.team(&json!({"name": "eng"}));
    let key = gateway.key_of(&team);
    let admin = gateway.admin();
    let setting = format!("/v1/teams/{}/capture", team.id);
    let on = json!({"on": true, "keep_days": 2});
    admin.patch(&setting, &on).assert_status(200);
    let call = gateway.user(&key).chat(&chat(PROMPT));
    let path = format!("/v1/requests/{}/capture", request_id(&call));
    gateway.advance_to("2026-11-25T09:59:00Z");
    admin.get(&path).assert_status(200);
    gateway.advance_to("2026-11-25T10:01:00Z");
    admin.get(&path).assert_status(404);
    let metrics = admin.get("/metrics").text();
    assert!(
        metrics.contains("gatekeeper_capture_entries 0"),
        "{metrics}"
    );
}

#[test]
fn settings_list_everything_that_stores_content() {
    let fixture = Fixture::new();
    let states = |fixture: &Fixture| {
        let settings = fixture
            .admin()
            .get("/v1/settings")
            .assert_status(200)
            .json();
        let stored = settings["stored_content"]
            .as_array()
            .expect("a list")
            .clone();
        for one in &stored {
            assert_eq!(
                (&one["sealed"], &one["in_backups"]),
                (&json!(true), &json!(false))
            );
        }
        stored
    };
    let on = |fixture: &Fixture, name: &str| {
        let stored = states(fixture);
        let one = stored.iter().find(|one| one["name"] == name).expect(name);
        one["on"].clone()
    };
    assert_eq!(on(&fixture, "captures"), false);
    assert_eq!(on(&fixture, "reasoning_memory"), true);
    fixture.turn_on();
    assert_eq!(on(&fixture, "captures"), true);
    fixture
        .upstream
        .respond_with(Script::json(200, &answer(ANSWER)));
    fixture.chat(&fixture.captured, PROMPT);
    wait_until("the call is counted", || {
        states(&fixture)[0]["entries"] == 1
    });
}

#[test]
fn capture_disabled_by_the_configuration_stores_nothing_and_removes_the_file() {
    let mut fixture = Fixture::new();
    fixture.turn_on();
    fixture
        .upstream
        .respond_with(Script::json(200, &answer(ANSWER)));
    let id = request_id(&fixture.chat(&fixture.captured, PROMPT));
    fixture.stored(&id);
    fixture.gatekeeper.stop();
    let config = fs::read_to_string(&fixture.gatekeeper.config).expect("the file");
    let config = format!("{config}\n[capture]\nenabled = false\n");
    fs::write(&fixture.gatekeeper.config, config).expect("written");
    fixture.gatekeeper.start();
    assert!(!fixture.file().exists());
    let call = fixture.chat(&fixture.captured, PROMPT);
    assert_eq!(call.header("x-gatekeeper-capture"), None);
    fixture.capture(&request_id(&call)).assert_status(404);
    let path = format!("/v1/keys/{}/capture", fixture.other.id);
    let refused = fixture.admin().patch(&path, &json!({"on": true}));
    assert!(refused.assert_status(409).text().contains("[capture]"));
}

#[test]
fn backup_contains_no_capture() {
    let fixture = Fixture::new();
    fixture.turn_on();
    fixture
        .upstream
        .respond_with(Script::json(200, &answer(ANSWER)));
    let id = request_id(&fixture.chat(&fixture.captured, PROMPT));
    fixture.stored(&id);
    let file = fixture.gatekeeper.folder().join("books.backup");
    let config = fixture.gatekeeper.config.display().to_string();
    let taken =
        fixture
            .gatekeeper
            .run(&["backup", &file.display().to_string(), "--config", &config]);
    assert!(taken.status.success(), "{taken:?}");
    let backup = fs::read(&file).expect("the backup");
    let capture = fs::read(fixture.file()).expect("the captures");
    // sealed bytes look random, all others in the file do not
    let is_sealed = |part: &&[u8]| part.iter().collect::<BTreeSet<_>>().len() > 44;
    let parts: Vec<&[u8]> = capture.chunks_exact(64).filter(is_sealed).collect();
    assert!(parts.len() > 5, "{} sealed parts", parts.len());
    for part in parts {
        assert!(memchr::memmem::find(&backup, part).is_none());
    }
    assert_eq!(files_with(fixture.gatekeeper.folder(), PROMPT), [""; 0]);
}
