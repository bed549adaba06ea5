//! `kill -9` while the control plane changes: every acknowledged change has its event, every event its change, and the log that follows
//! continues every checkpoint that was kept before. `GK_AUDIT_KILLS` sets the number of kills.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{events, path, verify};
use crate::harness::process::Gatekeeper;
use crate::harness::rng::SeededRng;
use crate::harness::{SetOnDrop, print_figure, repetitions};

/// Creates teams until the server dies; returns the names of those that were acknowledged.
fn create_teams(gatekeeper: &Gatekeeper, round: usize, stop: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let mut connection = gatekeeper.admin().connect();
    for number in 0.. {
        let name = format!("team {round}.{number}");
        let body = json!({"name": name}).to_string();
        connection.send_request("POST", "/v1/teams", Some(body.as_bytes()));
        match connection.try_read_response("POST") {
            Ok(response) => {
                response.assert_status(201);
                acknowledged.push(name);
            }
            Err(_) => break,
        }
        if stop.load(Ordering::SeqCst) {
            break;
        }
    }
    acknowledged
}

#[test]
fn kill_leaves_no_gap_no_fork_and_no_event_without_its_change() {
    let kills = repetitions("GK_AUDIT_KILLS", 3);
    let mut gatekeeper = Gatekeeper::without_providers().start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kept = folder.path().join("kept");
    let mut rng = SeededRng::new(7);
    let acknowledged = Mutex::new(Vec::new());
    let mut checkpoints = String::new();
    for round in 0..kills {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _stop = SetOnDrop(&stop);
            scope.spawn(|| {
                let names = create_teams(&gatekeeper, round, &stop);
                acknowledged.lock().expect("unpoisoned").extend(names);
            });
            let note = gatekeeper.admin().get("/v1/audit/checkpoint");
            checkpoints += &note.assert_status(200).text();
            std::thread::sleep(Duration::from_millis(rng.between(20, 400)));
            let pid = rustix::process::Pid::from_raw(gatekeeper.pid() as i32).expect("a process");
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
        });
        gatekeeper.kill_9();
        gatekeeper.start();
    }
    fs::write(&kept, checkpoints).expect("written");
    let export = folder.path().join("export");
    assert!(
        gatekeeper
            .run(&["audit", "export", path(&export)])
            .status
            .success()
    );
    verify(&[path(&export), "--checkpoint", path(&kept)])
        .assert(0, &["verified", "complete and unchanged"]);
    let acknowledged = acknowledged.into_inner().expect("unpoisoned");
    let created = assert_events_equal_changes(&gatekeeper, &export, &acknowledged);
    print_figure(
        "kills under changes",
        &format!(
            "{kills} kills, {} acknowledged changes, {} events",
            acknowledged.len(),
            created
        ),
    );
}

/// Every change has its event, and every event its change; returns their number.
fn assert_events_equal_changes(
    gatekeeper: &Gatekeeper,
    export: &Path,
    acknowledged: &[String],
) -> usize {
    let created: BTreeSet<(String, String)> = events(export)
        .iter()
        .filter(|event| event["action"] == "team.create")
        .map(|event| (id(&event["subject"]), id(&event["detail"]["name"])))
        .collect();
    let teams = gatekeeper
        .admin()
        .get("/v1/teams?limit=500")
        .assert_status(200)
        .json();
    let stored: BTreeSet<(String, String)> = teams["data"]
        .as_array()
        .expect("teams")
        .iter()
        .map(|team| (id(&team["id"]), id(&team["name"])))
        .collect();
    assert!(stored.is_subset(&created), "a change without its event");
    assert!(
        teams["next"].is_string() || created.is_subset(&stored),
        "an event without its change"
    );
    let names: BTreeSet<&String> = created.iter().map(|(_, name)| name).collect();
    for name in acknowledged {
        assert!(
            names.contains(name),
            "{name} was acknowledged and has no event"
        );
    }
    created.len()
}

fn id(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
