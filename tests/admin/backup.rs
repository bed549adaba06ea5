//! Backup and restore: hot copies under load verify; a restored instance has the books of the backup, what the log still holds of later
//! calls, and stays degraded until an operator accepts it.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use super::CommandOutput;
use crate::harness::process::{Gatekeeper, Key, Team, text};
use crate::harness::upstream::Upstream;
use crate::harness::workers::run_workers;
use crate::harness::{model, print_figure};

struct Fixture {
    upstream: Upstream,
    gatekeeper: Gatekeeper,
    team: Team,
    key: Key,
}

impl Fixture {
    fn new() -> Fixture {
        let upstream = Upstream::start();
        upstream.respond_with(model::with_usage(10, 20));
        let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
        let team = gatekeeper.team_with_budget("eng", "1");
        let key = gatekeeper.key_of(&team);
        Fixture {
            upstream,
            gatekeeper,
            team,
            key,
        }
    }

    fn file(&self, name: &str) -> String {
        self.gatekeeper.folder().join(name).display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> CommandOutput {
        CommandOutput::from(self.gatekeeper.run(arguments))
    }

    fn backup(&self, name: &str) -> String {
        self.numbered_backup(name).0
    }

    /// Path of a backup, and the record of the log that it goes up to.
    fn numbered_backup(&self, name: &str) -> (String, u64) {
        let (file, config) = (
            self.file(name),
            self.gatekeeper.config.display().to_string(),
        );
        let taken = self
            .run(&["backup", &file, "--config", &config])
            .assert_exit_code(0)
            .assert_stdout(&["records up to", "The seal key ", "it lies in ", "seal.key"]);
        let (_, rest) = taken.out.split_once("records up to ").expect("a number");
        let number = rest.split(',').next().and_then(|text| text.parse().ok());
        (file, number.expect("a number"))
    }

    /// Restores over the stopped instance and starts again.
    fn restore(&mut self, file: &str, flags: &[&str]) -> CommandOutput {
        let config = self.gatekeeper.config.display().to_string();
        let restored = self.run(&[&["restore", file, "--config", &config], flags].concat());
        let restored = restored.assert_exit_code(0);
        self.gatekeeper.start();
        restored
    }

    fn chat(&self) -> u16 {
        self.gatekeeper.user(&self.key).chat(&body()).status
    }

    fn readiness(&self) -> String {
        self.gatekeeper.admin().get("/readyz").text()
    }
}

fn body() -> serde_json::Value {
    json!({"model": "m-small", "max_tokens": 30, "messages": [{"role": "user", "content": "hello"}]})
}

/// Settled amount of the team's budget.
fn spent(fixture: &Fixture) -> String {
    let team = format!("/v1/teams/{}", fixture.team.id);
    let team = fixture.gatekeeper.admin().get(&team).json();
    let spent = team["budgets"][0]["spent"].as_str();
    spent.expect("an amount").to_owned()
}

#[test]
fn backups_under_load_verify_with_whole_books() {
    const CALLS: usize = 300;
    const WORKERS: usize = 8;
    let fixture = Fixture::new();
    let user = fixture.gatekeeper.user(&fixture.key);
    let files: Vec<(String, u64)> = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            run_workers(
                WORKERS,
                CALLS,
                |_| user.connect(),
                |connection, _| connection.chat(&body()).status,
            )
        });
        let files = (0..3).map(|number| {
            fixture.upstream.wait_for_requests(50 * (number + 1));
            fixture.numbered_backup(&format!("backup-{number}"))
        });
        let files = files.collect();
        assert!(
            load.join()
                .expect("the load ends")
                .iter()
                .all(|status| *status == 200)
        );
        files
    });
    let mut records = Vec::new();
    for (file, number) in &files {
        let checked = fixture.run(&["backup", "verify", file]).assert_exit_code(0);
        let line = checked
            .out
            .lines()
            .find(|line| line.contains(" records, "))
            .expect("counts");
        records.push(
            line.split(' ')
                .next()
                .expect("a number")
                .parse::<u64>()
                .expect("a number"),
        );
        // the log has a hold and a settlement per call: at this record of it, that many were settled and the rest was running
        let open = number.checked_sub(2 * records[records.len() - 1]);
        assert!(
            open.is_some_and(|open| open <= WORKERS as u64),
            "{number}: {records:?}"
        );
    }
    assert!(records.is_sorted() && records[0] >= 1, "{records:?}");
    let last = fixture.backup("last");
    fixture
        .run(&["backup", "verify", &last])
        .assert_exit_code(0)
        .assert_stdout(&[&format!("{CALLS} records, "), "audit events verify"]);
}

#[test]
fn restore_books_what_the_log_still_holds_and_is_degraded_until_accepted() {
    let mut fixture = Fixture::new();
    assert_eq!((fixture.chat(), fixture.chat()), (200, 200));
    let file = fixture.backup("backup");
    assert_eq!(
        (fixture.chat(), fixture.chat(), fixture.chat()),
        (200, 200, 200)
    );
    let (spent_before, bill) = (spent(&fixture), fixture.gatekeeper.usage_total());
    fixture.gatekeeper.kill_9();
    // the books are gone, the log is there
    let former = fixture.gatekeeper.data.join("gatekeeper.redb");
    std::fs::write(&former, "destroyed").expect("written");
    fixture.restore(&file, &[]).assert_stdout(&[
        "generation 2",
        "booked: 3;",
        "that are missing: 0",
        "before-restore-1-1",
    ]);
    assert_eq!(spent(&fixture), spent_before);
    assert_eq!(fixture.gatekeeper.usage_total(), bill);
    assert_eq!(fixture.gatekeeper.requests().len(), 5);
    assert!(
        fixture.readiness().contains("restored from the backup of"),
        "{}",
        fixture.readiness()
    );
    assert_eq!(fixture.chat(), 200, "a degraded instance serves");
    let config = fixture.gatekeeper.config.display().to_string();
    fixture
        .run(&["restore", "accept", "--config", &config])
        .assert_exit_code(0);
    assert!(
        !fixture.readiness().contains("restored"),
        "{}",
        fixture.readiness()
    );
    fixture.gatekeeper.restart();
    assert!(
        !fixture.readiness().contains("restored"),
        "{}",
        fixture.readiness()
    );
    fixture
        .run(&["restore", "accept", "--config", &config])
        .assert_exit_code(1)
        .assert_stderr(&["no restore to accept"]);
}

#[test]
fn standby_restored_from_a_shipped_backup_serves_with_keys_disabled() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.chat(), 200);
    let file = fixture.backup("shipped");
    // lost with the machine: it is in no backup
    assert_eq!(fixture.chat(), 200);
    let revoke = format!("/v1/keys/{}", fixture.key.id);
    fixture
        .gatekeeper
        .admin()
        .patch(&revoke, &json!({"disabled": true}))
        .assert_status(200);
    assert_eq!(fixture.chat(), 401);
    fixture.gatekeeper.kill_9();
    // another machine: nothing of the folder but the seal key, which was kept elsewhere
    let data = fixture.gatekeeper.data.clone();
    let kept = PathBuf::from(fixture.file("kept.key"));
    std::fs::copy(data.join("seal.key"), &kept).expect("copied");
    std::fs::remove_dir_all(&data).expect("removed");
    let config = fixture.gatekeeper.config.display().to_string();
    fixture
        .run(&["restore", &file, "--config", &config])
        .assert_exit_code(1)
        .assert_stderr(&["--seal-key"]);
    let key = kept.display().to_string();
    let began = Instant::now();
    fixture
        .restore(&file, &["--seal-key", &key, "--keys", "disabled"])
        .assert_stdout(&["1 virtual keys disabled", "everything else after"]);
    let recovery_ms = began.elapsed().as_millis().to_string();
    print_figure("standby, from the restore to ready, ms", &recovery_ms);
    assert_eq!(fixture.chat(), 401, "the revoked key stays out");
    let kept = fixture.gatekeeper.requests().len();
    print_figure(
        "standby, requests lost since the backup",
        &(2 - kept).to_string(),
    );
    assert_eq!(kept, 1);
    fixture.gatekeeper.verify_ledger();
}

#[test]
fn restore_brings_back_what_was_taken_away_since_and_books_what_was_spent_since() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.chat(), 200);
    let ada =
        json!({"name": "Ada", "email": "ada@example.com", "memberships": [{"role": "viewer"}]});
    let ada = fixture.gatekeeper.admin().post("/v1/users", &ada);
    let ada = text(&ada.assert_status(201).json(), "id");
    let file = fixture.backup("backup");
    assert_eq!((fixture.chat(), fixture.chat()), (200, 200));
    let admin = fixture.gatekeeper.admin();
    admin.delete(&format!("/v1/users/{ada}"));
    let key = format!("/v1/keys/{}", fixture.key.id);
    admin
        .patch(&key, &json!({"disabled": true}))
        .assert_status(200);
    assert_eq!(fixture.chat(), 401);
    let spent_before = spent(&fixture);
    fixture.gatekeeper.stop();
    fixture
        .restore(&file, &[])
        .assert_stdout(&["a revoked key or a removed user"]);
    // unknown to the backup: the revocation and the removal; known by the log: the money
    assert_eq!(spent(&fixture), spent_before);
    assert_eq!(fixture.chat(), 200, "the revoked key is back");
    let users = fixture.gatekeeper.admin().get("/v1/users").text();
    assert!(users.contains(&ada), "the removed user is back: {users}");
    assert!(
        fixture.readiness().contains("revoke again"),
        "{}",
        fixture.readiness()
    );
    fixture
        .gatekeeper
        .admin()
        .patch(&key, &json!({"disabled": true}))
        .assert_status(200);
    assert_eq!(fixture.chat(), 401);
}

#[test]
fn restore_of_a_damaged_backup_or_with_another_seal_key_replaces_nothing() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.chat(), 200);
    let file = fixture.backup("backup");
    let mut bytes = std::fs::read(&file).expect("a backup");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = fixture.file("damaged");
    std::fs::write(&damaged, bytes).expect("written");
    let other_key = fixture.file("other.key");
    std::fs::write(&other_key, "00".repeat(32)).expect("written");
    fixture.gatekeeper.stop();
    let config = fixture.gatekeeper.config.display().to_string();
    fixture
        .run(&["restore", &damaged, "--config", &config])
        .assert_exit_code(1)
        .assert_stderr(&["checksum"]);
    fixture
        .run(&[
            "restore",
            &file,
            "--config",
            &config,
            "--seal-key",
            &other_key,
        ])
        .assert_exit_code(1)
        .assert_stderr(&["the backup was made with"]);
    fixture.gatekeeper.start();
    assert_eq!(fixture.gatekeeper.requests().len(), 1);
}
