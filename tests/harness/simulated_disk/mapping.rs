//! Mapping of a simulated file: a record is two stores, its first word last, and a kill may come between them. Stores never fail, and
//! are lost by a power cut like writes; moving the window may fail.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gatekeeper::store::mapping::MappedRecords;

use super::SimulatedDisk;
use super::fault::Operation;

pub struct SimulatedMapping {
    disk: Arc<SimulatedDisk>,
    id: u64,
    from: AtomicU64,
    end: AtomicU64,
}

impl SimulatedMapping {
    pub fn of(disk: &Arc<SimulatedDisk>, id: u64) -> Arc<dyn MappedRecords> {
        Arc::new(SimulatedMapping {
            disk: Arc::clone(disk),
            id,
            from: AtomicU64::new(0),
            end: AtomicU64::new(0),
        })
    }
}

impl MappedRecords for SimulatedMapping {
    fn store(&self, offset: u64, record: &[u8]) -> bool {
        let window = self.from.load(Ordering::SeqCst)..=self.end.load(Ordering::SeqCst);
        let end = offset + record.len() as u64;
        if !(window.contains(&offset) && window.contains(&end)) {
            return false;
        }
        for (at, bytes) in [(offset + 8, &record[8..]), (offset, &record[..8])] {
            let mut state = self.disk.lock();
            let (number, files) = state.change();
            files.content(self.id).write(number, at, bytes);
        }
        true
    }

    fn window_end(&self) -> u64 {
        self.end.load(Ordering::SeqCst)
    }

    fn move_window(&self, from: u64, to: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.check(Operation::Write)?;
        let size = *state.files.content(self.id).size.now();
        self.from.store(from, Ordering::SeqCst);
        self.end.fetch_max(to.min(size), Ordering::SeqCst);
        Ok(())
    }
}
