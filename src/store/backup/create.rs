//! Hot backup: the writer posts the log to its end and copies the file of the books between two commits; requests go on, their records
//! wait in the log. The copy is then read by the caller and is gone with it. Must never copy while a commit is under way.

use std::io;
use std::sync::Arc;

use redb::{Database, ReadableDatabase};
use sha2::{Digest, Sha256};

use crate::store::backup::archive::{BackupFacts, HEADER_BYTES};
use crate::store::books::database::FILE;
use crate::store::books::store::Store;
use crate::store::books::tables::{META, TIMEZONE, WORDS};
use crate::store::disk::{Disk, DiskFile};
use crate::store::error::StoreError;

/// Name of the copy for as long as it has one.
const COPY: &str = "gatekeeper.redb.backup";
const CHUNK_BYTES: u64 = 1 << 20;

/// Facts that the caller of a backup knows.
#[derive(Clone, Debug)]
pub struct BackupRequest {
    pub version: &'static str,
    pub taken_ms: u64,
    pub seal_key_id: String,
}

/// A finished copy, read in pieces.
pub struct BackupReader {
    pub facts: BackupFacts,
    file: Arc<dyn DiskFile>,
    digest: Sha256,
    /// bytes of the backup returned so far
    at: u64,
}

impl Store {
    /// Copies the books as they are once everything logged by now is posted.
    pub async fn backup(&self, request: BackupRequest) -> Result<BackupReader, StoreError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (disk, instance) = (self.disk.clone(), self.instance);
        self.wal.submit(Box::new(move |database| {
            let copied = database.and_then(|database| copy(&*disk, database, instance, request));
            // dropped here if the caller has gone
            let _ = sender.send(copied);
        }))?;
        receiver.await.map_err(|_| StoreError::Closed)?
    }
}

/// Runs on the writer's thread, so that no commit changes the file meanwhile.
fn copy(
    disk: &dyn Disk,
    database: &Database,
    instance: [u8; 16],
    request: BackupRequest,
) -> Result<BackupReader, StoreError> {
    let read = database.begin_read()?;
    let meta = read.open_table(META)?;
    let number = |name: &str| -> Result<u64, StoreError> {
        Ok(meta.get(name)?.map_or(0, |value| value.value()))
    };
    let zone = read.open_table(WORDS)?.get(TIMEZONE)?;
    let file = copy_file(disk)?;
    let facts = BackupFacts {
        version: request.version.to_owned(),
        instance,
        generation: number("generation")? as u32,
        schema: number("schema")?,
        applied: number("applied")?,
        taken_ms: request.taken_ms,
        timezone: zone.map_or("UTC".to_owned(), |zone| zone.value().to_owned()),
        seal_key_id: request.seal_key_id,
        books_bytes: file.size()?,
    };
    Ok(BackupReader {
        facts,
        file,
        digest: Sha256::new(),
        at: 0,
    })
}

/// Copies the file and removes the name of the copy: its space is free again once the reader is dropped. Zeros are not written.
fn copy_file(disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
    if disk.exists(COPY) {
        disk.remove(COPY)?;
    }
    let source = disk.open(FILE)?;
    let size = source.size()?;
    let (needed_mb, free_mb) = (size.div_ceil(1 << 20), disk.free_mb()?);
    if free_mb < needed_mb {
        let message = format!(
            "disk space low: a backup needs {needed_mb} MB in the data folder for a moment, {free_mb} MB are free"
        );
        return Err(io::Error::new(io::ErrorKind::StorageFull, message));
    }
    let copy = disk.open(COPY)?;
    disk.remove(COPY)?;
    copy.set_size(size)?;
    let mut bytes = vec![0; CHUNK_BYTES as usize];
    let mut at = 0;
    while at < size {
        let length = CHUNK_BYTES.min(size - at) as usize;
        source.read_at(at, &mut bytes[..length])?;
        if bytes[..length].iter().any(|byte| *byte != 0) {
            copy.write_at(at, &bytes[..length])?;
        }
        at += length as u64;
    }
    Ok(copy)
}

impl BackupReader {
    /// Returns the next piece of the backup, `None` at its end. Blocks on the disk.
    pub fn next_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let header_bytes = HEADER_BYTES as u64;
        let books_end = header_bytes + self.facts.books_bytes;
        let chunk = if self.at == 0 {
            self.facts.header().to_vec()
        } else if self.at < books_end {
            let mut bytes = vec![0; CHUNK_BYTES.min(books_end - self.at) as usize];
            self.file.read_at(self.at - header_bytes, &mut bytes)?;
            bytes
        } else if self.at == books_end {
            self.at += 1;
            return Ok(Some(self.digest.clone().finalize().to_vec()));
        } else {
            return Ok(None);
        };
        self.digest.update(&chunk);
        self.at += chunk.len() as u64;
        Ok(Some(chunk))
    }
}
