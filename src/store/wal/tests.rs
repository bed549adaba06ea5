//! Reserved bytes and segments of the log, tested without the threads that would create further segments.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;

use crate::domain::event::LedgerEvent;
use crate::store::books::database;
use crate::store::books::inspection::Inspection;
use crate::store::codec::tests::{sample_hold, sample_progress, sample_settlement};
use crate::store::tests::options;
use crate::store::wal::file::SegmentedLog;
use crate::store::wal::handle::Wal;
use crate::store::wal::segment::Segment;

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

/// A log of 64 KiB segments in a folder, without the threads that fill segments.
fn log_without_writer(folder: &Path) -> Wal {
    let options = options(folder, !folder.join(database::FILE).exists());
    if options.create {
        database::ensure(&options).expect("new books");
    }
    let identity = Inspection::open(&options)
        .and_then(|books| books.identity(&options.zone))
        .expect("an identity");
    let (log, replay) = SegmentedLog::open(&options, &identity).expect("a log");
    Wal::new(log, replay.events, 0, 0, false)
}

/// Appends holds and their settlements until the segment changes; returns the next instant.
fn append_until_roll(wal: &Wal, from_ms: u64) -> u64 {
    let segment = wal.active().name;
    (from_ms..)
        .find(|at_ms| {
            append_call(wal, *at_ms);
            wal.active().name != segment
        })
        .expect("segments end")
}

fn append_until_half_full(wal: &Wal, from_ms: u64) {
    let mut at_ms = from_ms..;
    while wal.active().end <= 32 * 1024 {
        append_call(wal, at_ms.next().expect("an instant"));
    }
}

fn append_call(wal: &Wal, at_ms: u64) {
    for event in [
        LedgerEvent::Hold(sample_hold(at_ms)),
        LedgerEvent::Settle(sample_settlement(at_ms)),
    ] {
        wal.append(Arc::new(event)).expect("there is room");
    }
}

/// Does the writer's work after it was woken: `false` if it has nothing to prepare.
fn prepare(wal: &Wal, folder: &Path) -> bool {
    let number = wal.lock().log.segment_to_prepare();
    let Some(number) = number else {
        return false;
    };
    // the folder is locked by the log's disk
    let disk = wal.lock().log.disk();
    let segment = Segment::create(disk.as_ref(), number, 64 * 1024).expect("room");
    if let Some(surplus) = wal.put_ready(segment) {
        std::fs::remove_file(folder.join(surplus)).expect("a file");
    }
    true
}

#[test]
fn log_whose_next_segment_came_too_late_is_mapped_again_from_the_one_after() {
    let folder = tempfile::tempdir().expect("a folder");
    let wal = log_without_writer(folder.path());
    assert!(wal.metrics().mapped);
    let next_ms = append_until_roll(&wal, 1);
    assert!(!wal.metrics().mapped, "the segment has holes");
    let makeshift = wal.active();
    assert!(
        wal.lock().log.take_segment_due(),
        "the writer is asked once"
    );
    assert!(!wal.lock().log.take_segment_due());
    assert!(prepare(&wal, folder.path()), "before it is half full");
    append_call(&wal, next_ms + 1);
    assert!(wal.metrics().mapped);
    assert_ne!(wal.active().name, makeshift.name);
    drop(wal);
    let wal = log_without_writer(folder.path());
    assert!(wal.metrics().mapped);
    assert_eq!(wal.metrics().written, 2 * (next_ms + 1));
}

#[test]
fn makeshift_segment_is_replaced_by_one_that_the_writer_filled() {
    let folder = tempfile::tempdir().expect("a folder");
    let wal = log_without_writer(folder.path());
    append_until_half_full(&wal, 1);
    wal.lock().log.make_ready().expect("room");
    assert!(prepare(&wal, folder.path()));
    assert!(!prepare(&wal, folder.path()), "it is not replaced again");
    append_until_roll(&wal, 1_000);
    assert!(wal.metrics().mapped);
    let files = std::fs::read_dir(folder.path().join("ledger")).expect("a folder");
    assert_eq!(files.count(), 2, "the makeshift one is removed");
}

#[test]
fn log_on_a_nearly_full_disk_is_written_until_there_is_room_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let wal = log_without_writer(folder.path());
    append_call(&wal, 1);
    wal.set_disk_low(true);
    assert!(!wal.metrics().mapped);
    wal.set_disk_low(false);
    append_call(&wal, 2);
    assert!(!wal.metrics().mapped, "until the segment ends");
    append_until_half_full(&wal, 3);
    assert!(prepare(&wal, folder.path()));
    append_call(&wal, 1_000);
    assert!(wal.metrics().mapped);
}

/// Commits the synced records as the writer does.
fn post_synced(wal: &Wal) -> usize {
    let batch = wal.take_batch();
    if let Some((applied, _)) = batch.last() {
        wal.mark_applied(*applied);
    }
    batch.len()
}

fn is_posting_due(wal: &Wal) -> bool {
    let mut state = wal.lock();
    state.forget_awaited(*wal.applied.borrow());
    let postable = state.postable();
    // not by age
    state.oldest_pending = Some(Instant::now());
    state.posting_due(Instant::now(), postable)
}

#[test]
fn report_on_partly_synced_records_takes_one_commit_once_all_are_synced() {
    let folder = tempfile::tempdir().expect("a folder");
    let wal = log_without_writer(folder.path());
    append_call(&wal, 1);
    wal.sync().expect("a sync");
    append_call(&wal, 2);
    let mut report = Box::pin(wal.wait_posted());
    assert!(report.as_mut().now_or_never().is_none());
    assert!(!is_posting_due(&wal), "two records are not synced");
    wal.sync().expect("a sync");
    assert!(is_posting_due(&wal));
    assert_eq!(post_synced(&wal), 4);
    assert!(report.as_mut().now_or_never().is_some());
    append_call(&wal, 3);
    wal.sync().expect("a sync");
    assert!(!is_posting_due(&wal), "the report has its numbers");
}

#[test]
fn report_without_new_records_makes_no_later_record_due() {
    let folder = tempfile::tempdir().expect("a folder");
    let wal = log_without_writer(folder.path());
    append_call(&wal, 1);
    wal.sync().expect("a sync");
    post_synced(&wal);
    assert!(wal.wait_posted().now_or_never().is_some());
    append_call(&wal, 2);
    wal.sync().expect("a sync");
    assert!(!is_posting_due(&wal));
}

#[test]
fn change_is_preceded_by_one_commit_of_the_records_before_it_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let wal = log_without_writer(folder.path());
    append_call(&wal, 1);
    wal.sync().expect("a sync");
    append_call(&wal, 2);
    wal.submit(Box::new(|_| {})).expect("queued");
    assert!(!is_posting_due(&wal), "two records are not synced");
    wal.lock().sync_failing = true;
    assert!(
        is_posting_due(&wal),
        "a change does not wait for a disk that fails"
    );
    wal.sync().expect("a sync");
    assert!(is_posting_due(&wal));
    assert_eq!(post_synced(&wal), 4);
    append_call(&wal, 3);
    wal.sync().expect("a sync");
    assert!(!is_posting_due(&wal), "the change needs no later record");
}
