//! The file of the captured calls: sealed pieces of each call, its place and times, and an index by expiry. The oldest calls make room
//! for new ones. A deleted call may leave bytes on free pages until the file is rewritten (`scrub`).

use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::domain::id::{KeyId, OrganizationId, RequestId, TeamId};
use crate::store::backend::{Backend, catch_panic};
use crate::store::books::database::begin;
use crate::store::captures::content::{CapturedCall, StoredCapture};
use crate::store::captures::queue::PurgeScope;
use crate::store::disk::Disk;
use crate::store::error::StoreError;
use crate::store::seal::Seal;

/// File below the data folder.
pub const FILE: &str = "capture.redb";
/// Name of a rewritten file until it is complete.
pub(super) const UNFINISHED: &str = "capture.redb.new";
/// Raised with every change of the tables; a file of another number is discarded.
const SCHEMA: u64 = 1;
const CACHE_BYTES: usize = 4 * 1024 * 1024;
/// A sealed piece with its key fits a page of 32 KiB.
const PIECE_BYTES: usize = 32_000;
const PAGE_BYTES: u64 = 4_096;

/// request → place, times, size
pub(super) const ENTRIES: TableDefinition<u128, &[u8; Entry::BYTES]> =
    TableDefinition::new("entries");
/// (expiry in ms, request)
pub(super) const EXPIRIES: TableDefinition<(u64, u128), ()> = TableDefinition::new("expiries");
/// (request, number from 0) → sealed piece
pub(super) const PIECES: TableDefinition<(u128, u32), &[u8]> = TableDefinition::new("pieces");
/// name → number: `schema`; `unscrubbed` while deleted calls may have left bytes
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(super) const UNSCRUBBED: &str = "unscrubbed";

type Entries<'t> = Table<'t, u128, &'static [u8; Entry::BYTES]>;

/// Place, times and size of a stored call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    at_ms: u64,
    expires_ms: u64,
    key: u64,
    team: u64,
    organization: u64,
    pieces: u64,
    /// bytes that the call takes in the file
    bytes: u64,
}

impl Entry {
    const FIELDS: usize = 7;
    pub const BYTES: usize = Entry::FIELDS * 8;

    fn of(capture: &StoredCapture, plain_bytes: usize) -> Entry {
        let full = (plain_bytes / PIECE_BYTES) as u64;
        let rest = ((plain_bytes % PIECE_BYTES) as u64 + PAGE_BYTES).next_power_of_two();
        Entry {
            at_ms: capture.at_ms,
            expires_ms: capture.expires_ms,
            key: capture.key.0,
            team: capture.team.0,
            organization: capture.organization.0,
            pieces: plain_bytes.div_ceil(PIECE_BYTES) as u64,
            bytes: full * 32 * 1024 + rest,
        }
    }

    fn to_bytes(self) -> [u8; Entry::BYTES] {
        let fields = [
            self.at_ms,
            self.expires_ms,
            self.key,
            self.team,
            self.organization,
            self.pieces,
            self.bytes,
        ];
        let mut bytes = [0; Entry::BYTES];
        for (field, into) in fields.iter().zip(bytes.chunks_exact_mut(8)) {
            into.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; Entry::BYTES]) -> Entry {
        let mut fields = [0; Entry::FIELDS];
        for (field, from) in fields.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *field = u64::from_le_bytes(*from);
        }
        let [at_ms, expires_ms, key, team, organization, pieces, bytes] = fields;
        Entry {
            at_ms,
            expires_ms,
            key,
            team,
            organization,
            pieces,
            bytes,
        }
    }

    fn is_in(&self, scope: PurgeScope) -> bool {
        match scope {
            PurgeScope::Request(_) => false,
            PurgeScope::Key(key) => self.key == key.0,
            PurgeScope::Team(team) => self.team == team.0,
            PurgeScope::All => true,
        }
    }
}

/// Number and size of the stored calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StoredSize {
    pub entries: u64,
    pub bytes: u64,
}

impl StoredSize {
    fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        self.bytes += entry.bytes;
    }

    fn remove(&mut self, entry: &Entry) {
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(entry.bytes);
    }
}

/// The file while it is open.
pub(super) struct OpenFile {
    pub database: Database,
    pub size: StoredSize,
    pub is_unscrubbed: bool,
}

/// The file, opened when it is first needed.
pub(super) struct CaptureFile {
    pub disk: Arc<dyn Disk>,
    seal: Seal,
    /// bound of what the calls take: redb doubles a file that is full
    bytes_max: u64,
    pub open: Option<OpenFile>,
}

impl CaptureFile {
    pub fn new(disk: Arc<dyn Disk>, seal: Seal, file_bytes_max: u64) -> CaptureFile {
        CaptureFile {
            disk,
            seal,
            bytes_max: file_bytes_max / 2,
            open: None,
        }
    }

    pub fn exists(&self) -> bool {
        self.disk.exists(FILE)
    }

    pub fn size(&self) -> StoredSize {
        self.open.as_ref().map(|open| open.size).unwrap_or_default()
    }

    /// Opens the file if it is not open; an absent one is created.
    pub fn open(&mut self) -> Result<&mut OpenFile, StoreError> {
        let open = match self.open.take() {
            Some(open) => open,
            None => catch_panic(|| open_file(&*self.disk, FILE))?,
        };
        Ok(self.open.insert(open))
    }

    pub fn close(&mut self) {
        let open = self.open.take();
        // closing a damaged file can panic like reading it
        let _ = catch_panic(|| {
            drop(open);
            Ok(())
        });
    }

    /// Removes the file for good; returns the number of calls in it.
    pub fn discard(&mut self) -> Result<u64, StoreError> {
        let entries = self.size().entries;
        self.close();
        self.remove_unfinished()?;
        if self.disk.exists(FILE) {
            self.disk.remove(FILE)?;
        }
        // a power cut must not bring a purged file back
        self.disk.sync_folder("")?;
        Ok(entries)
    }

    /// Removes what a rewrite left that was cut off.
    pub fn remove_unfinished(&self) -> Result<(), StoreError> {
        if self.disk.exists(UNFINISHED) {
            self.disk.remove(UNFINISHED)?;
        }
        Ok(())
    }

    /// Stores calls, for which the oldest ones make room; returns the number of those that are too large.
    pub fn write(&mut self, captures: &[StoredCapture]) -> Result<u64, StoreError> {
        let bytes_max = self.bytes_max;
        let open = {
            self.open()?;
            self.open.as_mut().ok_or(StoreError::Closed)?
        };
        let transaction = begin(&open.database)?;
        let (mut size, mut too_large, mut is_evicted) = (open.size, 0, false);
        for capture in captures {
            let plain = capture.call.encode();
            let entry = Entry::of(capture, plain.len());
            if entry.bytes > bytes_max {
                too_large += 1;
                continue;
            }
            while size.bytes + entry.bytes > bytes_max && remove_oldest(&transaction, &mut size)? {
                is_evicted = true;
            }
            put(&transaction, &self.seal, (capture.request, &entry), &plain)?;
            size.add(&entry);
        }
        if is_evicted {
            transaction.open_table(META)?.insert(UNSCRUBBED, 1)?;
        }
        transaction.commit()?;
        open.size = size;
        open.is_unscrubbed |= is_evicted;
        Ok(too_large)
    }

    /// Reads a call that has not expired.
    pub fn read(
        &mut self,
        id: RequestId,
        now_ms: u64,
    ) -> Result<Option<StoredCapture>, StoreError> {
        self.open()?;
        let Some(open) = &self.open else {
            return Ok(None);
        };
        let read = open.database.begin_read()?;
        let Some(entry) = read.open_table(ENTRIES)?.get(id.0)? else {
            return Ok(None);
        };
        let entry = Entry::from_bytes(entry.value());
        if entry.expires_ms <= now_ms {
            return Ok(None);
        }
        let pieces = read.open_table(PIECES)?;
        let mut plain = Vec::new();
        for row in pieces.range((id.0, 0)..=(id.0, u32::MAX))? {
            let (key, sealed) = row?;
            let about = about(id, key.value().1, &entry);
            let Some(piece) = self.seal.open(&about, sealed.value()) else {
                tracing::warn!("captured call unreadable: it was sealed with another key");
                return Ok(None);
            };
            plain.extend(piece);
        }
        Ok(CapturedCall::decode(&plain).map(|call| stored(id, &entry, call)))
    }

    /// Deletes the calls of a scope; returns their number.
    pub fn delete(&mut self, scope: PurgeScope) -> Result<u64, StoreError> {
        let ids = {
            let entries = self.open()?.database.begin_read()?.open_table(ENTRIES)?;
            match scope {
                PurgeScope::Request(id) => entries.get(id.0)?.map(|_| id.0).into_iter().collect(),
                _ => matching(&entries, scope)?,
            }
        };
        self.delete_rows(&ids)
    }

    /// Deletes the calls that have expired; returns their number.
    pub fn expire(&mut self, now_ms: u64) -> Result<u64, StoreError> {
        let ids = {
            let expiries = self.open()?.database.begin_read()?.open_table(EXPIRIES)?;
            let expired = expiries.range(..=(now_ms, u128::MAX))?;
            let ids: Result<Vec<u128>, StoreError> =
                expired.map(|row| Ok(row?.0.value().1)).collect();
            ids?
        };
        self.delete_rows(&ids)
    }

    fn delete_rows(&mut self, ids: &[u128]) -> Result<u64, StoreError> {
        let open = self.open.as_mut().ok_or(StoreError::Closed)?;
        if ids.is_empty() {
            return Ok(0);
        }
        let transaction = begin(&open.database)?;
        let mut size = open.size;
        for id in ids {
            remove(&transaction, *id, &mut size)?;
        }
        transaction.open_table(META)?.insert(UNSCRUBBED, 1)?;
        transaction.commit()?;
        open.size = size;
        open.is_unscrubbed = true;
        Ok(ids.len() as u64)
    }
}

pub(super) fn open_file(disk: &dyn Disk, name: &str) -> Result<OpenFile, StoreError> {
    let file = disk.open(name)?;
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(Backend::on(file, Arc::default()))?;
    let transaction = begin(&database)?;
    let mut size = StoredSize::default();
    let is_unscrubbed = {
        let mut meta = transaction.open_table(META)?;
        let schema = meta.get("schema")?.map(|schema| schema.value());
        if schema.is_some_and(|schema| schema != SCHEMA) {
            return Err(StoreError::Database("written by another release".into()));
        }
        if schema.is_none() {
            meta.insert("schema", SCHEMA)?;
        }
        transaction.open_table(PIECES)?;
        transaction.open_table(EXPIRIES)?;
        for row in transaction.open_table(ENTRIES)?.iter()? {
            size.add(&Entry::from_bytes(row?.1.value()));
        }
        meta.get(UNSCRUBBED)?.is_some()
    };
    transaction.commit()?;
    Ok(OpenFile {
        database,
        size,
        is_unscrubbed,
    })
}

fn matching(
    entries: &impl ReadableTable<u128, &'static [u8; Entry::BYTES]>,
    scope: PurgeScope,
) -> Result<Vec<u128>, StoreError> {
    let mut ids = Vec::new();
    for row in entries.iter()? {
        let (id, entry) = row?;
        if Entry::from_bytes(entry.value()).is_in(scope) {
            ids.push(id.value());
        }
    }
    Ok(ids)
}

fn put(
    transaction: &WriteTransaction,
    seal: &Seal,
    (id, entry): (RequestId, &Entry),
    plain: &[u8],
) -> Result<(), StoreError> {
    let mut pieces = transaction.open_table(PIECES)?;
    for (number, piece) in plain.chunks(PIECE_BYTES).enumerate() {
        let number = number as u32;
        let sealed = seal.seal(&about(id, number, entry), piece);
        let sealed = sealed.ok_or_else(|| StoreError::Database("no random numbers".into()))?;
        pieces.insert((id.0, number), sealed.as_slice())?;
    }
    transaction
        .open_table(EXPIRIES)?
        .insert((entry.expires_ms, id.0), ())?;
    transaction
        .open_table(ENTRIES)?
        .insert(id.0, &entry.to_bytes())?;
    Ok(())
}

/// Deletes the oldest call; `false` if there is none.
fn remove_oldest(
    transaction: &WriteTransaction,
    size: &mut StoredSize,
) -> Result<bool, StoreError> {
    let entries: Entries<'_> = transaction.open_table(ENTRIES)?;
    let oldest = entries.first()?.map(|(id, _)| id.value());
    drop(entries);
    match oldest {
        Some(id) => remove(transaction, id, size).map(|()| true),
        None => Ok(false),
    }
}

fn remove(
    transaction: &WriteTransaction,
    id: u128,
    size: &mut StoredSize,
) -> Result<(), StoreError> {
    let mut entries = transaction.open_table(ENTRIES)?;
    let Some(entry) = entries
        .remove(id)?
        .map(|row| Entry::from_bytes(row.value()))
    else {
        return Ok(());
    };
    transaction
        .open_table(EXPIRIES)?
        .remove((entry.expires_ms, id))?;
    let mut pieces = transaction.open_table(PIECES)?;
    pieces.retain_in((id, 0)..=(id, u32::MAX), |_, _| false)?;
    size.remove(&entry);
    Ok(())
}

fn stored(request: RequestId, entry: &Entry, call: CapturedCall) -> StoredCapture {
    StoredCapture {
        request,
        organization: OrganizationId(entry.organization),
        team: TeamId(entry.team),
        key: KeyId(entry.key),
        at_ms: entry.at_ms,
        expires_ms: entry.expires_ms,
        call,
    }
}

/// Associated data of a piece: it cannot be moved to another call or place, kept longer, or left out.
fn about(id: RequestId, number: u32, entry: &Entry) -> Vec<u8> {
    [
        &id.0.to_be_bytes()[..],
        &number.to_be_bytes(),
        &entry.to_bytes(),
    ]
    .concat()
}
