//! Copy-on-write view of a file: writes stay in memory, the file is never changed. redb writes to a database merely by opening it; this
//! lets the books be inspected, and refused, without a change on the disk.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::disk::DiskFile;

const PAGE: u64 = 4096;

/// redb storage backend on a file that it never changes.
pub(in crate::store) struct Overlay {
    file: Arc<dyn DiskFile>,
    pages: Mutex<OverlayPages>,
}

/// Pages written since the start.
struct OverlayPages {
    len: u64,
    by_number: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(in crate::store) fn over(file: Arc<dyn DiskFile>) -> Overlay {
        let len = file.size().unwrap_or(0);
        Overlay {
            file,
            pages: Mutex::new(OverlayPages {
                len,
                by_number: BTreeMap::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, OverlayPages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One page as it is in the file; zeros beyond the end.
    fn page_in_file(&self, page: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; PAGE as usize];
        let start = page * PAGE;
        let end = self.file.size()?.min(start + PAGE);
        if start < end {
            self.file
                .read_at(start, &mut bytes[..(end - start) as usize])?;
        }
        Ok(bytes)
    }

    /// Pages that a range touches: number, range within the page, range within the caller's buffer.
    fn split(
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
        Ok(self.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let pages = self.lock();
        for (page, inside, outside) in Overlay::split(offset, out.len()) {
            match pages.by_number.get(&page) {
                Some(bytes) => out[outside].copy_from_slice(&bytes[inside]),
                None => out[outside].copy_from_slice(&self.page_in_file(page)?[inside]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.lock().len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut pages = self.lock();
        for (page, inside, outside) in Overlay::split(offset, data.len()) {
            let bytes = match pages.by_number.entry(page) {
                Entry::Occupied(page) => page.into_mut(),
                Entry::Vacant(entry) => entry.insert(self.page_in_file(page)?),
            };
            bytes[inside].copy_from_slice(&data[outside]);
        }
        Ok(())
    }
}
