//! Log through a mapping of real files: records survive a kill, windows move on, files with holes are written.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use tempfile::TempDir;

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
