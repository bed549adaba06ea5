//! Verification of logs made in memory: intact, changed in every way, restored, and from a start on.

use super::*;
use crate::audit::checkpoint::origin;
use crate::audit::jcs::canonical;
use crate::audit::note::Signer;
use serde_json::json;

const INSTANCE: [u8; 16] = [5; 16];

/// A log with a checkpoint every ten events.
#[derive(Clone, Default)]
struct Log {
    lines: Vec<String>,
    notes: Vec<String>,
    tree: Frontier,
}

fn signer(generation: u32) -> Signer {
    Signer::new(&origin(&INSTANCE, generation), &[3; 32]).expect("a signer")
}

impl Log {
    fn of(events: u64) -> Log {
        let mut log = Log::default();
        (0..events).for_each(|_| log.add(1, "key.create", json!({})));
        log
    }

    fn add(&mut self, generation: u32, action: &str, detail: serde_json::Value) {
        let seq = self.lines.len() + 1;
        let event = json!({"seq": seq, "at_ms": seq * 1_000, "action": action, "detail": detail});
        let line = canonical(&event);
        self.tree.append(leaf_hash(line.as_bytes()), |_, _, _| {});
        self.lines.push(line);
        if seq.is_multiple_of(10) {
            self.notes.push(self.note(generation));
        }
    }

    fn note(&self, generation: u32) -> String {
        let head = Checkpoint {
            origin: origin(&INSTANCE, generation),
            size: self.tree.size(),
            root: self.tree.root(),
        };
        head.sign(&signer(generation))
    }

    fn restore(&mut self, generation: u32) {
        let (size, root) = (self.tree.size(), STANDARD.encode(self.tree.root()));
        let detail =
            json!({"origin": origin(&INSTANCE, generation), "from": {"size": size, "root": root}});
        self.add(generation, RESTORED, detail);
    }

    fn verify(&self, saved: &[&str]) -> Verification {
        let keys = vec![signer(1).public_key().clone()];
        let mut verifier = Verifier::new(keys, Frontier::default(), 1);
        for note in &self.notes {
            verifier.add_checkpoint(Provenance::Own, note);
        }
        for note in saved {
            verifier.add_checkpoint(Provenance::Saved, note);
        }
        self.lines
            .iter()
            .for_each(|line| verifier.event(line.as_bytes(), |_, _, _| {}));
        verifier.finish()
    }
}

#[track_caller]
fn assert_found(log: &Log, kind: FindingKind, first: u64, last: u64) {
    let result = log.verify(&[]);
    let found = result
        .findings
        .iter()
        .find(|finding| finding.kind == kind)
        .unwrap_or_else(|| panic!("no {kind:?} in {:?}", result.findings));
    assert_eq!((found.first, found.last), (first, last), "{found:?}");
}

#[test]
fn intact_log_matches_every_checkpoint() {
    let log = Log::of(40);
    let result = log.verify(&[&log.notes[1]]);
    assert!(result.is_intact(), "{:?}", result.findings);
    assert_eq!((result.size, result.checkpoints), (40, 4));
    assert_eq!((result.first_ms, result.last_ms), (1_000, 40_000));
    assert_eq!(result.saved[0].1, Coverage::Unchanged);
}

#[test]
fn every_kind_of_change_is_found_with_its_place() {
    let log = Log::of(40);
    let mut changed = log.clone();
    changed.lines[12] = changed.lines[12].replace("key.create", "key.change");
    assert_found(&changed, FindingKind::Content, 11, 20);
    changed = log.clone();
    changed.lines.remove(12);
    assert_found(&changed, FindingKind::Order, 13, 13);
    changed = log.clone();
    changed.lines.swap(12, 13);
    assert_found(&changed, FindingKind::Order, 13, 13);
    changed = log.clone();
    changed.lines.insert(12, log.lines[3].clone());
    assert_found(&changed, FindingKind::Order, 13, 13);
    changed = log.clone();
    changed.lines[12].truncate(9);
    assert_found(&changed, FindingKind::Unreadable, 13, 13);
    changed = log.clone();
    changed.lines.truncate(35);
    assert_found(&changed, FindingKind::Truncated, 36, 40);
    changed = log.clone();
    changed.notes.pop();
    assert_found(&changed, FindingKind::Unsigned, 31, 40);
    changed = log.clone();
    changed.notes[2] = changed.notes[2].replace("\n30\n", "\n31\n");
    assert_found(&changed, FindingKind::Signature, 31, 31);
}

#[test]
fn older_copy_and_new_signatures_are_found_by_a_saved_checkpoint() {
    let log = Log::of(40);
    let older = Log::of(30);
    assert!(older.verify(&[]).is_intact(), "nothing in it is wrong");
    let result = older.verify(&[&log.notes[3]]);
    assert_eq!(result.findings[0].kind, FindingKind::Truncated);
    let mut forged = Log::of(15);
    (0..25).for_each(|_| forged.add(1, "team.create", json!({})));
    assert!(forged.verify(&[]).is_intact(), "it is signed with the key");
    let result = forged.verify(&[&log.notes[0], &log.notes[2]]);
    assert_eq!(result.saved[0].1, Coverage::Unchanged);
    assert_eq!(result.saved[1].1, Coverage::Broken);
    let found = &result.findings[0];
    assert_eq!(found.kind, FindingKind::Content, "{found:?}");
    assert_eq!((found.first, found.last), (11, 30));
}

#[test]
fn restore_is_told_from_tampering() {
    let before = Log::of(40);
    let mut restored = Log::of(25);
    restored.restore(2);
    (0..14).for_each(|_| restored.add(2, "key.create", json!({})));
    let result = restored.verify(&[&before.notes[1], &before.notes[2], &before.notes[3]]);
    assert!(result.is_intact(), "{:?}", result.findings);
    assert_eq!(result.restores.len(), 1);
    assert_eq!(
        (result.restores[0].event, result.restores[0].generation),
        (26, 2)
    );
    let coverage: Vec<&Coverage> = result.saved.iter().map(|(_, coverage)| coverage).collect();
    let replaced = Coverage::Restored { after: 25 };
    assert_eq!(coverage, [&Coverage::Unchanged, &replaced, &replaced]);
    // a restore does not excuse a change of the events that it continues
    let mut forged = Log::of(25);
    forged.lines[3] = forged.lines[3].replace("key.create", "key.change");
    forged.restore(2);
    assert_eq!(forged.verify(&[]).findings[0].kind, FindingKind::Content);
    let mut grafted = Log::of(20);
    grafted
        .lines
        .push(restored.lines[25].replace("\"seq\":26", "\"seq\":21"));
    let kinds: Vec<FindingKind> = grafted
        .verify(&[])
        .findings
        .iter()
        .map(|finding| finding.kind)
        .collect();
    assert!(kinds.contains(&FindingKind::Restore), "{kinds:?}");
}

#[test]
fn events_after_a_start_are_verified_with_its_tree() {
    let log = Log::of(40);
    let start = Log::of(17).tree;
    let mut verifier = Verifier::new(vec![signer(1).public_key().clone()], start, 1);
    verifier.add_checkpoint(Provenance::Saved, &log.notes[0]);
    verifier.add_checkpoint(Provenance::Own, &log.notes[3]);
    log.lines[17..]
        .iter()
        .for_each(|line| verifier.event(line.as_bytes(), |_, _, _| {}));
    let result = verifier.finish();
    assert!(result.is_intact(), "{:?}", result.findings);
    assert_eq!(result.saved[0].1, Coverage::BeforeStart);
    assert_eq!((result.first, result.size), (18, 40));
}
