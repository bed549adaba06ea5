//! Verifier of a log: reads its events in order, compares the tree with every checkpoint at its size, and says of each difference which
//! events it concerns. A restore, which the log itself records, is told from a truncation. Needs no server and no stored tree.

use std::borrow::Cow;
use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::audit::checkpoint::{Checkpoint, parse_origin};
use crate::audit::note::{NoteError, PublicKey};
use crate::audit::tree::{Frontier, Hash, leaf_hash};

/// Action of the first event after a restore; its detail names origin, size and root of the log that it continues.
pub const RESTORED: &str = "instance.restored";
/// Findings that a verification lists; the others are counted.
const FINDINGS_MAX: usize = 100;

/// Origin of a checkpoint that the events are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// stored beside the events
    Own,
    /// kept elsewhere by the caller
    Saved,
}

/// Kind of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// an event is not one line of JSON with a number
    Unreadable,
    /// the number of an event is not that of its place
    Order,
    /// the events up to a checkpoint are not those that were signed
    Content,
    /// a checkpoint covers events that are missing
    Truncated,
    /// events follow the newest checkpoint
    Unsigned,
    /// a checkpoint is not signed by a trusted key
    Signature,
    /// a restore names another log than the one before it
    Restore,
}

impl FindingKind {
    pub fn as_str(self) -> &'static str {
        match self {
            FindingKind::Unreadable => "unreadable",
            FindingKind::Order => "order",
            FindingKind::Content => "content",
            FindingKind::Truncated => "truncated",
            FindingKind::Unsigned => "unsigned",
            FindingKind::Signature => "signature",
            FindingKind::Restore => "restore",
        }
    }
}

/// A difference, and the events that it concerns, by their place in the log from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: FindingKind,
    pub first: u64,
    pub last: u64,
    pub says: String,
}

/// A restore that the log records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// place of its event
    pub event: u64,
    pub at_ms: u64,
    /// generation that it begins
    pub generation: u32,
}

/// Result of comparing the log with a saved checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// the events up to its size are unchanged
    Unchanged,
    /// a restore replaced the events after the given place
    Restored { after: u64 },
    /// the log does not contain the signed events
    Broken,
    /// the events begin after it
    BeforeStart,
}

/// Verdict on a log.
#[derive(Clone, Debug)]
pub struct Verification {
    /// place of the first event that was read
    pub first: u64,
    /// events of the log, up to the last one that was read
    pub size: u64,
    pub root: Hash,
    pub first_ms: u64,
    pub last_ms: u64,
    /// own checkpoints that match
    pub checkpoints: usize,
    /// the newest of them
    pub newest: Option<Checkpoint>,
    pub saved: Vec<(Checkpoint, Coverage)>,
    pub restores: Vec<Restore>,
    pub findings: Vec<Finding>,
    /// findings that are not listed
    pub unlisted: u64,
}

impl Verification {
    /// True if nothing was found.
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Verification in progress.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<PublicKey>,
    tree: Frontier,
    /// generation of the events that are read now
    generation: u32,
    /// by size
    pending: VecDeque<(Provenance, Checkpoint)>,
    /// size of the newest checkpoint that matches; of the newest saved one
    matched: u64,
    matched_saved: u64,
    expected: u64,
    result: Verification,
}

/// Members of an event that its place is checked with.
#[derive(Deserialize)]
struct EventHead<'e> {
    seq: u64,
    #[serde(default)]
    at_ms: u64,
    #[serde(borrow)]
    action: Cow<'e, str>,
}

#[derive(Deserialize)]
struct RestoreEvent {
    detail: RestoreDetail,
}

#[derive(Deserialize)]
struct RestoreDetail {
    origin: String,
    from: RestoredHead,
}

#[derive(Deserialize)]
struct RestoredHead {
    size: u64,
    root: String,
}

impl Verifier {
    /// Verifies the events that follow the given tree, with the given keys. `generation` is that of the tree.
    pub fn new(keys: Vec<PublicKey>, start: Frontier, generation: u32) -> Verifier {
        let first = start.size() + 1;
        let result = Verification {
            first,
            size: start.size(),
            root: start.root(),
            first_ms: 0,
            last_ms: 0,
            checkpoints: 0,
            newest: None,
            saved: Vec::new(),
            restores: Vec::new(),
            findings: Vec::new(),
            unlisted: 0,
        };
        Verifier {
            keys,
            matched: start.size(),
            matched_saved: start.size(),
            tree: start,
            generation,
            pending: VecDeque::new(),
            expected: first,
            result,
        }
    }

    /// Adds a checkpoint, before the first event.
    pub fn add_checkpoint(&mut self, provenance: Provenance, note: &str) {
        match Checkpoint::open(note, &self.keys) {
            Ok(checkpoint) => self.add_head(provenance, checkpoint),
            Err(error) => self.report_note(provenance, note, error),
        }
    }

    /// Adds a head whose signature the caller has checked or does not need.
    pub fn add_head(&mut self, provenance: Provenance, head: Checkpoint) {
        let at = self
            .pending
            .partition_point(|(_, other)| other.size <= head.size);
        self.pending.insert(at, (provenance, head));
    }

    fn report_note(&mut self, provenance: Provenance, note: &str, error: NoteError) {
        let size = Checkpoint::read(note).map_or(0, |checkpoint| checkpoint.size);
        let place = match provenance {
            Provenance::Own => "checkpoint of the log",
            Provenance::Saved => "saved checkpoint",
        };
        let says = format!("{place} at event {size}: {error}");
        self.report(FindingKind::Signature, (size, size), says);
    }

    /// Reads the next event, without its line feed; reports the subtrees that it completes.
    pub fn event(&mut self, line: &[u8], completed: impl FnMut(u32, u64, &Hash)) {
        if self.tree.size() + 1 == self.result.first {
            self.compare();
        }
        let place = self.tree.size() + 1;
        match serde_json::from_slice::<EventHead<'_>>(line) {
            Ok(head) => self.check(place, &head, line),
            Err(error) => {
                let says = format!("event {place}: unreadable ({error})");
                self.report(FindingKind::Unreadable, (place, place), says);
                self.expected += 1;
            }
        }
        self.tree.append(leaf_hash(line), completed);
        self.compare();
    }

    fn check(&mut self, place: u64, head: &EventHead<'_>, line: &[u8]) {
        if head.seq != self.expected {
            let (expected, found) = (self.expected, head.seq);
            let says = if found > expected {
                format!(
                    "events {expected} to {} missing before event {found}",
                    found - 1
                )
            } else {
                format!("event {found} in the place of event {expected}: repeated or moved")
            };
            self.report(FindingKind::Order, (place, place), says);
        }
        self.expected = head.seq.saturating_add(1);
        if place == self.result.first {
            self.result.first_ms = head.at_ms;
        }
        self.result.last_ms = head.at_ms;
        if head.action == RESTORED {
            self.check_restore(place, head.at_ms, line);
        }
    }

    /// A restore continues the very log before it, under the next generation.
    fn check_restore(&mut self, place: u64, at_ms: u64, line: &[u8]) {
        let root = STANDARD.encode(self.tree.root());
        let continued = serde_json::from_slice::<RestoreEvent>(line)
            .ok()
            .and_then(|event| {
                let (_, generation) = parse_origin(&event.detail.origin)?;
                let from = event.detail.from;
                (from.size == self.tree.size() && from.root == root && generation > self.generation)
                    .then_some(generation)
            });
        match continued {
            Some(generation) => {
                self.generation = generation;
                self.result.restores.push(Restore {
                    event: place,
                    at_ms,
                    generation,
                });
            }
            None => {
                let says = format!("event {place}: restore of another log than the one before it");
                self.report(FindingKind::Restore, (place, place), says);
            }
        }
    }

    /// Compares the tree with the checkpoints at its size.
    fn compare(&mut self) {
        let size = self.tree.size();
        let root = self.is_due().then(|| self.tree.root());
        while let Some((_, head)) = self.pending.front()
            && head.size <= size
            && let Some((provenance, head)) = self.pending.pop_front()
        {
            let coverage = if head.size < size {
                Coverage::BeforeStart
            } else if self.is_older_generation(&head) {
                Coverage::Restored {
                    after: self.restored_after(&head),
                }
            } else if Some(head.root) == root {
                Coverage::Unchanged
            } else {
                self.report_content(provenance, &head);
                Coverage::Broken
            };
            self.count(provenance, head, coverage);
        }
    }

    /// True if a checkpoint is waiting for the present size: the root is only then computed.
    fn is_due(&self) -> bool {
        self.pending
            .front()
            .is_some_and(|(_, head)| head.size == self.tree.size())
    }

    fn is_older_generation(&self, head: &Checkpoint) -> bool {
        parse_origin(&head.origin).is_some_and(|(_, generation)| generation < self.generation)
    }

    /// Last place whose event a restore has kept of the log that a checkpoint covers.
    fn restored_after(&self, head: &Checkpoint) -> u64 {
        let generation = parse_origin(&head.origin).map_or(0, |(_, generation)| generation);
        let mut restores = self.result.restores.iter();
        restores
            .find(|restore| restore.generation > generation)
            .map_or(0, |restore| restore.event - 1)
    }

    fn count(&mut self, provenance: Provenance, head: Checkpoint, coverage: Coverage) {
        if coverage == Coverage::Unchanged {
            self.matched = head.size;
            if provenance == Provenance::Saved {
                self.matched_saved = head.size;
            }
        }
        match (provenance, &coverage) {
            (Provenance::Saved, _) => self.result.saved.push((head, coverage)),
            (Provenance::Own, Coverage::Unchanged) => {
                self.result.checkpoints += 1;
                self.result.newest = Some(head);
            }
            (Provenance::Own, _) => {}
        }
    }

    fn report_content(&mut self, provenance: Provenance, head: &Checkpoint) {
        // an intruder with the key can sign anew, so only a saved checkpoint confirms a saved one
        let (whose, matched) = match provenance {
            Provenance::Own => ("checkpoint", self.matched),
            Provenance::Saved => ("saved checkpoint", self.matched_saved),
        };
        let place = (matched + 1, head.size.max(matched + 1));
        let says = format!(
            "events {} to {}: at least one was changed after the {whose} at event {} was signed",
            place.0, place.1, head.size
        );
        // later checkpoints cover the same change
        let known =
            |finding: &Finding| finding.kind == FindingKind::Content && finding.first == place.0;
        if provenance == Provenance::Saved || !self.result.findings.iter().any(known) {
            self.report(FindingKind::Content, place, says);
        }
    }

    /// Ends the verification after the last event.
    pub fn finish(mut self) -> Verification {
        self.compare();
        let size = self.tree.size();
        while let Some((provenance, head)) = self.pending.pop_front() {
            let coverage = if self.is_older_generation(&head) {
                let after = self.restored_after(&head);
                Coverage::Restored { after }
            } else {
                let says = format!(
                    "events {} to {} missing: the {} covers them",
                    size + 1,
                    head.size,
                    match provenance {
                        Provenance::Own => "newest checkpoint",
                        Provenance::Saved => "saved checkpoint",
                    }
                );
                self.report(FindingKind::Truncated, (size + 1, head.size), says);
                Coverage::Broken
            };
            self.count(provenance, head, coverage);
        }
        let signed = self.result.newest.as_ref().map_or(0, |head| head.size);
        if self.result.findings.is_empty() && signed < size {
            let says = format!("events {} to {size}: no checkpoint covers them", signed + 1);
            self.report(FindingKind::Unsigned, (signed + 1, size), says);
        }
        self.result.size = size;
        self.result.root = self.tree.root();
        self.result
    }

    fn report(&mut self, kind: FindingKind, (first, last): (u64, u64), says: String) {
        if self.result.findings.len() < FINDINGS_MAX {
            self.result.findings.push(Finding {
                kind,
                first,
                last,
                says,
            });
        } else {
            self.result.unlisted += 1;
        }
    }
}

#[cfg(test)]
mod tests;
