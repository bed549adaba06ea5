//! Reserved bytes of the log, tested without the threads that would create further segments.

use std::sync::Arc;

use crate::domain::event::LedgerEvent;
use crate::store::books::database;
use crate::store::books::inspection::Inspection;
use crate::store::codec::tests::{sample_hold, sample_progress, sample_settlement};
use crate::store::tests::options;
use crate::store::wal::file::SegmentedLog;
use crate::store::wal::handle::Wal;

const HOLDS: u64 = 10;
/// More than one segment could take.
const PROGRESS_MAX: usize = 10_000;

#[test]
fn progress_records_leave_the_bytes_reserved_for_settlements() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path(), true);
    database::ensure(&options).expect("new books");
    let identity = Inspection::open(&options)
        .and_then(|books| books.identity(&options.zone))
        .expect("an identity");
    let (log, replay) = SegmentedLog::open(&options, &identity).expect("a new log");
    let wal = Wal::new(log, replay.events, 0, 0, false);
    for at_ms in 0..HOLDS {
        wal.append(Arc::new(LedgerEvent::Hold(sample_hold(at_ms))))
            .expect("there is room");
    }
    // folders under the names of the next segments make their creation fail
    for number in 2..30 {
        std::fs::create_dir(folder.path().join(format!("ledger/{number:06}.log")))
            .expect("a folder can be made");
    }
    let progress = || LedgerEvent::Progress {
        id: sample_hold(0).id,
        progress: sample_progress(),
    };
    let appended = (0..PROGRESS_MAX)
        .take_while(|_| wal.append(Arc::new(progress())).is_ok())
        .count();
    assert!(
        (1..PROGRESS_MAX).contains(&appended),
        "{appended} progress records"
    );
    for at_ms in 0..HOLDS {
        wal.append(Arc::new(LedgerEvent::Settle(sample_settlement(at_ms))))
            .expect("its bytes were reserved");
    }
    assert!(
        wal.append(Arc::new(progress())).is_ok(),
        "nothing is reserved any more"
    );
}
