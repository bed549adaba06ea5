//! Rewrite of the file: the live calls are copied to a new file that replaces the old one, so that no byte of a deleted call remains. A
//! process that is killed meanwhile leaves the old file, which remembers that it is to be rewritten.

use redb::{Database, ReadableDatabase, ReadableTable};

use crate::store::backend::catch_panic;
use crate::store::books::database::begin;
use crate::store::captures::file::{
    CaptureFile, ENTRIES, EXPIRIES, FILE, PIECES, UNFINISHED, open_file,
};
use crate::store::error::StoreError;

/// Pieces copied in one transaction: at most 8 MiB.
const PIECES_PER_COMMIT: usize = 256;

impl CaptureFile {
    /// Rewrites the file; an empty one is removed.
    pub fn scrub(&mut self) -> Result<(), StoreError> {
        let open = self.open()?;
        if open.size.entries == 0 {
            return self.discard().map(drop);
        }
        self.check_free_space()?;
        self.remove_unfinished()?;
        let open = self.open.as_ref().ok_or(StoreError::Closed)?;
        catch_panic(|| {
            let copy = open_file(&*self.disk, UNFINISHED)?;
            copy_rows(&open.database, &copy.database)
        })
        .inspect_err(|_| {
            // a partial copy would take up the space that the next try needs
            let _ = self.disk.remove(UNFINISHED);
        })?;
        self.close();
        self.disk.rename(UNFINISHED, FILE)?;
        self.disk.sync_folder("")?;
        self.open().map(drop)
    }

    fn check_free_space(&self) -> Result<(), StoreError> {
        let needed_mb = self.disk.open(FILE)?.size()?.div_ceil(1024 * 1024);
        let free_mb = self.disk.free_mb()?;
        if free_mb >= needed_mb {
            return Ok(());
        }
        Err(StoreError::Captures(format!(
            "disk space low: {needed_mb} MB needed to rewrite {FILE}, {free_mb} MB free; free some, or purge all captured calls"
        )))
    }
}

fn copy_rows(from: &Database, to: &Database) -> Result<(), StoreError> {
    let read = from.begin_read()?;
    let mut next = Some((0, 0));
    while let Some(first) = next.take() {
        let transaction = begin(to)?;
        {
            let mut pieces = transaction.open_table(PIECES)?;
            for (copied, row) in read.open_table(PIECES)?.range(first..)?.enumerate() {
                let (key, sealed) = row?;
                if copied == PIECES_PER_COMMIT {
                    next = Some(key.value());
                    break;
                }
                pieces.insert(key.value(), sealed.value())?;
            }
        }
        transaction.commit()?;
    }
    let transaction = begin(to)?;
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        for row in read.open_table(ENTRIES)?.iter()? {
            let (id, entry) = row?;
            entries.insert(id.value(), entry.value())?;
        }
        let mut expiries = transaction.open_table(EXPIRIES)?;
        for row in read.open_table(EXPIRIES)?.iter()? {
            expiries.insert(row?.0.value(), ())?;
        }
    }
    transaction.commit()?;
    Ok(())
}
