//! Schema upgrades with steps that no release has: an upgrade is complete after a kill or a power cut at every change of the disk, the
//! copy holds the old books, and what cannot be upgraded is refused without a change.

use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::{Migrations, Step};
use crate::domain::allow_list::AllowList;
use crate::domain::pattern::Pattern;
use crate::domain::tenant::{Team, VirtualKey};
use crate::domain::zone::Zone;
use crate::store::books::overlay::Overlay;
use crate::store::books::tables::{KEYS, META, RECORDS, SCHEMA, TEAMS};
use crate::store::codec::StoredValue;
use crate::store::disk::Disk;
use crate::store::error::StoreError;
use crate::store::tests::memory_disk::MemoryDisk;
use crate::store::tests::{log_call, wait_until_posted};
use crate::store::{Options, RecoveredState, SealKeyCheck, Store};

const BOOKS: &str = "gatekeeper.redb";
const SIZES: TableDefinition<(u128, u8), u64> = TableDefinition::new("sizes");
const TOTALS: TableDefinition<&str, u64> = TableDefinition::new("totals");

/// The first step adds a table with a row per record, the second replaces it by its sum.
static TWO_STEPS: Migrations = Migrations {
    schema: SCHEMA + 2,
    steps: &[
        Step {
            from: SCHEMA,
            apply: add_sizes,
        },
        Step {
            from: SCHEMA + 1,
            apply: replace_sizes_by_total,
        },
    ],
};

fn add_sizes(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut sizes = transaction.open_table(SIZES)?;
    for row in transaction.open_table(RECORDS)?.iter()? {
        let (id, bytes) = row?;
        sizes.insert(id.value(), bytes.value().len() as u64)?;
    }
    Ok(())
}

fn replace_sizes_by_total(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut total = 0;
    for row in transaction.open_table(SIZES)?.iter()? {
        total += row?.1.value();
    }
    transaction
        .open_table(TOTALS)?
        .insert("record bytes", total)?;
    transaction.delete_table(SIZES)?;
    Ok(())
}

fn fail(_: &WriteTransaction) -> Result<(), StoreError> {
    Err(StoreError::Database("no such row".into()))
}

fn options(disk: &MemoryDisk, create: bool) -> Options {
    Options {
        disk: Arc::new(disk.clone()),
        zone: Zone::utc(),
        segment_bytes: 64 * 1024,
        disk_reserve_mb: 0,
        wait_for_disk: false,
        create,
        seal_key: SealKeyCheck::Skip,
    }
}

fn open(disk: &MemoryDisk, migrations: &Migrations) -> Result<(Store, RecoveredState), StoreError> {
    Store::open_with(options(disk, false), migrations)
}

/// Name of the copy that an upgrade keeps.
fn copy_name() -> String {
    format!("{BOOKS}.schema-{SCHEMA}")
}

/// Books of this release with 40 records, closed.
fn books() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let (store, _) = Store::open(options(&disk, true)).expect("new books");
    for at_ms in 1..=40 {
        log_call(&store, at_ms * 1_000);
    }
    wait_until_posted(&store);
    store.close();
    drop(store);
    disk.after_kill()
}

/// Rows that the steps read and write, and `meta`.
#[derive(Debug, PartialEq)]
struct Content {
    meta: Vec<(String, u64)>,
    records: Vec<((u128, u8), Vec<u8>)>,
    /// `None`: the table does not exist
    sizes: Option<usize>,
    total: Option<u64>,
}

/// Reads a file of books without changing it.
fn content(disk: &MemoryDisk, name: &str) -> Content {
    let file = disk.open(name).expect("the file");
    let database = redb::Database::builder()
        .create_with_backend(Overlay::over(file))
        .expect("a database");
    let read = database.begin_read().expect("a transaction");
    let meta = read.open_table(META).expect("meta");
    let records = read.open_table(RECORDS).expect("records");
    Content {
        meta: meta
            .iter()
            .expect("rows")
            .map(|row| {
                let (name, number) = row.expect("a row");
                (name.value().to_owned(), number.value())
            })
            .collect(),
        records: records
            .iter()
            .expect("rows")
            .map(|row| {
                let (id, bytes) = row.expect("a row");
                (id.value(), bytes.value().to_vec())
            })
            .collect(),
        sizes: read
            .open_table(SIZES)
            .ok()
            .map(|sizes| sizes.iter().expect("rows").count()),
        total: read
            .open_table(TOTALS)
            .ok()
            .and_then(|totals| totals.get("record bytes").expect("a row"))
            .map(|total| total.value()),
    }
}

fn schema(content: &Content) -> u64 {
    let row = content.meta.iter().find(|(name, _)| name == "schema");
    row.map_or(0, |(_, schema)| *schema)
}

#[test]
fn upgrade_runs_every_step_and_keeps_a_copy_of_the_old_books() {
    let disk = books();
    let before = content(&disk, BOOKS);
    let (store, recovered) = open(&disk, &TWO_STEPS).expect("upgraded");
    assert_eq!(
        recovered.remarks,
        [format!(
            "{BOOKS}: upgraded from schema {SCHEMA} to {}; the books before the upgrade are kept in {}",
            SCHEMA + 2,
            copy_name()
        )]
    );
    store.close();
    drop(store);
    let after = content(&disk, BOOKS);
    let bytes: u64 = before.records.iter().map(|(_, row)| row.len() as u64).sum();
    assert_eq!((schema(&after), after.sizes), (SCHEMA + 2, None));
    assert_eq!(after.total, Some(bytes));
    assert_eq!(after.records, before.records);
    assert_eq!(content(&disk, &copy_name()), before);
    let (store, recovered) = open(&disk, &TWO_STEPS).expect("opens");
    assert_eq!(recovered.remarks, [""; 0], "nothing is left to upgrade");
    store.close();
}

#[test]
fn upgrade_killed_at_any_change_is_completed_by_the_next_start() {
    let books = books();
    let before = content(&books, BOOKS);
    let complete = books.after_kill();
    let (store, _) = open(&complete, &TWO_STEPS).expect("upgraded");
    let changes = complete.changes();
    store.close();
    drop(store);
    let after = content(&complete, BOOKS);
    assert!(changes > 20, "{changes} changes");
    for change in 1..=changes {
        let disk = books.after_kill();
        disk.die_at(change);
        assert!(
            open(&disk, &TWO_STEPS).is_err(),
            "dead at change {change} of {changes}"
        );
        for (how, image) in [
            ("kill", disk.after_kill()),
            ("power cut", disk.after_power_cut()),
        ] {
            let (store, _) = open(&image, &TWO_STEPS)
                .unwrap_or_else(|error| panic!("{how} at change {change}: {error}"));
            store.close();
            drop(store);
            assert_eq!(content(&image, BOOKS), after, "{how} at change {change}");
            assert_eq!(
                content(&image, &copy_name()),
                before,
                "{how} at change {change}"
            );
            assert!(!image.exists(&format!("{}.new", copy_name())), "{how}");
        }
    }
}

#[test]
fn upgrade_failing_step_leaves_rows_unchanged_and_names_the_schemas() {
    static FAILING: Migrations = Migrations {
        schema: SCHEMA + 1,
        steps: &[Step {
            from: SCHEMA,
            apply: fail,
        }],
    };
    let disk = books();
    let before = content(&disk, BOOKS);
    let error = open(&disk, &FAILING).err().expect("refused").to_string();
    assert!(
        error.contains(&format!("from schema {SCHEMA} to {}", SCHEMA + 1))
            && error.contains("no such row"),
        "{error}"
    );
    assert_eq!(content(&disk, BOOKS), before);
    let (store, _) = Store::open(options(&disk, false)).expect("this release still opens them");
    store.close();
}

#[test]
fn upgrade_without_disk_space_for_the_copy_is_refused() {
    let disk = books();
    let before = content(&disk, BOOKS);
    disk.set_free_mb(0);
    let error = open(&disk, &TWO_STEPS).err().expect("refused").to_string();
    assert!(error.contains("disk space low"), "{error}");
    assert_eq!(content(&disk, BOOKS), before);
    assert!(!disk.exists(&copy_name()));
}

#[test]
fn schema_without_a_step_is_refused_without_a_change() {
    static LATER: Migrations = Migrations {
        schema: SCHEMA + 2,
        steps: &[Step {
            from: SCHEMA + 1,
            apply: fail,
        }],
    };
    let disk = books();
    let error = open(&disk, &LATER).err().expect("refused").to_string();
    assert!(
        error.contains(&format!("schema {SCHEMA}, this one knows {}", SCHEMA + 2))
            && error.contains("nothing was written"),
        "{error}"
    );
    let (store, _) = open(&disk, &TWO_STEPS).expect("upgraded");
    store.close();
    drop(store);
    let changes = disk.changes();
    let error = Store::open(options(&disk, false))
        .err()
        .expect("refused")
        .to_string();
    assert!(
        error.contains(&format!("newer release (schema {}", SCHEMA + 2))
            && error.contains("nothing was written"),
        "{error}"
    );
    assert_eq!(disk.changes(), changes);
}

#[test]
fn upgrade_from_schema_5_turns_an_empty_list_of_models_into_an_absent_one() {
    let disk = books();
    let (store, _) = Store::open(options(&disk, false)).expect("opens");
    store.close();
    drop(store);
    let file = disk.open(BOOKS).expect("the file");
    let database = redb::Database::builder()
        .create_with_backend(Overlay::over(file))
        .expect("a database");
    let transaction = database.begin_write().expect("a transaction");
    {
        let mut teams = transaction.open_table(TEAMS).expect("teams");
        // version 2, id 2, organization 1, "t", models, created 5
        let none = [2, 2, 1, 1, b't', 0, 5];
        let some = [2, 3, 1, 1, b'u', 1, 2, b'm', b'*', 5];
        teams.insert(2, none.as_slice()).expect("a row");
        teams.insert(3, some.as_slice()).expect("a row");
        let mut keys = transaction.open_table(KEYS).expect("keys");
        let mut key = vec![2, 4, 2, 1, 0, 1, b'k'];
        key.extend([7; 32]);
        key.extend([1, b'h', 0, 0, 0, 5]);
        keys.insert(4, key.as_slice()).expect("a row");
    }
    super::distinguish_all_models_from_none(&transaction).expect("upgraded");
    let decoded = |bytes: &[u8]| Team::decode(bytes).expect("a team").models;
    {
        let teams = transaction.open_table(TEAMS).expect("teams");
        let row = |id| {
            teams
                .get(id)
                .expect("read")
                .expect("a row")
                .value()
                .to_vec()
        };
        assert_eq!(row(2)[0], Team::VERSION, "stored in the newest version");
        assert_eq!(decoded(&row(2)), AllowList::All);
        let listed = AllowList::Only(vec![Pattern::new("m*")]);
        assert_eq!(decoded(&row(3)), listed);
        let keys = transaction.open_table(KEYS).expect("keys");
        let bytes = keys.get(4).expect("read").expect("a row").value().to_vec();
        let key = VirtualKey::decode(&bytes).expect("a key");
        assert_eq!((key.models, key.created_ms), (AllowList::All, 5));
    }
    let mut none = Team::decode(&[2, 2, 1, 1, b't', 0, 5]).expect("a team");
    none.models = AllowList::Only(Vec::new());
    let stored = none.encode().expect("encodes");
    assert_eq!(Team::decode(&stored).expect("decodes").models, none.models);
}
