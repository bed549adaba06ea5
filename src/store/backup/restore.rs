//! Restore: puts the books of a backup into a data folder as a new generation. Settlements that the log of the folder still holds are
//! booked on top. Books and log that were there are moved aside, never deleted. Killed at any point, it can be run again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use redb::{Database, ReadableTable, ReadableTableMetadata, TableDefinition};
use serde_json::{Value, json};

use crate::audit::checkpoint::origin;
use crate::audit::verify::RESTORED as RESTORED_EVENT;
use crate::domain::event::LedgerEvent;
use crate::domain::tenant::VirtualKey;
use crate::domain::zone::Zone;
use crate::store::backup::archive::{self, ArchiveError, BackupFacts};
use crate::store::books::audit::append::{AuditEvent, AuditLog};
use crate::store::books::database::{FILE, begin};
use crate::store::books::post;
use crate::store::books::tables::{KEYS, LINKS, META, RESTORED, SCHEMA, SESSION_ENDS, SESSIONS};
use crate::store::books::yielding::Yielder;
use crate::store::codec::StoredValue;
use crate::store::disk::{Disk, FolderDisk};
use crate::store::error::StoreError;
use crate::store::identity::Identity;
use crate::store::migrate::RELEASE;
use crate::store::refusals::RefusalBatch;
use crate::store::wal::{recovery, segment};

/// Name of the books until the restore is complete.
const UNFINISHED: &str = "gatekeeper.redb.restoring";
/// Ids given out after the backup are unknown: this many are skipped, so that none is given out twice.
const IDS_SKIPPED: u64 = 10_000;

/// Options of a restore.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// for the audit event
    pub at_ms: u64,
    pub actor: String,
    /// virtual keys start disabled, for a backup from before a theft
    pub disable_keys: bool,
}

/// Account of a restore.
#[derive(Clone, Debug)]
pub struct RestoreReport {
    pub facts: BackupFacts,
    pub generation: u32,
    /// settlements of later requests, found in the log of the folder
    pub booked_from_log: u64,
    /// records of the log between the backup and the last one found that were not there
    pub missing_from_log: u64,
    pub keys_disabled: u64,
    /// name of the folder with the former books and log, if there were any
    pub aside: Option<String>,
}

/// Failure of a restore; the folder is as before.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("backup has schema {found}, this release knows {known}; run the release that made it")]
    NewerSchema { found: u64, known: u64 },
    #[error("unknown timezone `{0}` in the backup")]
    Timezone(String),
    #[error("data folder: {0}")]
    Folder(#[from] io::Error),
}

/// Restores `backup` into `folder`, whose lock is taken: no gateway may run on it.
pub fn restore(
    backup: &Path,
    folder: &Path,
    options: &RestoreOptions,
) -> Result<RestoreReport, RestoreError> {
    let disk = FolderDisk::lock(folder)?;
    let unfinished = folder.join(UNFINISHED);
    let facts = unpack_books(backup, &unfinished)?;
    let zone = Zone::parse(&facts.timezone)
        .ok_or_else(|| RestoreError::Timezone(facts.timezone.clone()))?;
    let later = later_events(&disk, &facts)?;
    let database = Database::create(&unfinished).map_err(StoreError::from)?;
    RELEASE.upgrade(&database, facts.schema)?;
    let generation = facts.generation + 1;
    let keys_disabled = begin_generation(&database, &facts, generation, options)?;
    if !later.is_empty() {
        let yielder = Yielder::default();
        post::post(&database, &later, &RefusalBatch::default(), &zone, &yielder)?;
    }
    drop(database);
    let aside = move_aside(folder, facts.generation)?;
    fs::rename(&unfinished, folder.join(FILE))?;
    disk.sync_folder("")?;
    Ok(RestoreReport {
        generation,
        booked_from_log: settlements(&later),
        missing_from_log: missing(&later, facts.applied),
        keys_disabled,
        aside,
        facts,
    })
}

/// Writes the books of a backup to a new file, and syncs it.
pub fn unpack_books(backup: &Path, books: &Path) -> Result<BackupFacts, RestoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::File::open(backup)?;
    let bytes = file.metadata()?.len();
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut written = options.open(books)?;
    let unpacked = archive::unpack(&mut file, bytes, &mut written);
    let unpacked = unpacked.and_then(|facts| Ok(written.sync_all().map(|()| facts)?));
    let facts = unpacked.inspect_err(|_| {
        // nothing may be restored from a part
        let _ = fs::remove_file(books);
    })?;
    if facts.schema > SCHEMA {
        let _ = fs::remove_file(books);
        return Err(RestoreError::NewerSchema {
            found: facts.schema,
            known: SCHEMA,
        });
    }
    Ok(facts)
}

/// Records after those in the backup that the log of the folder still holds, in order, each once.
fn later_events(
    disk: &dyn Disk,
    facts: &BackupFacts,
) -> Result<Vec<(u64, Arc<LedgerEvent>)>, RestoreError> {
    let mut events = BTreeMap::new();
    let identity = Identity {
        instance: facts.instance,
        generation: facts.generation,
        applied: facts.applied,
    };
    for folder in log_folders(disk, facts.generation)? {
        for name in disk.names(&folder)? {
            let found = recovery::intact_events(disk, &format!("{folder}/{name}"), &identity)?;
            events.extend(found.into_iter().filter(|(at, _)| *at > facts.applied));
        }
    }
    Ok(events.into_iter().collect())
}

/// The log, and the logs that earlier tries of the same restore moved aside.
fn log_folders(disk: &dyn Disk, generation: u32) -> io::Result<Vec<String>> {
    let prefix = format!("before-restore-{generation}-");
    let aside = disk
        .names("")?
        .into_iter()
        .filter(|name| name.starts_with(&prefix));
    let aside = aside.map(|name| format!("{name}/{}", segment::FOLDER));
    Ok(aside.chain([segment::FOLDER.to_owned()]).collect())
}

/// One transaction: the new generation, its first audit event and the mark that the operator must accept. Sessions and one-time links
/// of the backup are void: they may have been ended, or used, since.
fn begin_generation(
    database: &Database,
    facts: &BackupFacts,
    generation: u32,
    options: &RestoreOptions,
) -> Result<u64, StoreError> {
    let transaction = begin(database)?;
    {
        let mut meta = transaction.open_table(META)?;
        let next_id = meta.get("next_id")?.map_or(1, |value| value.value());
        meta.insert("next_id", next_id + IDS_SKIPPED)?;
        meta.insert("generation", u64::from(generation))?;
        meta.insert(RESTORED, facts.taken_ms)?;
    }
    let disabled = match options.disable_keys {
        true => disable_keys(&transaction)?,
        false => 0,
    };
    let ended = (
        count_and_delete(&transaction, SESSIONS)?,
        count_and_delete(&transaction, LINKS)?,
    );
    transaction.delete_table(SESSION_ENDS)?;
    let detail = json!({
        "backup_ms": facts.taken_ms,
        "keys_disabled": disabled,
        "sessions_ended": ended.0,
        "links_ended": ended.1,
    });
    append_event(&transaction, facts, generation, options, detail)?;
    transaction.commit()?;
    Ok(disabled)
}

/// First audit event of the generation: names the end of the log that it continues.
fn append_event(
    transaction: &redb::WriteTransaction,
    facts: &BackupFacts,
    generation: u32,
    options: &RestoreOptions,
    mut detail: Value,
) -> Result<(), StoreError> {
    let mut log = AuditLog::open(transaction, None)?;
    detail["origin"] = origin(&facts.instance, generation).into();
    detail["from"] = json!({
        "origin": origin(&facts.instance, facts.generation),
        "size": log.state.tree.size(),
        "root": STANDARD.encode(log.state.tree.root()),
    });
    let event = AuditEvent {
        at_ms: options.at_ms,
        actor: options.actor.clone(),
        address: None,
        request: None,
        action: RESTORED_EVENT,
        subject: "instance".to_owned(),
        detail,
    };
    log.append(&event)?;
    Ok(())
}

fn count_and_delete(
    transaction: &redb::WriteTransaction,
    rows: TableDefinition<[u8; 32], &[u8]>,
) -> Result<u64, StoreError> {
    let count = transaction.open_table(rows)?.len()?;
    transaction.delete_table(rows)?;
    Ok(count)
}

fn disable_keys(transaction: &redb::WriteTransaction) -> Result<u64, StoreError> {
    let mut table = transaction.open_table(KEYS)?;
    let mut changed = Vec::new();
    for row in table.iter()? {
        let (id, bytes) = row?;
        let mut key = VirtualKey::decode(bytes.value())?;
        if !key.disabled {
            key.disabled = true;
            changed.push((id.value(), key.encode()?));
        }
    }
    for (id, bytes) in &changed {
        table.insert(id, bytes.as_slice())?;
    }
    Ok(changed.len() as u64)
}

/// Moves books and log into a folder of their own; returns its name.
fn move_aside(folder: &Path, generation: u32) -> Result<Option<String>, RestoreError> {
    let found: Vec<&str> = [FILE, segment::FOLDER]
        .into_iter()
        .filter(|name| folder.join(name).exists())
        .collect();
    if found.is_empty() {
        return Ok(None);
    }
    let free = |number: &u32| !folder.join(aside_name(generation, *number)).exists();
    let name = aside_name(generation, (1..).find(free).unwrap_or(1));
    let aside = folder.join(&name);
    fs::create_dir(&aside)?;
    // the log first: books without their log are found by the next try, a log without its books is refused
    for entry in found.iter().rev() {
        fs::rename(folder.join(entry), aside.join(entry))?;
    }
    Ok(Some(name))
}

fn aside_name(generation: u32, number: u32) -> String {
    format!("before-restore-{generation}-{number}")
}

fn settlements(events: &[(u64, Arc<LedgerEvent>)]) -> u64 {
    let settled = |event: &LedgerEvent| matches!(event, LedgerEvent::Settle(_));
    events.iter().filter(|(_, event)| settled(event)).count() as u64
}

fn missing(events: &[(u64, Arc<LedgerEvent>)], applied: u64) -> u64 {
    let last = events.last().map_or(applied, |(at, _)| *at);
    last - applied - events.len() as u64
}
