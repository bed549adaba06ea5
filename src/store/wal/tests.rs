//! The log's room, without the threads that would make more of it.

use std::sync::Arc;

use crate::store::books::tables;
use crate::store::codec::tests::{sample_hold, sample_progress, sample_settlement};
use crate::store::tests::options;
use crate::store::wal::*;

const HOLDS: u64 = 10;
/// More than the log's file could ever take.
const NOTES_MAX: usize = 10_000;

#[test]
fn notes_of_progress_leave_the_room_that_holds_have_reserved_for_their_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path(), true);
    let identity = tables::identify(&options).expect("the books are made");
    let (log, replay) = SegmentedLog::open(&options, &identity).expect("a new log");
    let journal = Wal::new(log, replay.events, 0, 0, &options);
    for at_ms in 0..HOLDS {
        journal
            .append(Arc::new(LedgerEvent::Hold(sample_hold(at_ms))))
            .expect("there is room");
    }
    // no other file can be made: a folder stands in the place of each
    for number in 2..30 {
        std::fs::create_dir(folder.path().join(format!("ledger/{number:06}.log")))
            .expect("a folder can be made");
    }
    let note = || LedgerEvent::Progress {
        id: sample_hold(0).id,
        progress: sample_progress(),
    };
    let noted = (0..NOTES_MAX)
        .take_while(|_| journal.append(Arc::new(note())).is_ok())
        .count();
    assert!((1..NOTES_MAX).contains(&noted), "{noted} notes");
    for at_ms in 0..HOLDS {
        journal
            .append(Arc::new(LedgerEvent::Settle(sample_settlement(at_ms))))
            .expect("its room was reserved");
    }
    assert!(
        journal.append(Arc::new(note())).is_ok(),
        "nothing is reserved any more"
    );
}
