//! The reasoning memory on a real folder: entries belong to one team, old and surplus ones are deleted, a damaged file is discarded.

use std::path::Path;
use std::sync::Arc;

use crate::domain::clock::ManualClock;
use crate::domain::id::TeamId;
use crate::domain::secret::Secret;
use crate::domain::time::Time;
use crate::store::disk::FolderDisk;
use crate::store::error::StoreError;
use crate::store::reasoning_memory::memory::ENTRY_BYTES_MAX;
use crate::store::reasoning_memory::pending::BYTES_MAX;
use crate::store::reasoning_memory::{Bounds, FILE, ReasoningMemory};
use crate::store::seal::SealKey;

const DAY_MS: u64 = 86_400_000;
const BOUNDS: Bounds = Bounds {
    entries_max: 100,
    bytes_max: 1 << 20,
    keep_ms: 7 * DAY_MS,
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

    fn open(&self, bounds: Bounds) -> ReasoningMemory {
        ReasoningMemory::open(
            self.disk.clone(),
            Arc::new(Time::new(Arc::new(self.clock.clone()))),
            &key("k"),
            bounds,
        )
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join(FILE)
    }
}

fn key(letter: &str) -> SealKey {
    SealKey::of_secret(&Secret::new(letter.repeat(32)))
}

fn store(memory: &ReasoningMemory, team: u64, call: &str, reasoning: &str) {
    memory.store(TeamId(team), call, reasoning.as_bytes().to_vec());
}

fn find(memory: &ReasoningMemory, team: u64, call: &str) -> Option<String> {
    memory
        .find(TeamId(team), call)
        .map(|plain| String::from_utf8(plain).expect("UTF-8"))
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the file")
}

#[test]
fn memory_entry_is_found_by_its_team_only_also_after_restart() {
    let fixture = Fixture::new();
    let memory = fixture.open(BOUNDS);
    store(&memory, 1, "call_1", "a long reasoning");
    store(&memory, 2, "call_1", "of another team");
    for restarted in [false, true] {
        let memory = if restarted {
            memory.close();
            &fixture.open(BOUNDS)
        } else {
            &memory
        };
        assert_eq!(
            find(memory, 1, "call_1").as_deref(),
            Some("a long reasoning")
        );
        assert_eq!(
            find(memory, 2, "call_1").as_deref(),
            Some("of another team")
        );
        assert_eq!(
            (find(memory, 3, "call_1"), find(memory, 1, "call_2")),
            (None, None)
        );
        if restarted {
            memory.close();
        }
    }
    let stored = bytes(&fixture.file());
    for clear in [&b"a long reasoning"[..], b"call_1"] {
        assert!(
            !stored.windows(clear.len()).any(|window| window == clear),
            "no clear text in the file"
        );
    }
    let stranger = ReasoningMemory::open(
        fixture.disk.clone(),
        Arc::new(Time::new(Arc::new(fixture.clock.clone()))),
        &key("x"),
        BOUNDS,
    );
    assert_eq!(find(&stranger, 1, "call_1"), None);
    stranger.close();
}

#[test]
fn memory_later_entry_of_a_call_replaces_the_earlier() {
    let fixture = Fixture::new();
    let memory = fixture.open(BOUNDS);
    store(&memory, 1, "call_1", "first");
    memory.close();
    let memory = fixture.open(BOUNDS);
    store(&memory, 1, "call_1", "second");
    assert_eq!(find(&memory, 1, "call_1").as_deref(), Some("second"));
    memory.close();
    let memory = fixture.open(BOUNDS);
    assert_eq!(find(&memory, 1, "call_1").as_deref(), Some("second"));
    assert_eq!(memory.purge().expect("purged"), 1);
    memory.close();
}

#[test]
fn memory_expired_entry_is_deleted() {
    let fixture = Fixture::new();
    let memory = fixture.open(BOUNDS);
    store(&memory, 1, "call_1", "old");
    fixture.clock.advance_ms(7 * DAY_MS);
    store(&memory, 1, "call_2", "new");
    assert_eq!(find(&memory, 1, "call_1").as_deref(), Some("old"));
    fixture.clock.advance_ms(1);
    assert_eq!(find(&memory, 1, "call_1"), None);
    store(&memory, 1, "call_3", "newer");
    memory.close();
    let memory = fixture.open(BOUNDS);
    assert_eq!(
        (
            find(&memory, 1, "call_1"),
            find(&memory, 1, "call_2").as_deref()
        ),
        (None, Some("new"))
    );
    assert_eq!(
        memory.purge().expect("purged"),
        2,
        "the expired entry is not in the file"
    );
    memory.close();
}

#[test]
fn memory_over_its_bounds_deletes_the_oldest_entries() {
    // time, nonce, nine letters, authentication tag
    const ENTRY: u64 = 8 + 24 + 9 + 16;
    for bounds in [
        Bounds {
            entries_max: 3,
            ..BOUNDS
        },
        Bounds {
            bytes_max: 3 * ENTRY,
            ..BOUNDS
        },
    ] {
        let fixture = Fixture::new();
        let memory = fixture.open(bounds);
        for number in 0..10 {
            fixture.clock.advance_ms(1);
            store(&memory, 1, &format!("call_{number}"), "reasoning");
        }
        memory.close();
        let memory = fixture.open(bounds);
        let left: Vec<u32> = (0..10)
            .filter(|number| find(&memory, 1, &format!("call_{number}")).is_some())
            .collect();
        assert_eq!(left, [7, 8, 9]);
        memory.close();
    }
}

#[test]
fn memory_large_entry_is_dropped_and_pending_bytes_are_bounded() {
    let fixture = Fixture::new();
    let memory = fixture.open(BOUNDS);
    memory.store(TeamId(1), "large", vec![0; ENTRY_BYTES_MAX + 1]);
    assert_eq!(memory.find(TeamId(1), "large"), None);
    for number in 0..1_000 {
        memory.store(
            TeamId(1),
            &format!("call_{number}"),
            vec![0; ENTRY_BYTES_MAX],
        );
        assert!(memory.shared.pending().bytes <= BYTES_MAX);
    }
    memory.close();
    assert_eq!(memory.shared.pending().order.len(), 0);
}

#[test]
fn memory_purge_deletes_every_entry_from_the_file() {
    let fixture = Fixture::new();
    let memory = fixture.open(BOUNDS);
    for number in 0..50 {
        store(
            &memory,
            1,
            &format!("call_{number}"),
            &"reasoning ".repeat(1_000),
        );
    }
    memory.close();
    let size = bytes(&fixture.file()).len();
    let memory = fixture.open(BOUNDS);
    store(&memory, 1, "waiting", "reasoning");
    assert!(memory.purge().expect("purged") >= 50);
    assert_eq!(
        (find(&memory, 1, "call_1"), find(&memory, 1, "waiting")),
        (None, None)
    );
    store(&memory, 1, "call_1", "again");
    memory.close();
    assert!(bytes(&fixture.file()).len() < size / 2);
    let memory = fixture.open(BOUNDS);
    assert_eq!(find(&memory, 1, "call_1").as_deref(), Some("again"));
    memory.close();
    assert!(matches!(memory.purge(), Err(StoreError::Closed)));
}

#[test]
fn memory_damaged_file_is_replaced_and_disabled_memory_leaves_no_file() {
    for damage in [&b"not a database at all"[..], b""] {
        let fixture = Fixture::new();
        std::fs::write(fixture.file(), damage).expect("written");
        let memory = fixture.open(BOUNDS);
        store(&memory, 1, "call_1", "reasoning");
        memory.close();
        let memory = fixture.open(BOUNDS);
        assert_eq!(find(&memory, 1, "call_1").as_deref(), Some("reasoning"));
        memory.close();
        ReasoningMemory::remove_file(&*fixture.disk);
        assert!(!fixture.file().exists());
    }
}

/// However the file is cut or changed: no wrong entry is ever find, and the next start stores again.
#[test]
fn memory_file_damaged_at_any_offset_starts_and_stores_again() {
    let fixture = Fixture::new();
    let memory = fixture.open(BOUNDS);
    for number in 0..20 {
        store(
            &memory,
            1,
            &format!("call_{number}"),
            &format!("reasoning {number}"),
        );
    }
    memory.close();
    let whole = bytes(&fixture.file());
    let step = whole.len() / 24 + 1;
    for at in (0..whole.len()).step_by(step) {
        for cut in [true, false] {
            let mut damaged = whole.clone();
            if cut {
                damaged.truncate(at);
            } else {
                damaged[at] ^= 0xff;
            }
            std::fs::write(fixture.file(), damaged).expect("written");
            let memory = fixture.open(BOUNDS);
            for number in 0..20 {
                let reasoning = find(&memory, 1, &format!("call_{number}"));
                assert!(
                    reasoning.is_none_or(|reasoning| reasoning == format!("reasoning {number}"))
                );
            }
            store(&memory, 1, "new", "new");
            assert_eq!(find(&memory, 1, "new").as_deref(), Some("new"));
            memory.close();
        }
    }
}
