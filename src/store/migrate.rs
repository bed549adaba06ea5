//! Schema upgrades of the books. A step leads from one schema number to the next, in one write transaction that also stores the new
//! number. Before the first step the file is copied to `gatekeeper.redb.schema-N`, and the copy is kept. A process killed at any point
//! leaves the old number, and the next start repeats the step, or the new one, and it continues. Records of the log are not upgraded:
//! `codec` reads the payloads of every earlier version.

#[cfg(test)]
mod tests;

use std::io;

use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};

use crate::domain::tenant::{Team, VirtualKey};
use crate::store::books::audit::upgrade;
use crate::store::books::database::{FILE, begin};
use crate::store::books::rollup_upgrade;
use crate::store::books::tables::{KEY_USES, KEYS, META, SCHEMA, TEAMS, USERS};
use crate::store::codec::StoredValue;
use crate::store::disk::Disk;
use crate::store::error::StoreError;

/// Bytes copied at once.
const CHUNK: u64 = 1 << 20;

/// Migrations of this release.
pub(in crate::store) static RELEASE: Migrations = Migrations {
    schema: SCHEMA,
    steps: &[
        Step {
            from: 5,
            apply: distinguish_all_models_from_none,
        },
        Step {
            from: 6,
            apply: upgrade::add_tree,
        },
        Step {
            from: 7,
            apply: add_users,
        },
        Step {
            from: 8,
            apply: rollup_upgrade::add_usage_columns,
        },
        Step {
            from: 9,
            apply: rollup_upgrade::add_latencies,
        },
        Step {
            from: 10,
            apply: bound_requests_and_import_keys,
        },
        Step {
            from: 11,
            apply: add_cache_columns,
        },
    ],
};

/// 5 to 6: an absent allow-list allows all models, an empty one none. Before, an empty one allowed all.
fn distinguish_all_models_from_none(transaction: &WriteTransaction) -> Result<(), StoreError> {
    rewrite::<Team>(transaction, TEAMS)?;
    rewrite::<VirtualKey>(transaction, KEYS)
}

/// 7 to 8: users. Rows of tenants and administrative keys have versions with roles, labels and the time of a deletion; the number
/// keeps earlier releases from reading them.
fn add_users(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(USERS)?;
    transaction.open_table(KEY_USES)?;
    Ok(())
}

/// 10 to 11: rows of teams and keys have a version with the most that a request may cost, and with the origin of the secret. The number
/// keeps earlier releases from reading them.
fn bound_requests_and_import_keys(_: &WriteTransaction) -> Result<(), StoreError> {
    Ok(())
}

/// 11 to 12: records and roll-ups count answers of the cache, of which earlier ones have none; the number keeps earlier releases from
/// reading them.
fn add_cache_columns(_: &WriteTransaction) -> Result<(), StoreError> {
    Ok(())
}

/// Stores every row of a table in the newest version.
fn rewrite<T: StoredValue>(
    transaction: &WriteTransaction,
    rows: TableDefinition<'static, u64, &'static [u8]>,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(rows)?;
    let mut rewritten = Vec::new();
    for row in table.iter()? {
        let (id, bytes) = row?;
        rewritten.push((id.value(), T::decode(bytes.value())?.encode()?));
    }
    for (id, bytes) in rewritten {
        table.insert(id, bytes.as_slice())?;
    }
    Ok(())
}

/// The schema that the code reads, and the steps that lead to it.
pub(in crate::store) struct Migrations {
    pub schema: u64,
    pub steps: &'static [Step],
}

/// One schema upgrade.
pub(in crate::store) struct Step {
    /// leads from this schema to the next number
    pub from: u64,
    /// changes tables and rows; the caller stores the new number and commits
    pub apply: fn(&WriteTransaction) -> Result<(), StoreError>,
}

/// Upgrade that is due; the books are copied already.
pub(in crate::store) struct Upgrade<'m> {
    migrations: &'m Migrations,
    from: u64,
    copy: String,
}

impl Migrations {
    /// Refuses a newer schema, and an older one from which no steps lead to the present one.
    pub(in crate::store) fn check(&self, found: u64) -> Result<(), StoreError> {
        let known = self.schema as u32;
        if found > self.schema {
            return Err(StoreError::NewerSchema {
                found: found as u32,
                known,
            });
        }
        if (found..self.schema).any(|from| self.step(from).is_none()) {
            return Err(StoreError::OlderSchema {
                found: found as u32,
                known,
            });
        }
        Ok(())
    }

    /// Copies the books if they are to be upgraded. They must not be open: opening writes to the file.
    pub(in crate::store) fn prepare(
        &self,
        disk: &dyn Disk,
        found: u64,
    ) -> Result<Option<Upgrade<'_>>, StoreError> {
        if found == self.schema {
            return Ok(None);
        }
        let copy = format!("{FILE}.schema-{found}");
        copy_books(disk, &copy).map_err(|error| StoreError::Copy {
            copy: copy.clone(),
            reason: error.to_string(),
        })?;
        Ok(Some(Upgrade {
            migrations: self,
            from: found,
            copy,
        }))
    }

    /// Runs the steps from a known schema to the present one.
    pub(in crate::store) fn upgrade(
        &self,
        database: &Database,
        from: u64,
    ) -> Result<(), StoreError> {
        let to = self.schema;
        for schema in from..to {
            let step = self.step(schema).ok_or(StoreError::OlderSchema {
                found: schema as u32,
                known: to as u32,
            })?;
            run_step(step, database).map_err(|error| StoreError::Upgrade {
                from: schema,
                to: schema + 1,
                reason: error.to_string(),
            })?;
        }
        Ok(())
    }

    fn step(&self, from: u64) -> Option<&Step> {
        self.steps.iter().find(|step| step.from == from)
    }
}

impl Upgrade<'_> {
    /// Runs every step; returns a remark for the start log.
    pub(in crate::store) fn run(self, database: &Database) -> Result<String, StoreError> {
        let (from, to) = (self.from, self.migrations.schema);
        self.migrations.upgrade(database, from)?;
        Ok(format!(
            "{FILE}: upgraded from schema {from} to {to}; the books before the upgrade are kept in {}",
            self.copy
        ))
    }
}

fn run_step(step: &Step, database: &Database) -> Result<(), StoreError> {
    let transaction = begin(database)?;
    (step.apply)(&transaction)?;
    transaction
        .open_table(META)?
        .insert("schema", step.from + 1)?;
    transaction.commit()?;
    Ok(())
}

/// Copies the file under a temporary name, syncs and renames it, so that a copy is complete or absent. An earlier copy of the same schema
/// is replaced: the books still have that schema, so they are newer.
fn copy_books(disk: &dyn Disk, name: &str) -> io::Result<()> {
    let unfinished = format!("{name}.new");
    if disk.exists(&unfinished) {
        disk.remove(&unfinished)?;
    }
    check_free_space(disk)?;
    copy_file(disk, FILE, &unfinished).inspect_err(|_| {
        // a partial copy would take up the space that the next try needs
        let _ = disk.remove(&unfinished);
    })?;
    disk.rename(&unfinished, name)?;
    disk.sync_folder("")
}

fn check_free_space(disk: &dyn Disk) -> io::Result<()> {
    let needed_mb = disk.open(FILE)?.size()?.div_ceil(1024 * 1024);
    let free_mb = disk.free_mb()?;
    if free_mb < needed_mb {
        let message = format!("disk space low: {needed_mb} MB needed, {free_mb} MB free");
        return Err(io::Error::new(io::ErrorKind::StorageFull, message));
    }
    Ok(())
}

fn copy_file(disk: &dyn Disk, from: &str, to: &str) -> io::Result<()> {
    let (source, copy) = (disk.open(from)?, disk.open(to)?);
    let size = source.size()?;
    copy.set_size(size)?;
    let mut at = 0;
    while at < size {
        let mut bytes = vec![0; CHUNK.min(size - at) as usize];
        source.read_at(at, &mut bytes)?;
        copy.write_at(at, &bytes)?;
        at += bytes.len() as u64;
    }
    copy.sync_data()
}
