//! The captures on a real folder: sealed, bounded, deleted without a trace, and disposable.

mod purge_kills;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};

use crate::domain::capture::KeepDays;
use crate::domain::clock::ManualClock;
use crate::domain::id::{KeyId, OrganizationId, RequestId, TeamId};
use crate::domain::secret::Secret;
use crate::domain::time::Time;
use crate::store::captures::file::{PIECES, open_file};
use crate::store::captures::{
    CaptureBounds, CaptureOrigin, Captures, FILE, PurgeScope, StoredCapture,
};
use crate::store::disk::FolderDisk;
use crate::store::seal::SealKey;

const DAY_MS: u64 = 86_400_000;
const MIB: usize = 1 << 20;
const BOUNDS: CaptureBounds = CaptureBounds {
    file_bytes_max: 64 * MIB as u64,
    queue_bytes_max: 16 * MIB,
    media_bytes_max: 64 * 1024,
    disk_free_mb_min: 0,
};

struct Fixture {
    folder: tempfile::TempDir,
    disk: Arc<FolderDisk>,
    clock: ManualClock,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Arc::new(FolderDisk::lock(folder.path()).expect("the folder is free"));
        Fixture {
            folder,
            disk,
            clock: ManualClock::at_ms(30 * DAY_MS),
        }
    }

    fn open(&self, bounds: CaptureBounds) -> Captures {
        let key = SealKey::of_secret(&Secret::new("k".repeat(32)));
        let time = Arc::new(Time::new(Arc::new(self.clock.clone())));
        Captures::open(self.disk.clone(), time, &key, bounds)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.file()).unwrap_or_default()
    }

    /// Sealed pieces of a call as they lie in the file, read from a copy.
    fn sealed(&self, id: u128) -> Vec<Vec<u8>> {
        let folder = tempfile::tempdir().expect("a folder");
        fs::copy(self.file(), folder.path().join(FILE)).expect("a copy");
        let disk = FolderDisk::lock(folder.path()).expect("the folder is free");
        let copy = open_file(&disk, FILE).expect("the copy opens");
        let read = copy.database.begin_read().expect("a transaction");
        let pieces = read.open_table(PIECES).expect("the table");
        let rows = pieces.iter().expect("rows").map(|row| row.expect("a row"));
        rows.filter(|(key, _)| key.value().0 == id)
            .map(|(_, sealed)| sealed.value().to_vec())
            .collect()
    }

    fn has_any(&self, sealed: &[Vec<u8>]) -> bool {
        let bytes = self.bytes();
        // any 16 bytes in a row would be a part of the call
        sealed
            .iter()
            .flat_map(|piece| piece.chunks_exact(16))
            .any(|part| memchr::memmem::find(&bytes, part).is_some())
    }
}

fn capture(captures: &Captures, id: u128, key: u64, text: &[u8]) {
    let origin = CaptureOrigin {
        request: RequestId(id),
        organization: OrganizationId(1),
        team: TeamId(key / 10),
        key: KeyId(key),
        keep: KeepDays::new(7).expect("in range"),
    };
    let mut draft = captures.draft(origin, text);
    draft.answer(200, true);
    draft.push(b"answer to ");
    draft.push(text);
    draft.finish();
}

fn read(captures: &Captures, id: u128) -> Option<StoredCapture> {
    captures.read(RequestId(id)).expect("the writer answers")
}

#[test]
fn capture_is_read_back_and_sealed_also_after_a_restart() {
    let fixture = Fixture::new();
    let captures = fixture.open(BOUNDS);
    assert!(!fixture.file().exists(), "no file before the first capture");
    let text = "a secret prompt ".repeat(5_000);
    capture(&captures, 1, 11, text.as_bytes());
    for restarted in [false, true] {
        let captures = match restarted {
            true => {
                captures.close();
                &fixture.open(BOUNDS)
            }
            false => &captures,
        };
        let stored = read(captures, 1).expect("stored");
        assert_eq!((stored.key, stored.expires_ms), (KeyId(11), 37 * DAY_MS));
        assert!(stored.call.is_complete && stored.call.is_stream);
        assert_eq!(stored.call.request, text.as_bytes());
        assert_eq!(stored.call.response, format!("answer to {text}").as_bytes());
        assert_eq!(read(captures, 2), None);
        assert_eq!(captures.stats().entries, 1);
        captures.close();
    }
    assert!(memchr::memmem::find(&fixture.bytes(), b"secret prompt").is_none());
}

#[test]
fn purge_leaves_no_sealed_byte_of_the_calls_and_keeps_the_others() {
    let fixture = Fixture::new();
    let captures = fixture.open(BOUNDS);
    for id in 1..=40 {
        capture(&captures, id, 10 + id as u64, &[id as u8; 3_000]);
        capture(&captures, 100 + id, 90, &[id as u8; 90_000]);
    }
    assert!(read(&captures, 40).is_some());
    for (scope, gone, kept) in [
        (PurgeScope::Request(RequestId(3)), 3, 4),
        (PurgeScope::Key(KeyId(15)), 5, 6),
        (PurgeScope::Team(TeamId(9)), 110, 7),
        (PurgeScope::All, 7, 0),
    ] {
        let sealed = fixture.sealed(gone);
        assert!(!sealed.is_empty() && fixture.has_any(&sealed), "{scope:?}");
        let purged = captures.purge(scope).expect("purged");
        assert!(purged > 0, "{scope:?}");
        assert!(!fixture.has_any(&sealed), "{scope:?}");
        assert_eq!(read(&captures, gone), None, "{scope:?}");
        assert_eq!(read(&captures, kept).is_some(), kept > 0, "{scope:?}");
    }
    assert!(!fixture.file().exists());
    assert_eq!(captures.stats().entries, 0);
    captures.close();
}

#[test]
fn expired_call_is_unreadable_at_once_and_its_bytes_go_within_the_hour() {
    let fixture = Fixture::new();
    let captures = fixture.open(BOUNDS);
    capture(&captures, 1, 11, &[7; 3_000]);
    fixture.clock.advance_ms(DAY_MS);
    capture(&captures, 2, 11, &[8; 3_000]);
    assert!(read(&captures, 1).is_some());
    let sealed = fixture.sealed(1);
    fixture.clock.advance_ms(6 * DAY_MS);
    assert_eq!(read(&captures, 1), None);
    assert!(read(&captures, 2).is_some());
    fixture.clock.advance_ms(3_600_000);
    assert!(read(&captures, 2).is_some());
    assert!(!fixture.has_any(&sealed));
    assert_eq!(captures.stats().entries, 1);
    captures.close();
}

#[test]
fn capture_beyond_the_queue_is_dropped_and_counted() {
    let fixture = Fixture::new();
    let captures = fixture.open(CaptureBounds {
        queue_bytes_max: 10_000,
        ..BOUNDS
    });
    capture(&captures, 1, 11, &[1; 10_001]);
    // the request fits, the answer does not
    capture(&captures, 2, 11, &[2; 6_000]);
    capture(&captures, 3, 11, &[3; 1_000]);
    assert!(read(&captures, 3).is_some());
    assert_eq!((read(&captures, 1), read(&captures, 2)), (None, None));
    let stats = captures.stats();
    assert_eq!((stats.dropped_queue_full, stats.queue_bytes), (2, 0));
    captures.close();
}

#[test]
fn capture_on_a_full_disk_is_dropped_and_counted() {
    let fixture = Fixture::new();
    let captures = fixture.open(CaptureBounds {
        disk_free_mb_min: u64::MAX,
        ..BOUNDS
    });
    capture(&captures, 1, 11, b"x");
    assert_eq!(read(&captures, 1), None);
    let stats = captures.stats();
    assert_eq!((stats.stored, stats.dropped_disk), (0, 1));
    assert!(!fixture.file().exists());
    captures.close();
}

#[test]
fn file_stays_within_its_size_and_the_oldest_calls_go() {
    let fixture = Fixture::new();
    let bounds = CaptureBounds {
        file_bytes_max: 8 * MIB as u64,
        ..BOUNDS
    };
    let captures = fixture.open(bounds);
    for id in 1..=60 {
        capture(&captures, id, 11, &[id as u8; 100_000]);
        assert!(read(&captures, id).is_some());
        let size = fs::metadata(fixture.file()).expect("the file").len();
        assert!(size <= bounds.file_bytes_max, "{size} bytes after {id}");
    }
    assert_eq!(read(&captures, 1), None);
    let stats = captures.stats();
    assert!(stats.entries < 20 && stats.stored == 60, "{stats:?}");
    captures.close();
}

#[test]
fn damaged_file_is_discarded_and_counted() {
    for (name, damage) in [
        (
            "other bytes",
            &(|bytes: &mut Vec<u8>| bytes.fill(0x5a)) as &dyn Fn(&mut Vec<u8>),
        ),
        ("cut", &|bytes| bytes.truncate(5_000)),
        ("zeros", &|bytes| bytes[4_096..].fill(0)),
        ("empty", &|bytes| bytes.clear()),
    ] {
        let fixture = Fixture::new();
        let captures = fixture.open(BOUNDS);
        capture(&captures, 1, 11, &[1; 30_000]);
        captures.close();
        let mut bytes = fixture.bytes();
        damage(&mut bytes);
        fs::write(fixture.file(), bytes).expect("written");
        let captures = fixture.open(BOUNDS);
        assert_eq!(read(&captures, 1), None, "{name}");
        let discarded = captures.stats().files_discarded;
        assert_eq!(discarded, u64::from(name != "empty"), "{name}");
        capture(&captures, 2, 11, b"x");
        assert!(read(&captures, 2).is_some(), "{name}");
        captures.close();
    }
}

#[test]
fn call_that_the_client_leaves_is_captured_as_far_as_it_came() {
    let fixture = Fixture::new();
    let captures = fixture.open(BOUNDS);
    let origin = CaptureOrigin {
        request: RequestId(1),
        organization: OrganizationId(1),
        team: TeamId(1),
        key: KeyId(1),
        keep: KeepDays::DEFAULT,
    };
    let mut draft = captures.draft(origin, b"question");
    draft.answer(200, true);
    draft.push(b"half");
    drop(draft);
    // without an answer there is no record to which it belongs
    drop(captures.draft(
        CaptureOrigin {
            request: RequestId(2),
            ..origin
        },
        b"question",
    ));
    let stored = read(&captures, 1).expect("stored");
    assert!(!stored.call.is_complete);
    assert_eq!(stored.call.response, b"half");
    assert_eq!(read(&captures, 2), None);
    captures.close();
}
