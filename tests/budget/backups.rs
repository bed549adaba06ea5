//! Backups that the command line takes while calls race. Each verifies, and the books restored from it are the running books at one record
//! of the log: every call that was complete before the backup began, each call as it was booked, no budget exceeded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::race::{CONCURRENCY, Race, spent, start_gateway_on_backup};
use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{gatekeeper_command, text};
use crate::harness::upstream::Upstream;
use crate::harness::{SetOnDrop, pico, usd};

/// Backups of one race.
const BACKUPS_MAX: usize = 3;

/// Backup, and what was known when it began.
pub struct Backup {
    file: PathBuf,
    /// records of the log that it contains
    applied: u64,
    /// requests whose responses the clients had received completely
    completed: Vec<String>,
}

/// Number of backups, and of calls that were in flight while they were taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackupCounts {
    pub backups: usize,
    pub in_flight: usize,
}

impl BackupCounts {
    pub fn add(&mut self, other: BackupCounts) {
        self.backups += other.backups;
        self.in_flight += other.in_flight;
    }
}

/// Runs the work and takes backups until it ends, the first once a call has reached the upstream.
pub fn back_up_while<T>(
    gateway: &InProcessGateway,
    upstream: &Upstream,
    race: &Race,
    folder: &TempDir,
    work: impl FnOnce() -> T,
) -> (T, Vec<Backup>) {
    let (config, first) = (gateway.config(), upstream.request_count() + 1);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let backups = scope.spawn(|| {
            upstream.wait_for_requests(first);
            let mut taken = vec![];
            while taken.is_empty() || taken.len() < BACKUPS_MAX && !ended.load(Ordering::SeqCst) {
                let file = folder.path().join(format!("backup-{}", taken.len()));
                taken.push(Backup::take(config, race, file));
            }
            taken
        });
        let end = SetOnDrop(&ended);
        let result = work();
        drop(end);
        (result, backups.join().expect("every backup is taken"))
    })
}

impl Backup {
    fn take(config: &Path, race: &Race, file: PathBuf) -> Backup {
        let completed = race.completed();
        let said = run(&[
            "backup",
            &shown(&file),
            "--config",
            &config.display().to_string(),
        ]);
        let number = said.split_once("records up to ").and_then(|(_, rest)| {
            let (number, _) = rest.split_once(',')?;
            number.parse().ok()
        });
        Backup {
            file,
            applied: number.unwrap_or_else(|| panic!("no number of a record in {said}")),
            completed,
        }
    }

    /// Verifies the backup and starts a gateway on the books restored from it.
    pub fn verify_and_restore(
        &self,
        gateway: &InProcessGateway,
        upstream: &Upstream,
    ) -> InProcessGateway {
        let said = run(&["backup", "verify", &shown(&self.file)]);
        assert!(said.contains("audit events verify"), "{said}");
        start_gateway_on_backup(&self.file, gateway, upstream)
    }

    /// Checks the request log of the restored books against that of the running ones; returns the number of calls that were in flight.
    pub fn assert_is_a_cut(&self, restored: &[Value], running: &[Value]) -> usize {
        let running: BTreeMap<String, &Value> =
            running.iter().map(|row| (text(row, "id"), row)).collect();
        let (open, settled): (Vec<&Value>, Vec<&Value>) = restored
            .iter()
            .partition(|row| row["flags"] == json!(["orphaned"]));
        for row in &settled {
            assert_eq!(
                running.get(&text(row, "id")),
                Some(row),
                "booked otherwise than in the running books"
            );
        }
        for row in &open {
            let (id, ceiling) = (text(row, "id"), text(row, "ceiling_usd"));
            assert_eq!(text(row, "cost_usd"), ceiling, "{row}");
            let later = running
                .get(&id)
                .unwrap_or_else(|| panic!("{id} was never settled"));
            assert!(
                pico(&text(later, "cost_usd")) <= pico(&ceiling),
                "{later} above {row}"
            );
        }
        for id in &self.completed {
            assert!(
                settled.iter().any(|row| row["id"] == id.as_str()),
                "{id} was complete before the backup began, and is not settled in it"
            );
        }
        assert!(open.len() <= CONCURRENCY, "{} calls in flight", open.len());
        // one record for each hold, and one for each settlement
        let (held, settled) = (restored.len() as u64, settled.len() as u64);
        assert_eq!(
            self.applied,
            held + settled,
            "{held} held, {settled} settled"
        );
        open.len()
    }
}

/// Checks every budget of the restored owners, in the order organization, team, parent, children, against the rows of their calls.
pub fn assert_restored_budgets(owners: &[Value], rows: &[Value], when: &str) {
    let of_team = |row: &&Value| row["team"] == owners[1]["id"];
    for (number, owner) in owners.iter().enumerate() {
        let of_owner = |row: &&Value| number < 3 || row["key"] == owner["id"];
        for budget in owner["budgets"].as_array().expect("budgets") {
            let of_model =
                |row: &&Value| budget["model"].is_null() || text(row, "model").starts_with("m-");
            let rows = rows.iter().filter(of_team).filter(of_owner);
            let booked: i128 = rows
                .filter(of_model)
                .map(|row| pico(&text(row, "net_cost_usd")))
                .sum();
            assert_eq!(usd(spent(budget)), usd(booked), "{when}: {budget}");
            assert!(booked <= pico(&text(budget, "limit")), "{when}: {budget}");
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Runs a command of the binary that must succeed; returns what it printed.
fn run(arguments: &[&str]) -> String {
    let output = gatekeeper_command()
        .args(arguments)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}
