//! The audit log in the books: segments, checkpoints, proofs and pages over many events, the upgrade of an earlier log, a restore, and the
//! work of an append as the log grows.

use serde_json::json;

use super::backup::{begin_backup, read_to_end, restore_options};
use super::{create_store, options, reopen};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::PublicKey;
use crate::audit::proof::InclusionProof;
use crate::audit::tree::Frontier;
use crate::audit::verify::{Coverage, Provenance, Verifier};
use crate::domain::allow_list::AllowList;
use crate::domain::id::{OrganizationId, TeamId};
use crate::domain::secret::Secret;
use crate::domain::tenant::{Labels, MemberKeyRules, Team};
use crate::store::backup::restore::restore;
use crate::store::books::audit::append::{AuditLog, SEGMENT_BYTES};
use crate::store::books::audit::upgrade::add_tree;
use crate::store::books::database::begin;
use crate::store::books::tables::{AUDIT, AUDIT_SEGMENTS, AUDIT_STATE};
use crate::store::seal::SealKey;
use crate::store::{AuditEvent, AuditScan, Store, StoreError};

pub(super) fn event(number: u64, action: &'static str) -> AuditEvent {
    AuditEvent {
        at_ms: 1_000_000 + number,
        actor: format!("admin:adm_{}", number % 7),
        address: Some("10.0.0.7".into()),
        request: None,
        action,
        subject: format!("key_{number}"),
        detail: json!({"disabled": {"from": false, "to": true}, "note": "x".repeat(number as usize % 90)}),
    }
}

fn seal_key(letter: &str) -> SealKey {
    SealKey::of_secret(&Secret::new(letter.repeat(40)))
}

pub(super) async fn open_key(store: &Store, letter: &str) -> PublicKey {
    let announce = |action, detail| AuditEvent {
        action,
        detail,
        ..event(0, "audit.key")
    };
    let key = store.open_audit_key(&seal_key(letter), announce).await;
    key.expect("a key")
}

/// A row that no release reads.
const UNREADABLE: &[u8] = &[255; 7];

impl Store {
    /// Makes every append to the audit log fail: the row of its state is unreadable.
    pub(crate) fn break_audit_log(&self) {
        self.swap_audit_state("log", "kept", Some(UNREADABLE));
    }

    pub(crate) fn mend_audit_log(&self) {
        self.swap_audit_state("kept", "log", None);
    }

    /// Moves the state to another row and puts this one in its place.
    fn swap_audit_state(&self, from: &str, to: &str, instead: Option<&[u8]>) {
        let database = self.database.open().expect("open");
        let transaction = begin(&database).expect("begins");
        {
            let mut rows = transaction.open_table(AUDIT_STATE).expect("a table");
            let state = redb::ReadableTable::get(&rows, from).expect("reads");
            let state = state.expect("a state").value().to_vec();
            rows.insert(to, state.as_slice()).expect("written");
            match instead {
                Some(row) => drop(rows.insert(from, row).expect("written")),
                None => drop(rows.remove(from).expect("removed")),
            }
        }
        transaction.commit().expect("committed");
    }
}

/// Appends events, ten in a transaction.
pub(super) async fn append(store: &Store, from: u64, to: u64) {
    for first in (from..to).step_by(10) {
        let add = move |books: &mut crate::store::ChangeTransaction<'_>| {
            for number in first..to.min(first + 10) {
                books.append_audit(&event(number, "key.change"))?;
            }
            Ok::<_, StoreError>(())
        };
        store.write(add).await.expect("appended");
    }
}

pub(super) async fn sign(store: &Store) -> String {
    let note = store
        .write::<_, StoreError>(|books| books.sign_audit())
        .await;
    note.expect("signed").expect("a checkpoint")
}

fn scan(from: u64, to: u64, newest_first: bool, limit: usize) -> AuditScan {
    AuditScan {
        from,
        to,
        newest_first,
        limit,
        lines_max: usize::MAX,
        bytes_max: usize::MAX,
    }
}

fn seqs(store: &Store, scan: AuditScan) -> Vec<u64> {
    let page = store.audit_page(&scan, |_| true).expect("a page");
    for (seq, line) in &page.lines {
        assert!(line.contains(&format!("\"seq\":{seq},")), "{line}");
    }
    page.lines.iter().map(|(seq, _)| *seq).collect()
}

#[tokio::test]
async fn audit_log_over_many_segments_is_read_proved_and_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create_store(folder.path());
    let key = open_key(&store, "a").await;
    append(&store, 1, 1_200).await;
    let note = sign(&store).await;
    let size = store.audit_size().expect("a size");
    assert_eq!(
        Checkpoint::open(&note, std::slice::from_ref(&key))
            .expect("valid")
            .size,
        size
    );
    assert_eq!(size, 1_200, "the key, and the events");
    assert!(
        store.audit_checkpoints(0, size, 99).expect("notes").len() > 5,
        "one per segment"
    );
    for (from, to) in [(1, 4), (90, 130), (1_190, 1_201), (256, 257)] {
        let expected: Vec<u64> = (from..to).collect();
        assert_eq!(seqs(&store, scan(from, to, false, 500)), expected);
        let backwards: Vec<u64> = expected.into_iter().rev().collect();
        assert_eq!(seqs(&store, scan(from, to, true, 500)), backwards);
    }
    for seq in [1, 2, 255, 256, 257, 513, 1_024, 1_025, 1_199, 1_200] {
        let proof = store
            .prove_audit(seq, note.clone())
            .expect("reads")
            .expect("covered");
        let text = InclusionProof::parse(&proof.to_text()).expect("parses");
        text.verify(std::slice::from_ref(&key))
            .unwrap_or_else(|error| panic!("{seq}: {error}"));
    }
    assert_eq!(store.prove_audit(1_201, note.clone()).expect("reads"), None);
    let result = store.verify_audit(&[], || true).expect("verified");
    assert!(result.is_intact(), "{:?}", result.findings);
    // the events after any point are verified with the tree that the store gives for it
    for start in [0, 1, 255, 256, 700] {
        let tree = store.audit_tree_at(start).expect("a tree");
        let mut verifier = Verifier::new(vec![key.clone()], tree, 1);
        verifier.add_checkpoint(Provenance::Own, &note);
        for line in store.audit(start, 5_000).expect("lines") {
            verifier.event(line.as_bytes(), |_, _, _| {});
        }
        assert!(verifier.finish().is_intact(), "from {start}");
    }
    store.close();
    drop(store);
    let (store, _) = reopen(folder.path()).expect("opens");
    assert_eq!(open_key(&store, "a").await, key, "the same key");
    append(&store, 2_000, 2_003).await;
    assert!(
        store
            .verify_audit(&[note], || true)
            .expect("verified")
            .is_intact()
    );
    store.close();
}

#[tokio::test]
async fn another_seal_key_makes_a_new_signing_key_that_the_log_announces() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create_store(folder.path());
    let first = open_key(&store, "a").await;
    append(&store, 1, 5).await;
    sign(&store).await;
    store.close();
    drop(store);
    let (store, _) = reopen(folder.path()).expect("opens");
    let second = open_key(&store, "b").await;
    assert_ne!(first, second);
    let keys = [first.to_string(), second.to_string()];
    assert_eq!(store.audit_public_keys().expect("keys"), keys);
    let last = store.audit(0, 99).expect("lines").pop().expect("an event");
    assert!(
        last.contains("audit.key") && last.contains(&keys[1]),
        "{last}"
    );
    sign(&store).await;
    assert!(
        store
            .verify_audit(&[], || true)
            .expect("verified")
            .is_intact()
    );
    store.close();
}

async fn back_up(store: &Store, file: &std::path::Path) {
    let mut reader = begin_backup(store).await;
    read_to_end(
        &mut reader,
        &mut std::fs::File::create(file).expect("a file"),
    );
}

#[tokio::test]
async fn restore_begins_a_generation_that_names_the_log_it_continues() {
    let folder = tempfile::tempdir().expect("a folder");
    let (books, backup) = (folder.path().join("data"), folder.path().join("backup"));
    std::fs::create_dir(&books).expect("a folder");
    let store = create_store(&books);
    open_key(&store, "a").await;
    append(&store, 1, 200).await;
    let early = sign(&store).await;
    back_up(&store, &backup).await;
    append(&store, 200, 300).await;
    let late = sign(&store).await;
    store.close();
    drop(store);
    restore(&backup, &books, &restore_options()).expect("restored");
    let (store, _) = reopen(&books).expect("opens");
    let key = open_key(&store, "a").await;
    assert!(key.name().ends_with("/2"), "{key}");
    append(&store, 900, 990).await;
    sign(&store).await;
    let saved = [early, late];
    let result = store.verify_audit(&saved, || true).expect("verified");
    assert!(result.is_intact(), "{:?}", result.findings);
    assert_eq!(result.restores.len(), 1);
    let coverage: Vec<&Coverage> = result.saved.iter().map(|(_, coverage)| coverage).collect();
    assert_eq!(coverage[0], &Coverage::Unchanged);
    assert_eq!(coverage[1], &Coverage::Restored { after: 200 });
    store.close();
}

#[tokio::test]
async fn events_of_an_earlier_schema_become_the_first_leaves() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create_store(folder.path());
    let database = store.database.open().expect("open");
    let transaction = begin(&database).expect("begins");
    {
        let mut rows = transaction.open_table(AUDIT).expect("audit");
        for seq in 1..=700u64 {
            let line = format!(
                "{{\"seq\":{seq},\"at_ms\":5,\"actor\":\"process\",\"action\":\"key.create\",\"subject\":\"key_{seq}\",\"detail\":{{\"b\":1,\"a\":null}}}}"
            );
            rows.insert(seq, line.as_str()).expect("a row");
        }
    }
    add_tree(&transaction).expect("upgraded");
    transaction.commit().expect("committed");
    drop(database);
    let key = open_key(&store, "a").await;
    append(&store, 1, 20).await;
    let note = sign(&store).await;
    assert_eq!(Checkpoint::open(&note, &[key]).expect("valid").size, 720);
    let first = store.audit(0, 1).expect("lines").remove(0);
    assert!(first.starts_with("{\"action\":\"key.create\",\"actor\":\"process\",\"at_ms\":5,\"detail\":{\"a\":null,\"b\":1}"));
    let result = store.verify_audit(&[], || true).expect("verified");
    assert!(result.is_intact(), "{:?}", result.findings);
    store.close();
}

/// Bytes that a commit writes with an append and without, and those of the tree's state.
struct AppendCost {
    bytes: u64,
    bare_bytes: u64,
    state_bytes: usize,
}

impl AppendCost {
    /// Bytes of the append alone: each commit also writes redb's map of free pages, which grows with the file.
    fn own(&self) -> u64 {
        self.bytes.saturating_sub(self.bare_bytes)
    }
}

/// Bytes that a transaction with this change of the log writes, on average.
fn bytes_written(
    disk: &super::memory_disk::MemoryDisk,
    store: &Store,
    change: impl Fn(&mut AuditLog<'_>, u64),
) -> u64 {
    const TIMES: u64 = 50;
    let written = disk.bytes_written();
    let database = store.database.open().expect("open");
    for number in 0..TIMES {
        let transaction = begin(&database).expect("begins");
        let mut log = AuditLog::open(&transaction, None).expect("opens");
        change(&mut log, number);
        drop(log);
        transaction.commit().expect("committed");
    }
    (disk.bytes_written() - written) / TIMES
}

fn append_cost(disk: &super::memory_disk::MemoryDisk, store: &Store) -> AppendCost {
    let bare_bytes = bytes_written(disk, store, |log, _| log.store().expect("stored"));
    let bytes = bytes_written(disk, store, |log, number| {
        log.append(&event(number, "key.change")).expect("appended");
    });
    let database = store.database.open().expect("open");
    let transaction = database.begin_write().expect("begins");
    let rows = transaction.open_table(AUDIT_STATE).expect("state");
    let state = redb::ReadableTable::get(&rows, "log")
        .expect("reads")
        .expect("a row");
    AppendCost {
        bytes,
        bare_bytes,
        state_bytes: state.value().len(),
    }
}

#[test]
fn append_writes_as_much_to_a_long_log_as_to_a_short_one() {
    let events: u64 =
        std::env::var("GK_AUDIT_EVENTS").map_or(20_000, |text| text.parse().expect("a count"));
    let disk = super::memory_disk::MemoryDisk::default();
    let folder = tempfile::tempdir().expect("a folder");
    let options = crate::store::Options {
        disk: std::sync::Arc::new(disk.clone()),
        ..options(folder.path(), true)
    };
    let (store, _) = Store::open(options).expect("opens");
    fill(&store, 500);
    let short = append_cost(&disk, &store);
    fill(&store, events);
    let long = append_cost(&disk, &store);
    let state = store.audit_state().expect("state");
    eprintln!(
        "FIGURE audit append at {} events: {} bytes ({} pages) of a commit of {}, at 500 events: {} bytes of {}; state of the tree {} bytes",
        state.tree.size(),
        long.own(),
        long.own() / 4_096,
        long.bytes,
        short.own(),
        short.bytes,
        long.state_bytes
    );
    // a million events are 2.2 times as high a tree as 500
    assert!(
        long.own() <= short.own() * 3 && short.own() > 0,
        "{} and {} bytes",
        long.own(),
        short.own()
    );
    assert!(long.state_bytes < 2_048, "{} bytes", long.state_bytes);
    assert!(state.open_bytes <= SEGMENT_BYTES);
    let tree = store.audit_tree_at(state.tree.size()).expect("a tree");
    assert_eq!(
        tree.root(),
        state.tree.root(),
        "the stored nodes give the same tree"
    );
    store.close();
}

/// Changes a team, with an audit event or without.
async fn change_team(store: &Store, number: u64, with_event: bool) {
    let team = Team {
        id: TeamId(number % 50),
        organization: OrganizationId(1),
        name: format!("team {number}"),
        models: AllowList::All,
        labels: Labels::default(),
        endpoints: None,
        member_keys: MemberKeyRules::default(),
        max_cost: None,
        created_ms: number,
        deleted_ms: None,
    };
    let change = move |books: &mut crate::store::ChangeTransaction<'_>| {
        books.put_team(&team)?;
        if with_event {
            books.append_audit(&event(number, "team.change"))?;
        }
        Ok::<_, StoreError>(())
    };
    store.write(change).await.expect("stored");
}

/// Bytes that a change writes and its time, as medians without and with its event.
#[tokio::test]
async fn event_of_a_change_shares_its_commit() {
    let disk = super::memory_disk::MemoryDisk::default();
    let folder = tempfile::tempdir().expect("a folder");
    let in_memory = crate::store::Options {
        disk: std::sync::Arc::new(disk.clone()),
        ..options(folder.path(), true)
    };
    let (counted, _) = Store::open(in_memory).expect("opens");
    let on_disk = tempfile::tempdir().expect("a folder");
    let timed = create_store(on_disk.path());
    let (mut bytes, mut times) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for store in [&counted, &timed] {
        open_key(store, "a").await;
        append(store, 1, 2_000).await;
    }
    for number in 0..400u64 {
        let with_event = number % 2 == 1;
        let written = disk.bytes_written();
        change_team(&counted, number, with_event).await;
        bytes[usize::from(with_event)].push(disk.bytes_written() - written);
        let begun = std::time::Instant::now();
        change_team(&timed, number, with_event).await;
        times[usize::from(with_event)].push(begun.elapsed().as_micros() as u64);
    }
    let median = |mut values: Vec<u64>| {
        values.sort_unstable();
        values[values.len() / 2]
    };
    let ([bytes_without, bytes_with], [without, with]) = (bytes.map(median), times.map(median));
    eprintln!(
        "FIGURE change of the control plane: {with} us and {bytes_with} bytes with its audit event, {without} us and {bytes_without} \
         bytes without (medians of 200)"
    );
    assert!(
        bytes_with <= bytes_without + 16 * 4_096,
        "{bytes_with} and {bytes_without} bytes"
    );
    counted.close();
    timed.close();
}

/// Appends events in large transactions.
fn fill(store: &Store, events: u64) {
    let database = store.database.open().expect("open");
    for first in (0..events).step_by(10_000) {
        let transaction = begin(&database).expect("begins");
        let mut log = AuditLog::open(&transaction, None).expect("opens");
        for number in first..events.min(first + 10_000) {
            let line = format!(
                "{{\"action\":\"key.change\",\"at_ms\":{number},\"seq\":{}}}",
                log.state.tree.size() + 1
            );
            log.append_line(&format!("{line}{}", " ".repeat(250)))
                .expect("appended");
        }
        log.store().expect("stored");
        drop(log);
        assert!(transaction.open_table(AUDIT_SEGMENTS).is_ok());
        transaction.commit().expect("committed");
    }
}

#[test]
fn empty_audit_log_has_the_empty_tree() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create_store(folder.path());
    assert_eq!(
        store.audit_state().expect("state").tree,
        Frontier::default()
    );
    assert!(
        store
            .verify_audit(&[], || true)
            .expect("verified")
            .is_intact()
    );
    store.close();
}
