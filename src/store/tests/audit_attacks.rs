//! Random attacks on the stored audit log, row by row in its tables: the verification finds every one. `GK_AUDIT_ATTACKS` sets their
//! number.

use redb::{ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

use super::audit::{append, open_key, sign};
use super::memory_disk::MemoryDisk;
use super::options;
use crate::audit::verify::Coverage;
use crate::store::books::audit::append::AuditLog;
use crate::store::books::database::{begin, create_audit_tables};
use crate::store::books::tables::{
    AUDIT, AUDIT_CHECKPOINTS, AUDIT_NODES, AUDIT_SEGMENTS, AUDIT_STATE,
};
use crate::store::{Options, Store};

/// xorshift generator.
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

fn store_on(disk: &MemoryDisk, create: bool) -> Store {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        disk: std::sync::Arc::new(disk.clone()),
        ..options(folder.path(), create)
    };
    Store::open(options).expect("opens").0
}

/// Applies an attack; returns the first event that it concerns.
type Attack = fn(&WriteTransaction, &mut Rng, &[String]) -> u64;

const ATTACKS: [(&str, Attack); 11] = [
    ("byte of an open event", edit_open),
    ("byte of a segment", edit_segment),
    ("open event deleted", delete_open),
    ("segment deleted", delete_segment),
    ("segments swapped", swap_segments),
    ("event repeated", repeat_open),
    ("event inserted", insert_open),
    ("end dropped", drop_end),
    ("events of another instance", splice),
    ("node of the tree", edit_node),
    ("checkpoint", edit_checkpoint),
];

/// Changes one byte to another printable letter; returns its place.
fn edit(bytes: &mut [u8], rng: &mut Rng) -> usize {
    let at = rng.below(bytes.len());
    bytes[at] = match bytes[at] {
        b'~' => b'}',
        b'\n' => b' ',
        other => other + 1,
    };
    at
}

fn keys(transaction: &WriteTransaction, table: TableDefinition<u64, &[u8]>) -> Vec<u64> {
    let rows = transaction.open_table(table).expect("a table");
    let keys = rows
        .iter()
        .expect("rows")
        .map(|row| row.expect("a row").0.value());
    keys.collect()
}

fn open_keys(transaction: &WriteTransaction) -> Vec<u64> {
    let rows = transaction.open_table(AUDIT).expect("a table");
    let keys = rows
        .iter()
        .expect("rows")
        .map(|row| row.expect("a row").0.value());
    keys.collect()
}

fn open_line(transaction: &WriteTransaction, seq: u64) -> String {
    let rows = transaction.open_table(AUDIT).expect("a table");
    let row = rows.get(seq).expect("read").expect("a row");
    row.value().to_owned()
}

fn put_open(transaction: &WriteTransaction, seq: u64, line: &str) {
    let mut rows = transaction.open_table(AUDIT).expect("a table");
    rows.insert(seq, line).expect("written");
}

fn segment(transaction: &WriteTransaction, first: u64) -> Vec<u8> {
    let rows = transaction.open_table(AUDIT_SEGMENTS).expect("a table");
    let row = rows.get(first).expect("read").expect("a row");
    row.value().to_vec()
}

fn put_segment(transaction: &WriteTransaction, first: u64, lines: &[u8]) {
    let mut rows = transaction.open_table(AUDIT_SEGMENTS).expect("a table");
    rows.insert(first, lines).expect("written");
}

fn edit_open(transaction: &WriteTransaction, rng: &mut Rng, _: &[String]) -> u64 {
    let keys = open_keys(transaction);
    let key = keys[rng.below(keys.len())];
    let mut line = open_line(transaction, key).into_bytes();
    edit(&mut line, rng);
    put_open(transaction, key, std::str::from_utf8(&line).expect("ASCII"));
    key
}

fn edit_segment(transaction: &WriteTransaction, rng: &mut Rng, _: &[String]) -> u64 {
    let keys = keys(transaction, AUDIT_SEGMENTS);
    let key = keys[rng.below(keys.len())];
    let mut lines = segment(transaction, key);
    let at = edit(&mut lines, rng);
    put_segment(transaction, key, &lines);
    key + lines[..at].iter().filter(|byte| **byte == b'\n').count() as u64
}

fn delete_open(transaction: &WriteTransaction, rng: &mut Rng, _: &[String]) -> u64 {
    let keys = open_keys(transaction);
    let key = keys[rng.below(keys.len())];
    let mut rows = transaction.open_table(AUDIT).expect("a table");
    rows.remove(key).expect("removed");
    key
}

fn delete_segment(transaction: &WriteTransaction, rng: &mut Rng, _: &[String]) -> u64 {
    let keys = keys(transaction, AUDIT_SEGMENTS);
    let key = keys[rng.below(keys.len())];
    let mut rows = transaction.open_table(AUDIT_SEGMENTS).expect("a table");
    rows.remove(key).expect("removed");
    key
}

fn swap_segments(transaction: &WriteTransaction, rng: &mut Rng, _: &[String]) -> u64 {
    let keys = keys(transaction, AUDIT_SEGMENTS);
    let at = rng.below(keys.len() - 1);
    let one = segment(transaction, keys[at]);
    let other = segment(transaction, keys[at + 1]);
    put_segment(transaction, keys[at], &other);
    put_segment(transaction, keys[at + 1], &one);
    keys[at]
}

fn repeat_open(transaction: &WriteTransaction, rng: &mut Rng, _: &[String]) -> u64 {
    let keys = open_keys(transaction);
    let line = open_line(transaction, keys[rng.below(keys.len())]);
    let after = keys.last().expect("a row") + 1;
    put_open(transaction, after, &line);
    after
}

/// An event between two others; those after it move on, with their numbers.
fn insert_open(transaction: &WriteTransaction, rng: &mut Rng, _: &[String]) -> u64 {
    let keys = open_keys(transaction);
    let at = rng.below(keys.len());
    let renumbered = |line: &str, from: u64, to: u64| {
        line.replace(&format!("\"seq\":{from},"), &format!("\"seq\":{to},"))
    };
    for key in keys[at..].iter().rev() {
        let line = open_line(transaction, *key);
        put_open(transaction, key + 1, &renumbered(&line, *key, key + 1));
    }
    let line = open_line(transaction, keys[at] + 1);
    let line = renumbered(&line, keys[at] + 1, keys[at]).replace("key.change", "key.delete");
    put_open(transaction, keys[at], &line);
    keys[at]
}

fn drop_end(transaction: &WriteTransaction, rng: &mut Rng, _: &[String]) -> u64 {
    let keys = open_keys(transaction);
    let from = keys[rng.below(keys.len())];
    let mut rows = transaction.open_table(AUDIT).expect("a table");
    rows.retain_in(from.., |_, _| false).expect("removed");
    from
}

/// Events of another instance with the same numbers.
fn splice(transaction: &WriteTransaction, rng: &mut Rng, other: &[String]) -> u64 {
    let keys = open_keys(transaction);
    let from = keys[rng.below(keys.len())];
    for key in keys.iter().filter(|key| **key >= from) {
        put_open(transaction, *key, &other[*key as usize - 1]);
    }
    from
}

fn edit_node(transaction: &WriteTransaction, rng: &mut Rng, _: &[String]) -> u64 {
    let mut rows = transaction.open_table(AUDIT_NODES).expect("a table");
    let index = rng.below(rows.len().expect("a count") as usize) as u64;
    let mut node = rows
        .get((8, index))
        .expect("read")
        .expect("a row")
        .value()
        .to_vec();
    node[rng.below(32)] ^= 1;
    rows.insert((8, index), node.as_slice()).expect("written");
    (index << 8) + 1
}

fn edit_checkpoint(transaction: &WriteTransaction, rng: &mut Rng, _: &[String]) -> u64 {
    let mut rows = transaction.open_table(AUDIT_CHECKPOINTS).expect("a table");
    let notes: Vec<(u64, String)> = rows
        .iter()
        .expect("rows")
        .map(|row| row.map(|(size, note)| (size.value(), note.value().to_owned())))
        .collect::<Result<_, _>>()
        .expect("rows");
    let (size, note) = &notes[rng.below(notes.len())];
    let changed = note.replacen(&format!("\n{size}\n"), &format!("\n{}\n", size + 1), 1);
    rows.insert(size, changed.as_str()).expect("written");
    size + 1
}

fn count() -> usize {
    std::env::var("GK_AUDIT_ATTACKS").map_or(110, |text| text.parse().expect("a count"))
}

/// A log of several segments with an open one.
async fn filled(letter: &str, from: u64) -> (MemoryDisk, Store) {
    let disk = MemoryDisk::default();
    let store = store_on(&disk, true);
    open_key(&store, letter).await;
    append(&store, from, from + 560).await;
    sign(&store).await;
    append(&store, from + 560, from + 570).await;
    (disk, store)
}

#[tokio::test]
async fn every_attack_on_the_stored_log_is_found_with_its_place() {
    let (_, other) = filled("b", 3_000).await;
    let lines = other.audit(0, usize::MAX).expect("lines");
    other.close();
    let (original, store) = filled("a", 1).await;
    let clean = store.verify_audit(&[], || true).expect("verified");
    assert!(clean.is_intact(), "{:?}", clean.findings);
    store.close();
    drop(store);
    let mut rng = Rng(20_261_129);
    for number in 0..count() {
        let (name, attack) = ATTACKS[number % ATTACKS.len()];
        let store = store_on(&original.after_kill(), false);
        let database = store.database.open().expect("open");
        let transaction = begin(&database).expect("begins");
        let place = attack(&transaction, &mut rng, &lines);
        transaction.commit().expect("committed");
        drop(database);
        let result = store.verify_audit(&[], || true).expect("verified");
        let places: Vec<(u64, u64)> = result
            .findings
            .iter()
            .map(|finding| (finding.first, finding.last))
            .collect();
        let is_named = |(first, last): &(u64, u64)| {
            (*first..=*last).contains(&place) || place.abs_diff(*first) <= 1
        };
        let found = places.iter().any(is_named);
        assert!(found, "attack {number}, {name}, at {place}: {places:?}");
        store.close();
    }
}

/// Older copies, rewound logs and logs that were signed anew with the genuine key have nothing wrong in themselves.
#[tokio::test]
async fn every_forgery_with_the_genuine_key_is_found_by_a_kept_checkpoint() {
    let (original, store) = filled("a", 1).await;
    let older = original.after_kill();
    append(&store, 700, 720).await;
    let kept = sign(&store).await;
    append(&store, 720, 730).await;
    sign(&store).await;
    store.close();
    drop(store);
    let mut rng = Rng(20_261_130);
    for number in 0..count() / 11 {
        let disk = match number % 3 {
            0 => older.after_kill(),
            _ => original.after_kill(),
        };
        let store = store_on(&disk, false);
        open_key(&store, "a").await;
        match number % 3 {
            0 => drop(sign(&store).await),
            1 => rewind(&store),
            _ => reseal(&store, &mut rng),
        }
        let result = store.verify_audit(&[], || true).expect("verified");
        assert!(result.is_intact(), "{number}: {:?}", result.findings);
        let kept = [kept.clone()];
        let result = store.verify_audit(&kept, || true).expect("verified");
        assert_eq!(result.saved[0].1, Coverage::Broken, "forgery {number}");
        assert!(!result.is_intact(), "forgery {number} not found");
        store.close();
    }
}

/// Changes an event and builds the whole log anew, with the key.
fn reseal(store: &Store, rng: &mut Rng) {
    let signer = store.audit_signer.get().expect("a key").clone();
    let mut lines = store.audit(0, usize::MAX).expect("lines");
    let at = rng.below(lines.len() - 10);
    lines[at] = lines[at].replacen("\"action\":\"", "\"action\":\"x", 1);
    let database = store.database.open().expect("open");
    let transaction = begin(&database).expect("begins");
    transaction.delete_table(AUDIT).expect("deleted");
    transaction.delete_table(AUDIT_SEGMENTS).expect("deleted");
    transaction.delete_table(AUDIT_NODES).expect("deleted");
    transaction
        .delete_table(AUDIT_CHECKPOINTS)
        .expect("deleted");
    {
        let mut rows = transaction.open_table(AUDIT_STATE).expect("a table");
        rows.remove("log").expect("removed");
    }
    create_audit_tables(&transaction).expect("created");
    let mut log = AuditLog::open(&transaction, Some(&signer)).expect("opens");
    for line in &lines {
        log.append_line(line).expect("appended");
    }
    log.sign().expect("signed");
    log.store().expect("stored");
    drop(log);
    transaction.commit().expect("committed");
}

/// Removes the open segment and everything that tells of it.
fn rewind(store: &Store) {
    let first = store.audit_state().expect("state").open_first;
    let tree = store.audit_tree_at(first - 1).expect("a tree");
    let database = store.database.open().expect("open");
    let transaction = begin(&database).expect("begins");
    {
        let mut rows = transaction.open_table(AUDIT).expect("a table");
        rows.retain(|_, _| false).expect("removed");
        let mut notes = transaction.open_table(AUDIT_CHECKPOINTS).expect("a table");
        notes.retain_in(first.., |_, _| false).expect("removed");
        let mut nodes = transaction.open_table(AUDIT_NODES).expect("a table");
        let complete = (first - 1) >> 8;
        nodes
            .retain_in((8, complete)..(9, 0), |_, _| false)
            .expect("removed");
        let state = crate::store::audit_state::AuditState {
            tree,
            open_first: first,
            open_bytes: 0,
            signed: first - 1,
        };
        let bytes = crate::store::codec::StoredValue::encode(&state).expect("encodes");
        let mut rows = transaction.open_table(AUDIT_STATE).expect("a table");
        rows.insert("log", bytes.as_slice()).expect("written");
    }
    transaction.commit().expect("committed");
}
