//! A restored instance: its log continues that of the backup under the next generation, and a verifier tells the restore from tampering.

use std::fs;

use serde_json::{Value, json};

use super::{Outcome, events, path, verify};
use crate::harness::process::Gatekeeper;

struct Fixture {
    gatekeeper: Gatekeeper,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let gatekeeper = Gatekeeper::without_providers().start();
        Fixture { gatekeeper, folder }
    }

    fn file(&self, name: &str) -> String {
        path(&self.folder.path().join(name)).to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::from(self.gatekeeper.run(arguments))
    }

    fn add_teams(&self, from: usize, to: usize) {
        for number in from..to {
            let team = json!({"name": format!("team {number}")});
            let made = self.gatekeeper.admin().post("/v1/teams", &team);
            made.assert_status(201);
        }
    }

    fn keep_checkpoint(&self, name: &str) -> String {
        let kept = self.run(&["audit", "checkpoint"]).assert(0, &[]);
        fs::write(self.file(name), kept.out).expect("written");
        self.file(name)
    }

    fn export(&self, name: &str) -> String {
        self.run(&["audit", "export", &self.file(name)])
            .assert(0, &[]);
        self.file(name)
    }

    /// Takes a backup, changes more, and restores the backup over it.
    fn restore(&mut self) {
        let (backup, config) = (
            self.file("backup"),
            path(&self.gatekeeper.config).to_owned(),
        );
        let taken = ["backup", &backup, "--config", &config];
        self.run(&taken).assert(0, &["records up to"]);
        self.add_teams(10, 14);
        self.keep_checkpoint("lost");
        self.gatekeeper.stop();
        let restored = ["restore", &backup, "--config", &config];
        self.run(&restored).assert(0, &[]);
        self.gatekeeper.start();
    }
}

#[test]
fn restore_is_told_from_tampering_and_excuses_no_change() {
    let mut fixture = Fixture::new();
    fixture.add_teams(0, 8);
    let early = fixture.keep_checkpoint("early");
    let key = fixture.export("before") + "/public-keys";
    fixture.restore();
    fixture.add_teams(20, 24);
    let late = fixture.keep_checkpoint("late");
    let export = fixture.export("after");
    let found = events(export.as_ref());
    let restores: Vec<&Value> = found
        .iter()
        .filter(|event| event["action"] == "instance.restored")
        .collect();
    assert_eq!(restores.len(), 1, "{restores:?}");
    let lost = fixture.file("lost");
    let arguments = [
        &export,
        "--public-key",
        &key,
        "--checkpoint",
        &early,
        "--checkpoint",
        &lost,
        "--checkpoint",
        &late,
    ];
    let after = restores[0]["seq"].as_u64().expect("a number") - 1;
    let says = format!("a restore replaced what followed event {after};");
    verify(&arguments).assert(0, &["generation 2 continues a backup", &says, "verified"]);
    // the checkpoint of the replaced log does not excuse a change of what the restore continues
    let file = format!("{export}/events.jsonl");
    let text = fs::read_to_string(&file).expect("the events");
    fs::write(&file, text.replacen("team 3", "team 4", 1)).expect("written");
    verify(&arguments).assert(14, &["at least one was changed"]);
}
