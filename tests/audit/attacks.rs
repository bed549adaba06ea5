//! Random attacks on an export: byte edits, deletions, swaps, insertions, duplicates, truncation, events of another instance, an older
//! copy, and new signatures with the current key. `GK_AUDIT_ATTACKS` sets their number.

use std::path::Path;

use gatekeeper::audit::checkpoint::{Checkpoint, notes};
use gatekeeper::audit::note::{PublicKey, Signer};
use gatekeeper::audit::tree::{Frontier, leaf_hash};
use gatekeeper::audit::verify::{Coverage, Provenance, Verification, Verifier};
use serde_json::json;

use super::path;
use crate::harness::process::Gatekeeper;
use crate::harness::repetitions;
use crate::harness::rng::SeededRng;

/// Content of an export.
#[derive(Clone)]
struct Export {
    lines: Vec<Vec<u8>>,
    notes: Vec<String>,
    keys: Vec<PublicKey>,
}

impl Export {
    /// Exports an instance with this many teams.
    fn of_instance(teams: usize) -> Export {
        let gatekeeper = Gatekeeper::without_providers().start();
        let folder = tempfile::tempdir().expect("a temporary folder");
        for number in 0..teams {
            let team = json!({"name": format!("team {number}"), "budgets": [{"limit": "5", "period": "monthly"}]});
            gatekeeper
                .admin()
                .post("/v1/teams", &team)
                .assert_status(201);
            if number % 20 == 0 {
                gatekeeper
                    .admin()
                    .get("/v1/audit/checkpoint")
                    .assert_status(200);
            }
        }
        let target = folder.path().join("export");
        let output = gatekeeper.run(&["audit", "export", path(&target)]);
        assert!(output.status.success());
        Export::read(&target)
    }

    fn read(folder: &Path) -> Export {
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file");
        Export {
            lines: text("events.jsonl")
                .lines()
                .map(|line| line.as_bytes().to_vec())
                .collect(),
            notes: notes(&text("checkpoints"))
                .into_iter()
                .map(str::to_owned)
                .collect(),
            keys: text("public-keys")
                .lines()
                .filter_map(PublicKey::parse)
                .collect(),
        }
    }

    fn verify(&self, keys: &[PublicKey], saved: &[String]) -> Verification {
        let mut verifier = Verifier::new(keys.to_vec(), Frontier::default(), 1);
        self.notes
            .iter()
            .for_each(|note| verifier.add_checkpoint(Provenance::Own, note));
        saved
            .iter()
            .for_each(|note| verifier.add_checkpoint(Provenance::Saved, note));
        self.lines
            .iter()
            .for_each(|line| verifier.event(line, |_, _, _| {}));
        verifier.finish()
    }

    /// Signs the events anew, at the sizes of the earlier checkpoints, with another key of the same name.
    fn resign(&mut self, signer: &Signer) {
        let sizes: Vec<u64> = self
            .notes
            .iter()
            .filter_map(|note| Checkpoint::read(note))
            .map(|head| head.size.min(self.lines.len() as u64))
            .collect();
        self.notes.clear();
        let mut tree = Frontier::default();
        for line in &self.lines {
            tree.append(leaf_hash(line), |_, _, _| {});
            if sizes.contains(&tree.size()) {
                let head = Checkpoint {
                    origin: signer.public_key().name().to_owned(),
                    size: tree.size(),
                    root: tree.root(),
                };
                self.notes.push(head.sign(signer));
            }
        }
    }
}

const ATTACKS: usize = 8;

/// Applies one attack; returns the place of the first event that it concerns.
fn attack(kind: usize, export: &mut Export, other: &Export, rng: &mut SeededRng) -> u64 {
    let count = export.lines.len();
    let mut below = |end: usize| rng.between(0, end as u64 - 1) as usize;
    let at = below(count);
    match kind {
        0 => {
            let (byte, bit) = (below(export.lines[at].len()), below(7));
            export.lines[at][byte] ^= 1 << bit;
        }
        1 => drop(export.lines.remove(at)),
        2 => {
            let at = at.min(count - 2);
            export.lines.swap(at, at + 1 + below(count - at - 1));
            return at as u64 + 1;
        }
        3 => {
            let line = format!(
                "{{\"action\":\"key.create\",\"at_ms\":1,\"seq\":{}}}",
                at + 1
            );
            export.lines.insert(at, line.into_bytes());
        }
        4 => {
            let line = export.lines[at].clone();
            export.lines.insert(at, line);
            return at as u64 + 2;
        }
        5 => export.lines.truncate(at),
        6 => {
            let at = at.min(other.lines.len() - 1);
            export.lines[at].clone_from(&other.lines[at]);
            return at as u64 + 1;
        }
        _ => {
            // a whole end of another instance, with its checkpoints
            let at = at.min(other.lines.len() - 1);
            export.lines.truncate(at);
            export.lines.extend_from_slice(&other.lines[at..]);
            export
                .notes
                .retain(|note| Checkpoint::read(note).is_some_and(|head| head.size <= at as u64));
            export.notes.extend(
                other
                    .notes
                    .iter()
                    .filter(|note| Checkpoint::read(note).is_some_and(|head| head.size > at as u64))
                    .cloned(),
            );
        }
    }
    at as u64 + 1
}

#[test]
fn every_attack_on_an_export_is_found_with_its_place() {
    let (export, other) = (Export::of_instance(120), Export::of_instance(90));
    let clean = export.verify(&export.keys, &export.notes[1..3]);
    assert!(clean.is_intact(), "{:?}", clean.findings);
    let mut rng = SeededRng::new(18);
    for number in 0..repetitions("GK_AUDIT_ATTACKS", 400) {
        let kind = number % ATTACKS;
        let mut attacked = export.clone();
        let place = attack(kind, &mut attacked, &other, &mut rng);
        let result = attacked.verify(&export.keys, &[]);
        let places: Vec<_> = result
            .findings
            .iter()
            .map(|found| (found.first, found.last))
            .collect();
        assert!(
            !places.is_empty(),
            "attack {number} of kind {kind} at {place} not found"
        );
        // swaps and deletions concern every event after them as well
        let is_named = places
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&place) || place.abs_diff(*first) <= 1);
        assert!(
            is_named || kind == 7,
            "attack {number} of kind {kind} at {place}: {places:?}"
        );
    }
}

#[test]
fn older_copies_and_new_signatures_are_found_by_a_kept_checkpoint() {
    let export = Export::of_instance(100);
    let (name, seed) = (export.keys[0].name().to_owned(), [9; 32]);
    let mut rng = SeededRng::new(81);
    // the intruder has the key: both the genuine log and the forged one are signed with it
    let signer = Signer::new(&name, &seed).expect("a signer");
    let keys = [signer.public_key().clone()];
    let mut genuine = export;
    genuine.resign(&signer);
    let kept = genuine.notes.clone();
    for number in 0..repetitions("GK_AUDIT_ATTACKS", 400) / 4 {
        let mut forged = genuine.clone();
        let count = forged.lines.len() as u64;
        let sizes: Vec<u64> = kept
            .iter()
            .filter_map(|note| Checkpoint::read(note))
            .map(|head| head.size)
            .collect();
        if number % 2 == 0 {
            let to = sizes[rng.between(0, sizes.len() as u64 - 2) as usize];
            forged.lines.truncate(to as usize);
            forged
                .notes
                .retain(|note| Checkpoint::read(note).is_some_and(|head| head.size <= to));
        } else {
            let at = rng.between(0, count - 1) as usize;
            let text = String::from_utf8(forged.lines[at].clone()).expect("UTF-8");
            forged.lines[at] = text
                .replacen("\"action\":\"", "\"action\":\"x", 1)
                .into_bytes();
            forged.resign(&signer);
        }
        assert!(
            forged.verify(&keys, &[]).is_intact(),
            "nothing in it is wrong by itself"
        );
        let result = forged.verify(&keys, &kept);
        assert!(!result.is_intact(), "attack {number} not found");
        let is_broken = |(_, coverage): &(Checkpoint, Coverage)| *coverage == Coverage::Broken;
        assert!(result.saved.iter().any(is_broken), "attack {number}");
    }
}
