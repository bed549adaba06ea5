//! Scans of the request log: limits, filters and positions.

use super::{create_store, log_call, wait_until_posted};
use crate::domain::event::{HoldId, StatusClass};
use crate::domain::id::{KeyId, RequestId};
use crate::store::codec::tests::sample_hold;
use crate::store::{EntryHead, RecordIndex, Scan};

#[test]
fn request_log_scan_stops_at_its_limits_and_returns_its_position() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create_store(folder.path());
    for at_ms in 1..=30 {
        log_call(&store, at_ms * 1_000);
    }
    wait_until_posted(&store);
    let id = |request| HoldId {
        request,
        attempt: 0,
    };
    let scan = Scan {
        index: RecordIndex::Key(KeyId(3)),
        from: id(RequestId(0)),
        to: id(RequestId(u128::MAX)),
        newest_first: false,
        limit: 2,
        rows_max: 7,
    };
    let tenth =
        |head: &EntryHead| matches!(head, EntryHead::Record(record) if record.hold.at_ms == 10_000);
    let first = store.request_log(&scan, tenth).expect("reads");
    assert_eq!(
        (first.entries.len(), first.rows, first.finished),
        (0, 7, false)
    );
    assert_eq!(first.last, Some(sample_hold(7_000).id));
    let all = store.request_log(&scan, |_| true).expect("reads");
    assert_eq!(
        (all.entries.len(), all.rows),
        (2, 2),
        "the entry limit ends it too"
    );
    let not_ok = Scan {
        index: RecordIndex::NotOk(StatusClass::Failed),
        ..scan
    };
    let none = store.request_log(&not_ok, |_| true).expect("reads");
    assert!(none.finished && none.rows == 0);
    store.close();
}
