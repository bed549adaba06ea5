//! A kill or a power cut at every change that a purge makes to the disk: the other calls stay whole, an acknowledged purge left no byte, and
//! one that was cut off is completed by a repetition.

use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};

use super::{BOUNDS, DAY_MS, capture, read};
use crate::domain::clock::ManualClock;
use crate::domain::id::{KeyId, RequestId, TeamId};
use crate::domain::secret::Secret;
use crate::domain::time::Time;
use crate::store::captures::file::{PIECES, open_file};
use crate::store::captures::{Captures, FILE, PurgeScope};
use crate::store::disk::Disk;
use crate::store::seal::SealKey;
use crate::store::tests::memory_disk::MemoryDisk;

/// Calls of key 11, which are purged, and of key 22.
const PURGED: [u128; 3] = [1, 2, 3];
const KEPT: [u128; 3] = [4, 5, 6];

fn open(disk: &MemoryDisk) -> Captures {
    let key = SealKey::of_secret(&Secret::new("k".repeat(32)));
    let clock = ManualClock::at_ms(30 * DAY_MS);
    let time = Arc::new(Time::new(Arc::new(clock)));
    Captures::open(Arc::new(disk.clone()), time, &key, BOUNDS)
}

fn text(id: u128) -> Vec<u8> {
    // more than one piece, so that a rewrite has several steps
    vec![id as u8; 20_000]
}

/// A disk with captured calls whose writer has ended.
fn filled() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let captures = open(&disk);
    for (ids, key) in [(PURGED, 11), (KEPT, 22)] {
        for id in ids {
            capture(&captures, id, key, &text(id));
        }
    }
    assert!(read(&captures, KEPT[2]).is_some());
    captures.close();
    disk
}

/// Sealed pieces of the purged calls as they lie in the file.
fn sealed(disk: &MemoryDisk) -> Vec<Vec<u8>> {
    let copy = disk.after_kill();
    let file = open_file(&copy, FILE).expect("the copy opens");
    let read = file.database.begin_read().expect("a transaction");
    let pieces = read.open_table(PIECES).expect("the table");
    let rows = pieces.iter().expect("rows").map(|row| row.expect("a row"));
    rows.filter(|(key, _)| PURGED.contains(&key.value().0))
        .map(|(_, sealed)| sealed.value().to_vec())
        .collect()
}

/// True if one of a few parts of each piece is in a file of the disk.
fn has_any(disk: &MemoryDisk, sealed: &[Vec<u8>]) -> bool {
    let names = disk.names("").expect("names");
    names.iter().any(|name| {
        let file = disk.open(name).expect("a file");
        let mut bytes = vec![0; file.size().expect("a size") as usize];
        file.read_at(0, &mut bytes).expect("its bytes");
        let mut parts = sealed
            .iter()
            .flat_map(|piece| piece.chunks_exact(64).step_by(60));
        parts.any(|part| memchr::memmem::find(&bytes, part).is_some())
    })
}

/// Opens what a kill left; asserts that the kept calls are whole and a repeated purge completes.
fn assert_recovers(image: &MemoryDisk, scope: PurgeScope, is_purged: bool, sealed: &[Vec<u8>]) {
    if is_purged {
        assert!(!has_any(image, sealed), "an acknowledged purge left bytes");
    }
    let captures = open(image);
    for id in PURGED {
        let stored = read(&captures, id);
        assert!(!is_purged || stored.is_none(), "call {id} came back");
        if let Some(stored) = stored {
            assert_eq!(stored.call.request, text(id));
        }
    }
    if scope != PurgeScope::All {
        for id in KEPT {
            let stored = read(&captures, id).expect("a call of another key is kept");
            assert_eq!(stored.call.request, text(id));
        }
    }
    captures.purge(scope).expect("a repeated purge completes");
    assert!(!has_any(image, sealed), "a repeated purge left bytes");
    captures.close();
}

#[test]
fn purge_cut_off_at_any_change_keeps_the_other_calls_and_completes_later() {
    let base = filled();
    let sealed = sealed(&base);
    assert!(sealed.len() > 3 && has_any(&base, &sealed));
    for scope in [
        PurgeScope::Key(KeyId(11)),
        PurgeScope::Team(TeamId(1)),
        PurgeScope::All,
    ] {
        let mut at = 1;
        loop {
            let disk = base.after_kill();
            let captures = open(&disk);
            // the start has ended once a read is answered
            let _ = captures.read(RequestId(0));
            disk.die_at(at);
            let before = disk.changes();
            let is_purged = captures.purge(scope).is_ok();
            let is_over = disk.changes() - before < at;
            captures.close();
            for image in [disk.after_kill(), disk.after_power_cut()] {
                assert_recovers(&image, scope, is_purged, &sealed);
            }
            if is_over {
                assert!(is_purged && at > 2, "{scope:?} ended after {at} changes");
                break;
            }
            at += 1;
        }
    }
}

#[test]
fn unfinished_rewrite_is_removed_at_the_start() {
    let base = filled();
    let sealed = sealed(&base);
    let disk = base.after_kill();
    disk.rename(FILE, "capture.redb.new").expect("renamed");
    let captures = open(&disk);
    assert_eq!(read(&captures, KEPT[0]), None);
    captures.close();
    assert!(!has_any(&disk, &sealed));
}
