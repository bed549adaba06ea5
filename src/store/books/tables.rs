//! All tables of `gatekeeper.redb`, its schema number, and how it is opened. A newer schema is refused before anything is
//! written.

use std::cmp::Ordering;
use std::sync::Arc;

use redb::{
    Database, ReadableDatabase, ReadableTableMetadata, TableDefinition, TableError,
    WriteTransaction,
};

use crate::store::disk::{Backend, Below};
use crate::store::{Options, StoreError};

pub(crate) const FILE: &str = "gatekeeper.redb";
/// The same while it is made.
const UNFINISHED: &str = "gatekeeper.redb.new";
const TIMEZONE: &str = "timezone";
/// Raised with every change of the tables or of what their keys mean.
const SCHEMA: u64 = 5;
/// redb's own default would be 1 GiB.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// name → number: `schema`, `applied`, `next_id`, `generation`, `instance_high`, `instance_low`; once the instance has run
/// `clock_now_ms`, `clock_boot_ms`, `clock_jumped_ms`, and where it is known `clock_boot_high`, `clock_boot_low`; once something was deleted
/// `kept_requests_ms`, `kept_hours_ms`, `kept_days_ms`
pub(crate) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// name → word: `timezone`, in which windows, hours and days were cut
const WORDS: TableDefinition<&str, &str> = TableDefinition::new("words");
pub(crate) const ORGANIZATIONS: TableDefinition<u64, &[u8]> = TableDefinition::new("organizations");
pub(crate) const TEAMS: TableDefinition<u64, &[u8]> = TableDefinition::new("teams");
pub(crate) const KEYS: TableDefinition<u64, &[u8]> = TableDefinition::new("keys");
pub(crate) const ADMIN_KEYS: TableDefinition<u64, &[u8]> = TableDefinition::new("admin_keys");
pub(crate) const BUDGETS: TableDefinition<u64, &[u8]> = TableDefinition::new("budgets");
pub(crate) const RATE_LIMITS: TableDefinition<u64, &[u8]> = TableDefinition::new("rate_limits");
/// (scope, name) that is taken
pub(crate) const NAMES: TableDefinition<(&str, &str), ()> = TableDefinition::new("names");
/// sequence → event as a JSON line
pub(crate) const AUDIT: TableDefinition<u64, &str> = TableDefinition::new("audit");
/// Attempts are counted from 1: in the place of the one before stands a refusal.
pub(crate) const REFUSED: u8 = 0;
/// (request, attempt) → usage record, or refusal
pub(crate) const RECORDS: TableDefinition<(u128, u8), &[u8]> = TableDefinition::new("records");
/// (key, request, attempt): the records of one key in order of time
pub(crate) const RECORDS_OF_KEY: TableDefinition<(u64, u128, u8), ()> =
    TableDefinition::new("records_of_key");
/// (class of status, request, attempt): the records that did not end well, by class in order of time
pub(crate) const RECORDS_NOT_OK: TableDefinition<(u8, u128, u8), ()> =
    TableDefinition::new("records_not_ok");
/// (request, attempt) of the orphaned records that nobody has corrected
pub(crate) const ORPHANS: TableDefinition<(u128, u8), ()> = TableDefinition::new("orphans");
/// (request, attempt, number from 1) → compensating entry
pub(crate) const CORRECTIONS: TableDefinition<(u128, u8, u32), &[u8]> =
    TableDefinition::new("corrections");
/// (request, attempt) → hold that was open at the last commit
pub(crate) const OPEN_HOLDS: TableDefinition<(u128, u8), &[u8]> =
    TableDefinition::new("open_holds");
/// (budget, start of the window) → amount
pub(crate) type BalanceTable = TableDefinition<'static, (u64, u64), &'static [u8]>;
/// what is settled in each window
pub(crate) const BALANCES: BalanceTable = TableDefinition::new("balances");
/// what deleted records had come to: the rest of a balance is in the records that are kept
pub(crate) const CARRIED: BalanceTable = TableDefinition::new("carried");
/// (budget, start of the window, kind) of the alerts that were told → the message, until somebody has taken it
pub(crate) const ALERTS: TableDefinition<(u64, u64, u8), &str> = TableDefinition::new("alerts");
/// (start, key, model asked, provider, model, class of status) → sums
pub(crate) type RollupTable = TableDefinition<
    'static,
    (u64, u64, &'static str, &'static str, &'static str, u8),
    &'static [u8],
>;
pub(crate) const HOURS: RollupTable = TableDefinition::new("hours");
pub(crate) const DAYS: RollupTable = TableDefinition::new("days");

/// Whose books these are and how far the log is booked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub instance: [u8; 16],
    /// raised by a restore
    pub generation: u32,
    pub applied: u64,
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> StoreError {
        StoreError::Database(match error {
            // the writer opens them anew within a second
            redb::Error::PreviousIo => REOPENING.to_owned(),
            error => error.to_string(),
        })
    }
}

/// What is said while the books cannot be used for a moment.
pub(crate) const REOPENING: &str = "it met an I/O error and is opened anew; try again in a second";

macro_rules! database_errors {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> StoreError {
                redb::Error::from(error).into()
            }
        })*
    };
}
database_errors!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);

/// Whose books these are, found without writing to them; where the options say so, they are created first.
pub(crate) fn identify(options: &Options) -> Result<Identity, StoreError> {
    match (options.disk.exists(FILE), options.create) {
        (false, false) => Err(StoreError::NotInitialised),
        (true, true) => Err(StoreError::AlreadyInitialised),
        (true, false) => look(options),
        (false, true) => {
            create(options)?;
            look(options)
        }
    }
}

/// Opens the file, from the start or once more after an I/O error has latched the old handle.
pub(crate) fn open_database(options: &Options, below: &Arc<Below>) -> Result<Database, StoreError> {
    open_file(options, FILE, below)
}

fn open_file(options: &Options, name: &str, below: &Arc<Below>) -> Result<Database, StoreError> {
    let file = options.disk.open(name)?;
    // after a failed sync its length may be in memory only, and redb would take it for what is on the disk
    file.set_size(file.size()?)?;
    Ok(Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(Backend::on(file, below.clone()))?)
}

/// Reads schema and identity through a layer that keeps every write in memory, because merely opening a redb file writes
/// to it.
fn look(options: &Options) -> Result<Identity, StoreError> {
    let file = options.disk.open(FILE)?;
    let look = overlay::Overlay::over(file);
    let database = Database::builder()
        .set_cache_size(1 << 20)
        .create_with_backend(look)?;
    let found = number(&database, "schema")?;
    let known = SCHEMA as u32;
    match found.cmp(&SCHEMA) {
        Ordering::Greater => {
            return Err(StoreError::NewerSchema {
                found: found as u32,
                known,
            });
        }
        Ordering::Less => {
            return Err(StoreError::OlderSchema {
                found: found as u32,
                known,
            });
        }
        Ordering::Equal => {}
    }
    let identity = identity(&database)?;
    if identity.applied > 0 {
        same_zone(&database, options)?;
    }
    Ok(identity)
}

/// Balances and sums are kept by the instants at which a zone cuts its windows and days: in another zone none of them would be found.
fn same_zone(database: &Database, options: &Options) -> Result<(), StoreError> {
    let words = database.begin_read()?.open_table(WORDS)?;
    let booked = words
        .get(TIMEZONE)?
        .map_or_else(String::new, |word| word.value().to_owned());
    let set = options.zone.name();
    if booked == set {
        Ok(())
    } else {
        Err(StoreError::OtherZone {
            booked,
            set: set.to_owned(),
        })
    }
}

/// Takes the zone of the options for books without a record. What was refused is counted by hours and days as well, and what is `logged`
/// will be.
pub(crate) fn take_zone(
    database: &Database,
    options: &Options,
    logged: bool,
) -> Result<(), StoreError> {
    let Err(other) = same_zone(database, options) else {
        return Ok(());
    };
    let is_cut = logged || !database.begin_read()?.open_table(DAYS)?.is_empty()?;
    if is_cut {
        return Err(other);
    }
    let transaction = begin(database)?;
    transaction
        .open_table(WORDS)?
        .insert(TIMEZONE, options.zone.name())?;
    transaction.commit()?;
    Ok(())
}

/// A transaction whose commit is on disk when it returns, and whose crash costs no walk through the file.
pub(crate) fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Makes the books under another name first, so that a power cut leaves them whole or not at all.
fn create(options: &Options) -> Result<(), StoreError> {
    if options.disk.exists(UNFINISHED) {
        options.disk.remove(UNFINISHED)?;
    }
    fill(
        &open_file(options, UNFINISHED, &Arc::default())?,
        options.zone.name(),
    )?;
    options.disk.rename(UNFINISHED, FILE)?;
    options.disk.sync_folder("")?;
    Ok(())
}

fn fill(database: &Database, zone: &str) -> Result<(), StoreError> {
    let mut instance = [0u8; 16];
    getrandom::fill(&mut instance)
        .map_err(|error| StoreError::Database(format!("no random numbers: {error}")))?;
    let (high, low) = instance.split_at(8);
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    let transaction = begin(database)?;
    {
        let mut meta = transaction.open_table(META)?;
        for (name, value) in [
            ("schema", SCHEMA),
            ("applied", 0),
            ("next_id", 1),
            ("generation", 1),
            ("instance_high", word(high)),
            ("instance_low", word(low)),
        ] {
            meta.insert(name, value)?;
        }
        transaction.open_table(WORDS)?.insert(TIMEZONE, zone)?;
        for table in [ORGANIZATIONS, TEAMS, KEYS, ADMIN_KEYS, BUDGETS, RATE_LIMITS] {
            transaction.open_table(table)?;
        }
        transaction.open_table(NAMES)?;
        transaction.open_table(AUDIT)?;
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
    }
    transaction.commit()?;
    Ok(())
}

fn identity(database: &Database) -> Result<Identity, StoreError> {
    let mut instance = [0u8; 16];
    instance[..8].copy_from_slice(&number(database, "instance_high")?.to_le_bytes());
    instance[8..].copy_from_slice(&number(database, "instance_low")?.to_le_bytes());
    Ok(Identity {
        instance,
        generation: number(database, "generation")? as u32,
        applied: number(database, "applied")?,
    })
}

fn number(database: &Database, name: &'static str) -> Result<u64, StoreError> {
    let read = database.begin_read()?;
    let meta = match read.open_table(META) {
        // it is made whole under another name, so it never was without
        Err(TableError::TableDoesNotExist(_)) => return Err(StoreError::Emptied),
        meta => meta?,
    };
    meta.get(name)?
        .map(|value| value.value())
        .ok_or(StoreError::Record {
            kind: "meta",
            reason: format!("`{name}` is missing"),
        })
}

/// A file whose writes stay in memory.
mod overlay {
    use std::collections::BTreeMap;
    use std::collections::btree_map::Entry;
    use std::fmt;
    use std::io;
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    use crate::store::disk::DiskFile;

    const PAGE: u64 = 4096;

    pub(crate) struct Overlay {
        file: Arc<dyn DiskFile>,
        kept: Mutex<OverlayPages>,
    }

    struct OverlayPages {
        len: u64,
        pages: BTreeMap<u64, Vec<u8>>,
    }

    impl Overlay {
        pub(crate) fn over(file: Arc<dyn DiskFile>) -> Overlay {
            let len = file.size().unwrap_or(0);
            Overlay {
                file,
                kept: Mutex::new(OverlayPages {
                    len,
                    pages: BTreeMap::new(),
                }),
            }
        }

        fn kept(&self) -> MutexGuard<'_, OverlayPages> {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// One page as it stands on disk; zeros beyond the end.
        fn on_disk(&self, page: u64) -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; PAGE as usize];
            let start = page * PAGE;
            let end = self.file.size()?.min(start + PAGE);
            if start < end {
                self.file
                    .read_at(start, &mut bytes[..(end - start) as usize])?;
            }
            Ok(bytes)
        }

        /// Walks the pages that a range touches: page, range within it, range within the caller's buffer.
        fn pieces(
            offset: u64,
            length: usize,
        ) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
            let end = offset + length as u64;
            (offset / PAGE..end.div_ceil(PAGE)).map(move |page| {
                let from = offset.max(page * PAGE);
                let to = end.min((page + 1) * PAGE);
                let inside = (from - page * PAGE) as usize..(to - page * PAGE) as usize;
                (
                    page,
                    inside,
                    (from - offset) as usize..(to - offset) as usize,
                )
            })
        }
    }

    impl fmt::Debug for Overlay {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Overlay")
        }
    }

    impl redb::StorageBackend for Overlay {
        fn len(&self) -> io::Result<u64> {
            Ok(self.kept().len)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            let kept = self.kept();
            for (page, inside, outside) in Overlay::pieces(offset, out.len()) {
                match kept.pages.get(&page) {
                    Some(bytes) => out[outside].copy_from_slice(&bytes[inside]),
                    None => out[outside].copy_from_slice(&self.on_disk(page)?[inside]),
                }
            }
            Ok(())
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.kept().len = len;
            Ok(())
        }

        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            let mut kept = self.kept();
            for (page, inside, outside) in Overlay::pieces(offset, data.len()) {
                let bytes = match kept.pages.entry(page) {
                    Entry::Occupied(kept) => kept.into_mut(),
                    Entry::Vacant(place) => place.insert(self.on_disk(page)?),
                };
                bytes[inside].copy_from_slice(&data[outside]);
            }
            Ok(())
        }
    }
}
