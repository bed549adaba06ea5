//! The file of the books: creating, opening and transactions. New books are created under another name and renamed, so that a power
//! cut leaves them complete or absent.

use std::sync::Arc;

use redb::{Database, ReadTransaction, WriteTransaction};

use crate::domain::zone::Zone;
use crate::store::backend::{Backend, IoState};
use crate::store::books::tables::{
    ADMIN_KEYS, ALERTS, AUDIT, AUDIT_CHECKPOINTS, AUDIT_NODES, AUDIT_SEGMENTS, AUDIT_STATE,
    BALANCES, BUDGETS, CARRIED, CORRECTIONS, DAYS, HOURS, KEY_USES, KEYS, META, NAMES, OPEN_HOLDS,
    ORGANIZATIONS, ORPHANS, RATE_LIMITS, RECORDS, RECORDS_NOT_OK, RECORDS_OF_KEY, SCHEMA, TEAMS,
    TIMEZONE, USERS, WORDS,
};
use crate::store::error::StoreError;
use crate::store::options::Options;

pub(in crate::store) const FILE: &str = "gatekeeper.redb";
/// Name of the file until it is complete.
const UNFINISHED: &str = "gatekeeper.redb.new";
/// redb's default is 1 GiB.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// Checks that there are books, or creates them if the options say so.
pub(in crate::store) fn ensure(options: &Options) -> Result<(), StoreError> {
    match (options.disk.exists(FILE), options.create) {
        (false, false) => Err(StoreError::NotInitialised),
        (true, true) => Err(StoreError::AlreadyInitialised),
        (true, false) => Ok(()),
        (false, true) => create(options),
    }
}

/// Opens the file, at the start and again after an I/O error.
pub(in crate::store) fn open(
    options: &Options,
    io_state: &Arc<IoState>,
) -> Result<Database, StoreError> {
    open_file(options, FILE, io_state)
}

fn open_file(
    options: &Options,
    name: &str,
    io_state: &Arc<IoState>,
) -> Result<Database, StoreError> {
    let file = options.disk.open(name)?;
    // after a failed fsync the length may be in memory only, and redb would take it for durable
    file.set_size(file.size()?)?;
    Ok(Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(Backend::on(file, io_state.clone()))?)
}

/// Begins a write transaction whose commit is durable when it returns; after a crash, opening needs no full scan of the file.
pub(in crate::store) fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Last record of the log that a transaction sees in the books.
pub(in crate::store) fn applied(read: &ReadTransaction) -> Result<u64, StoreError> {
    let meta = read.open_table(META)?;
    Ok(meta.get("applied")?.map_or(0, |value| value.value()))
}

fn create(options: &Options) -> Result<(), StoreError> {
    if options.disk.exists(UNFINISHED) {
        options.disk.remove(UNFINISHED)?;
    }
    fill(
        &open_file(options, UNFINISHED, &Arc::default())?,
        &options.zone,
    )?;
    options.disk.rename(UNFINISHED, FILE)?;
    options.disk.sync_folder("")?;
    Ok(())
}

/// Writes the first transaction: identity, time zone, and every table.
fn fill(database: &Database, zone: &Zone) -> Result<(), StoreError> {
    let mut instance = [0u8; 16];
    getrandom::fill(&mut instance)
        .map_err(|error| StoreError::Database(format!("no random numbers: {error}")))?;
    let (high, low) = instance.split_at(8);
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    let transaction = begin(database)?;
    {
        let mut meta = transaction.open_table(META)?;
        for (name, value) in [
            ("schema", SCHEMA),
            ("applied", 0),
            ("next_id", 1),
            ("generation", 1),
            ("instance_high", number(high)),
            ("instance_low", number(low)),
        ] {
            meta.insert(name, value)?;
        }
        transaction
            .open_table(WORDS)?
            .insert(TIMEZONE, zone.name())?;
    }
    create_tables(&transaction)?;
    transaction.commit()?;
    Ok(())
}

fn create_tables(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let tenants = [ORGANIZATIONS, TEAMS, KEYS, ADMIN_KEYS, USERS];
    for table in tenants.into_iter().chain([BUDGETS, RATE_LIMITS]) {
        transaction.open_table(table)?;
    }
    transaction.open_table(KEY_USES)?;
    transaction.open_table(NAMES)?;
    create_audit_tables(transaction)?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(RECORDS_OF_KEY)?;
    transaction.open_table(RECORDS_NOT_OK)?;
    transaction.open_table(ORPHANS)?;
    transaction.open_table(CORRECTIONS)?;
    transaction.open_table(OPEN_HOLDS)?;
    transaction.open_table(BALANCES)?;
    transaction.open_table(CARRIED)?;
    transaction.open_table(ALERTS)?;
    transaction.open_table(HOURS)?;
    transaction.open_table(DAYS)?;
    Ok(())
}

/// Creates the tables of the audit log.
pub(in crate::store) fn create_audit_tables(
    transaction: &WriteTransaction,
) -> Result<(), StoreError> {
    transaction.open_table(AUDIT)?;
    transaction.open_table(AUDIT_SEGMENTS)?;
    transaction.open_table(AUDIT_NODES)?;
    transaction.open_table(AUDIT_CHECKPOINTS)?;
    transaction.open_table(AUDIT_STATE)?;
    Ok(())
}
