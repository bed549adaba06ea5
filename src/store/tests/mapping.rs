//! Log through a mapping of real files: records survive a kill, windows move on, files with holes are filled by the next start.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use tempfile::TempDir;

use super::{create_store, list_records, log_call, reopen, wait_until_posted};
use crate::store::mapping;

/// A file of so many MiB, with a hole or without.
fn file(mib: usize, filled: bool) -> (TempDir, std::fs::File) {
    let folder = TempDir::new().expect("a folder");
    let mut options = OpenOptions::new();
    let file = options
        .create(true)
        .read(true)
        .write(true)
        .truncate(true)
        .open(folder.path().join("log"))
        .expect("a file");
    let size = mib << 20;
    file.set_len(size as u64).expect("room");
    if filled {
        file.write_all_at(&vec![0; size], 0).expect("room");
    }
    (folder, file)
}

fn read(file: &std::fs::File, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset).expect("readable");
    bytes
}

#[test]
fn stored_record_is_read_from_the_file_without_a_sync() {
    let (_folder, file) = file(1, true);
    let mapping = mapping::map(&file).expect("ext4, xfs or tmpfs, Linux 5.14");
    mapping.move_window(64, 4096).expect("present");
    assert!(mapping.store(64, b"0123456789abcdef"));
    assert_eq!(read(&file, 64, 16), b"0123456789abcdef");
}

#[test]
fn record_outside_the_window_or_off_the_grid_is_not_stored() {
    let (_folder, file) = file(1, true);
    let mapping = mapping::map(&file).expect("mapped");
    mapping.move_window(8192, 12_288).expect("present");
    let record = [7; 16];
    for offset in [0, 8184, 12_280, 12_288, 1 << 20, u64::MAX - 7, 8196] {
        assert!(!mapping.store(offset, &record), "{offset}");
    }
    assert!(!mapping.store(8192, &record[..7]), "less than a word");
    assert!(mapping.store(12_272, &record));
    let stored = read(&file, 0, 1 << 20);
    assert_eq!(stored.iter().filter(|byte| **byte != 0).count(), 16);
}

#[test]
fn moved_window_keeps_what_was_stored_before_it() {
    let (_folder, file) = file(4, true);
    let mapping = mapping::map(&file).expect("mapped");
    let mut at = 0;
    while at < 4 << 20 {
        mapping.move_window(at, at + (1 << 20)).expect("present");
        assert!(mapping.store(at, &at.to_le_bytes().repeat(2)));
        at += 512 << 10;
    }
    drop(mapping);
    for at in (0..4u64 << 20).step_by(512 << 10) {
        assert_eq!(read(&file, at, 16), at.to_le_bytes().repeat(2));
    }
}

#[test]
fn file_with_a_hole_or_without_bytes_is_not_mapped() {
    assert!(mapping::map(&file(1, false).1).is_none());
    assert!(mapping::map(&file(0, true).1).is_none());
}

/// A folder as `kill -9` left it: so many booked calls, and so many bytes of the log's segment that have pages, with holes after them.
fn folder_with_holes_after(filled: u64, calls: u64) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let store = create_store(folder.path());
    for call in 0..calls {
        log_call(&store, call * 1_000);
    }
    wait_until_posted(&store);
    assert!(calls == 0 || store.wal().active().end <= filled);
    store.close();
    let path = folder.path().join("ledger/000001.log");
    let file = OpenOptions::new().write(true).open(path).expect("a log");
    let size = file.metadata().expect("a size").len();
    file.set_len(filled).expect("shortened");
    // as a segment is created: its blocks are allocated and not written
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size).expect("room");
    folder
}

#[test]
fn segment_whose_filling_was_cut_off_is_filled_and_mapped_by_the_next_start() {
    let without_calls = [
        0, 1, 10, 40, 63, 64, 65, 100, 4095, 4096, 4097, 10_000, 65_535,
    ];
    let with_calls = [16_384, 16_385, 20_480, 40_001, 65_535];
    let all = without_calls.map(|filled| (filled, 0));
    for (filled, calls) in all.into_iter().chain(with_calls.map(|filled| (filled, 20))) {
        let folder = folder_with_holes_after(filled, calls);
        let (store, _) = reopen(folder.path()).expect("opens");
        assert!(store.wal().metrics().mapped, "{filled} bytes with pages");
        for call in calls..200 {
            log_call(&store, call * 1_000);
        }
        wait_until_posted(&store);
        store.close();
        drop(store);
        let (store, recovered) = reopen(folder.path()).expect("opens again");
        assert!(store.wal().metrics().mapped, "{filled} bytes with pages");
        assert!(recovered.holds.is_empty(), "{filled} bytes with pages");
        assert_eq!(list_records(&store, None, 300).len(), 200);
        store.close();
    }
}

/// A copy by a tool that leaves out zeros.
#[test]
fn segment_copied_with_holes_is_mapped() {
    let folder = TempDir::new().expect("a folder");
    let store = create_store(folder.path());
    log_call(&store, 1_000);
    wait_until_posted(&store);
    store.close();
    drop(store);
    let path = folder.path().join("ledger/000001.log");
    let bytes = std::fs::read(&path).expect("a log");
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("records");
    std::fs::write(&path, &bytes[..=last]).expect("written");
    let file = OpenOptions::new().write(true).open(&path).expect("a log");
    file.set_len(bytes.len() as u64).expect("extended");
    let (store, _) = reopen(folder.path()).expect("opens");
    assert!(store.wal().metrics().mapped);
    assert_eq!(
        std::fs::read(&path).expect("a log")[last + 1..],
        bytes[last + 1..]
    );
    store.close();
}

#[test]
fn start_with_a_nearly_full_segment_has_the_next_one_ready() {
    let folder = TempDir::new().expect("a folder");
    let store = create_store(folder.path());
    let mut at_ms = 0;
    let segment = store.wal().active().name;
    while store.wal().active().end < 63 * 1024 {
        at_ms += 1_000;
        log_call(&store, at_ms);
    }
    assert_eq!(store.wal().active().name, segment);
    store.close();
    drop(store);
    let (store, _) = reopen(folder.path()).expect("opens");
    // at once, before the writer has run
    while store.wal().active().name == segment {
        at_ms += 1_000;
        log_call(&store, at_ms);
    }
    assert!(store.wal().metrics().mapped);
    store.close();
}
