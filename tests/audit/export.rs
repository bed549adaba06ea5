//! Commands of the audit log against a process: export and verify, checkpoints kept outside, proofs, the tail, and what the log records
//! of each call.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Outcome, events, path, verify};
use crate::harness::process::Gatekeeper;

/// A server with some events, and a folder for exports.
struct Fixture {
    gatekeeper: Gatekeeper,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let gatekeeper = Gatekeeper::without_providers().start();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fixture = Fixture { gatekeeper, folder };
        fixture.add_teams(0, 12);
        fixture
    }

    fn add_teams(&self, from: usize, to: usize) {
        for number in from..to {
            let team = json!({"name": format!("team {number}")});
            let created = self.gatekeeper.admin().post("/v1/teams", &team);
            created.assert_status(201);
        }
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.gatekeeper.run(arguments).into()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Exports to a new folder of this name.
    fn export(&self, name: &str, more: &[&str]) -> PathBuf {
        let folder = self.file(name);
        let arguments = [&["audit", "export", path(&folder)], more].concat();
        self.run(&arguments).assert(0, &["written to"]);
        folder
    }

    /// Keeps a checkpoint outside the server.
    fn checkpoint(&self, name: &str) -> PathBuf {
        let kept = self
            .run(&["audit", "checkpoint"])
            .assert(0, &["gatekeeper/"]);
        fs::write(self.file(name), kept.out).expect("written");
        self.file(name)
    }
}

fn rewrite(file: &Path, change: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(file).expect("the file");
    let changed = change(text.clone());
    assert_ne!(changed, text, "the attack changes something");
    fs::write(file, changed).expect("written");
}

#[test]
fn export_verifies_without_a_server_and_says_what_its_checkpoint_covers() {
    let fixture = Fixture::new();
    let kept = fixture.checkpoint("kept");
    fixture.add_teams(12, 20);
    let export = fixture.export("export", &[]);
    verify(&[path(&export)]).assert(
        0,
        &[
            "verified",
            "from the export itself",
            "no checkpoint kept outside",
            "newest events were not dropped",
        ],
    );
    let key = export.join("public-keys");
    let arguments = [
        path(&export),
        "--checkpoint",
        path(&kept),
        "--public-key",
        path(&key),
    ];
    verify(&arguments).assert(
        0,
        &[
            "verified",
            "complete and unchanged",
            "not covered  whether events were dropped",
        ],
    );
    let found = events(&export);
    assert_eq!(found.last().expect("an event")["action"], "audit.export");
    let first = &found[0];
    assert_eq!(
        (&first["seq"], &first["action"]),
        (&json!(1), &json!("audit.key"))
    );
    let now = fixture.checkpoint("now");
    let later = fixture.export("later", &[]);
    let newer = [path(&later), "--checkpoint", path(&now)];
    verify(&newer).assert(0, &["complete and unchanged", "verified"]);
}

#[test]
fn changed_or_shortened_export_is_found_with_its_place() {
    let fixture = Fixture::new();
    let kept = fixture.checkpoint("kept");
    let changed = fixture.export("changed", &[]);
    rewrite(&changed.join("events.jsonl"), |text| {
        text.replacen("team 5", "team 6", 1)
    });
    verify(&[path(&changed)]).assert(14, &["DIFFERS", "at least one was changed"]);
    let dropped = fixture.export("dropped", &[]);
    rewrite(&dropped.join("events.jsonl"), |text| {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        [&lines[..4], &lines[5..]].concat().concat()
    });
    verify(&[path(&dropped)]).assert(14, &["events 5 to 5 missing"]);
    // an older export is a perfect one; only a checkpoint that was kept since shows it
    let older = fixture.export("older", &[]);
    fixture.add_teams(20, 22);
    let newer = fixture.checkpoint("newer");
    verify(&[path(&older), "--checkpoint", path(&kept)]).assert(0, &["verified"]);
    let arguments = [path(&older), "--checkpoint", path(&newer)];
    verify(&arguments).assert(14, &["missing: the saved checkpoint covers them"]);
}

#[test]
fn export_of_another_instance_is_refused_by_the_kept_key() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    let (own, foreign) = (fixture.export("own", &[]), other.export("foreign", &[]));
    let key = own.join("public-keys");
    verify(&[path(&own), "--public-key", path(&key)]).assert(0, &["verified"]);
    let arguments = [path(&foreign), "--public-key", path(&key)];
    verify(&arguments).assert(14, &["signed by another key"]);
}

#[test]
fn export_since_an_instant_begins_later_and_verifies() {
    let fixture = Fixture::new();
    let whole = fixture.export("whole", &[]);
    let at_ms = events(&whole)[6]["at_ms"].as_u64().expect("an instant");
    let at = jiff::Timestamp::from_millisecond(at_ms as i64).expect("an instant");
    let part = fixture.export("part", &["--since", &at.to_string()]);
    let found = events(&part);
    let first = found[0]["seq"].as_u64().expect("a number");
    assert!((2..=7).contains(&first), "{first}");
    verify(&[path(&part)]).assert(0, &["verified", &format!("events       {first} to ")]);
    rewrite(&part.join("events.jsonl"), |text| {
        text.replacen("team 9", "team 8", 1)
    });
    verify(&[path(&part)]).assert(14, &["at least one was changed"]);
}

#[test]
fn proof_of_one_event_stands_alone() {
    let fixture = Fixture::new();
    let proof = fixture.file("event-4.tlog-proof");
    fixture
        .run(&["audit", "prove", "4", "--out", path(&proof)])
        .assert(0, &[]);
    let key = fixture.export("export", &[]).join("public-keys");
    let arguments = [path(&proof), "--public-key", path(&key)];
    verify(&arguments).assert(0, &["verified: event 4 of gatekeeper/", "\"seq\":4"]);
    verify(&[path(&proof)]).assert(2, &["--public-key"]);
    rewrite(&proof, |text| text.replacen("index 3", "index 2", 1));
    verify(&arguments).assert(14, &["proves nothing"]);
    fixture
        .run(&["audit", "prove", "4000"])
        .assert(1, &["unknown audit event"]);
}

#[test]
fn event_names_actor_address_and_request_of_its_call() {
    let fixture = Fixture::new();
    let created = fixture
        .gatekeeper
        .admin()
        .post("/v1/teams", &json!({"name": "traced"}));
    let request = created.assert_status(201).header("x-gatekeeper-request-id");
    let request = request.expect("a request id").to_owned();
    let page = fixture
        .gatekeeper
        .admin()
        .get("/v1/audit?action=team.create&limit=1");
    let event = &page.assert_status(200).json()["data"][0];
    assert_eq!(event["action"], "team.create");
    assert_eq!(
        (&event["address"], &event["request"]),
        (&json!("127.0.0.1"), &json!(request))
    );
    fixture.run(&["teams", "create", "local"]).assert(0, &[]);
    let tail = fixture
        .run(&["audit", "tail", "-n", "1", "--action", "team.create"])
        .assert(0, &["team.create"]);
    let event: Value = serde_json::from_str(&tail.out).expect("a JSON line");
    assert!(
        event["actor"]
            .as_str()
            .expect("an actor")
            .starts_with("local:uid=")
    );
    assert!(event.get("address").is_none(), "a socket has no address");
}

#[test]
fn audit_list_filters_and_pages_in_both_directions() {
    let fixture = Fixture::new();
    let admin = fixture.gatekeeper.admin();
    let page = |query: &str| {
        admin
            .get(&format!("/v1/audit?{query}"))
            .assert_status(200)
            .json()
    };
    let seqs = |page: &Value| -> Vec<u64> {
        let data = page["data"].as_array().expect("a list");
        data.iter()
            .map(|event| event["seq"].as_u64().expect("a number"))
            .collect()
    };
    let newest = page("action=team.*&limit=5");
    let found = seqs(&newest);
    assert!(
        found.is_sorted_by(|one, other| one > other) && found.len() == 5,
        "{found:?}"
    );
    let next = page(&format!(
        "action=team.*&limit=5&before={}",
        newest["next"].as_str().expect("more")
    ));
    assert!(seqs(&next)[0] < found[4]);
    let oldest = page("after=0&limit=3");
    assert_eq!(seqs(&oldest), [1, 2, 3]);
    assert_eq!(
        seqs(&page(&format!(
            "after={}&limit=2",
            oldest["next"].as_str().expect("more")
        ))),
        [4, 5]
    );
    assert_eq!(seqs(&page("text=TEAM%207")).len(), 1);
    assert!(seqs(&page("actor=admin:none")).is_empty());
    // a follower gets the next event as soon as it is stored
    let follow = page("limit=1")["follow"]
        .as_str()
        .expect("a cursor")
        .to_owned();
    let waiting = std::thread::scope(|scope| {
        let follower = scope.spawn(|| page(&format!("after={follow}&wait=30")));
        fixture.add_teams(30, 31);
        follower.join().expect("an answer")
    });
    assert_eq!(waiting["data"][0]["detail"]["name"], "team 30");
}
