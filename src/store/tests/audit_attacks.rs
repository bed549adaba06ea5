//! Random attacks on the stored audit log, row by row in its tables: the verification finds every one. `GK_AUDIT_ATTACKS` sets their
//! number.

use redb::{ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

use super::audit::{append, open_key, sign};
use super::memory_disk::MemoryDisk;
use super::options;
use crate::store::books::database::begin;
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

type Attack = fn(&WriteTransaction, &mut Rng);

const ATTACKS: [(&str, Attack); 9] = [
    ("byte of an open event", edit_open),
    ("byte of a segment", edit_segment),
    ("open event deleted", delete_open),
    ("segment deleted", delete_segment),
    ("segments swapped", swap_segments),
    ("event repeated", repeat_open),
    ("end dropped", drop_end),
    ("node of the tree", edit_node),
    ("checkpoint", edit_checkpoint),
];

/// Changes one byte to another printable letter.
fn edited(text: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = text.to_vec();
    let at = rng.below(bytes.len());
    bytes[at] = match bytes[at] {
        b'~' => b'}',
        b'\n' => b' ',
        other => other + 1,
    };
    bytes
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

fn edit_open(transaction: &WriteTransaction, rng: &mut Rng) {
    let keys = open_keys(transaction);
    let key = keys[rng.below(keys.len())];
    let mut rows = transaction.open_table(AUDIT).expect("a table");
    let line = rows
        .get(key)
        .expect("read")
        .expect("a row")
        .value()
        .to_owned();
    let line = String::from_utf8(edited(line.as_bytes(), rng)).expect("ASCII");
    rows.insert(key, line.as_str()).expect("written");
}

fn edit_segment(transaction: &WriteTransaction, rng: &mut Rng) {
    let keys = keys(transaction, AUDIT_SEGMENTS);
    let key = keys[rng.below(keys.len())];
    let mut rows = transaction.open_table(AUDIT_SEGMENTS).expect("a table");
    let lines = rows
        .get(key)
        .expect("read")
        .expect("a row")
        .value()
        .to_vec();
    rows.insert(key, edited(&lines, rng).as_slice())
        .expect("written");
}

fn delete_open(transaction: &WriteTransaction, rng: &mut Rng) {
    let keys = open_keys(transaction);
    let mut rows = transaction.open_table(AUDIT).expect("a table");
    rows.remove(keys[rng.below(keys.len())]).expect("removed");
}

fn delete_segment(transaction: &WriteTransaction, rng: &mut Rng) {
    let keys = keys(transaction, AUDIT_SEGMENTS);
    let mut rows = transaction.open_table(AUDIT_SEGMENTS).expect("a table");
    rows.remove(keys[rng.below(keys.len())]).expect("removed");
}

fn swap_segments(transaction: &WriteTransaction, rng: &mut Rng) {
    let keys = keys(transaction, AUDIT_SEGMENTS);
    let at = rng.below(keys.len() - 1);
    let mut rows = transaction.open_table(AUDIT_SEGMENTS).expect("a table");
    let lines = |key| {
        rows.get(key)
            .expect("read")
            .expect("a row")
            .value()
            .to_vec()
    };
    let (one, other) = (lines(keys[at]), lines(keys[at + 1]));
    rows.insert(keys[at], other.as_slice()).expect("written");
    rows.insert(keys[at + 1], one.as_slice()).expect("written");
}

fn repeat_open(transaction: &WriteTransaction, rng: &mut Rng) {
    let keys = open_keys(transaction);
    let mut rows = transaction.open_table(AUDIT).expect("a table");
    let from = keys[rng.below(keys.len())];
    let line = rows
        .get(from)
        .expect("read")
        .expect("a row")
        .value()
        .to_owned();
    let after = keys.last().expect("a row") + 1;
    rows.insert(after, line.as_str()).expect("written");
}

fn drop_end(transaction: &WriteTransaction, rng: &mut Rng) {
    let keys = open_keys(transaction);
    let from = keys[rng.below(keys.len())];
    let mut rows = transaction.open_table(AUDIT).expect("a table");
    rows.retain_in(from.., |_, _| false).expect("removed");
}

fn edit_node(transaction: &WriteTransaction, rng: &mut Rng) {
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
}

fn edit_checkpoint(transaction: &WriteTransaction, rng: &mut Rng) {
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
}

#[tokio::test]
async fn every_attack_on_the_stored_log_is_found() {
    let attacks =
        std::env::var("GK_AUDIT_ATTACKS").map_or(90, |text| text.parse().expect("a count"));
    let original = MemoryDisk::default();
    let store = store_on(&original, true);
    open_key(&store, "a").await;
    append(&store, 1, 560).await;
    let kept = sign(&store).await;
    append(&store, 560, 570).await;
    assert!(
        store
            .verify_audit(&[], || true)
            .expect("verified")
            .is_intact()
    );
    store.close();
    drop(store);
    let mut rng = Rng(20_261_129);
    for number in 0..attacks {
        let (name, attack) = ATTACKS[number % ATTACKS.len()];
        let disk = original.after_kill();
        let store = store_on(&disk, false);
        let database = store.database.open().expect("open");
        let transaction = begin(&database).expect("begins");
        attack(&transaction, &mut rng);
        transaction.commit().expect("committed");
        drop(database);
        let result = store.verify_audit(&[], || true);
        let found = result.is_ok_and(|result| {
            result
                .findings
                .iter()
                .all(|finding| finding.first <= finding.last)
                && !result.is_intact()
        });
        assert!(found, "attack {number} not found: {name}");
        store.close();
    }
    // an intruder who also rewinds the state leaves a log in which nothing is wrong; the kept checkpoint shows it
    let disk = original.after_kill();
    let store = store_on(&disk, false);
    rewind(&store);
    assert!(
        store
            .verify_audit(&[], || true)
            .expect("verified")
            .is_intact()
    );
    let result = store.verify_audit(&[kept], || true).expect("verified");
    assert!(
        result.findings[0].says.contains("missing"),
        "{:?}",
        result.findings
    );
    store.close();
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
