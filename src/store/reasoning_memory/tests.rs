//! The memory on a real folder: found again by its own team only, gone when too old or too much, thrown away when damaged.

use std::path::Path;

use crate::domain::clock::ManualClock;
use crate::domain::secret::Secret;
use crate::domain::time::Time;
use crate::store::disk::FolderDisk;
use crate::store::reasoning_memory::*;

const DAY_MS: u64 = 86_400_000;
const BOUNDS: Bounds = Bounds {
    entries_max: 100,
    bytes_max: 1 << 20,
    keep_ms: 7 * DAY_MS,
};

struct Place {
    folder: tempfile::TempDir,
    disk: Arc<FolderDisk>,
    clock: ManualClock,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Arc::new(FolderDisk::lock(folder.path()).expect("the folder is free"));
        Place {
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

fn keep(memory: &ReasoningMemory, team: u64, call: &str, thought: &str) {
    memory.keep(TeamId(team), call, thought.as_bytes().to_vec());
}

fn found(memory: &ReasoningMemory, team: u64, call: &str) -> Option<String> {
    memory
        .find(TeamId(team), call)
        .map(|plain| String::from_utf8(plain).expect("UTF-8"))
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the file")
}

#[test]
fn a_thought_is_found_at_once_and_after_a_restart_by_its_own_team_only() {
    let place = Place::new();
    let memory = place.open(BOUNDS);
    keep(&memory, 1, "call_1", "a long thought");
    keep(&memory, 2, "call_1", "of another team");
    for restarted in [false, true] {
        let memory = if restarted {
            memory.close();
            &place.open(BOUNDS)
        } else {
            &memory
        };
        assert_eq!(
            found(memory, 1, "call_1").as_deref(),
            Some("a long thought")
        );
        assert_eq!(
            found(memory, 2, "call_1").as_deref(),
            Some("of another team")
        );
        assert_eq!(
            (found(memory, 3, "call_1"), found(memory, 1, "call_2")),
            (None, None)
        );
        if restarted {
            memory.close();
        }
    }
    let stored = bytes(&place.file());
    for clear in [&b"a long thought"[..], b"call_1"] {
        assert!(
            !stored.windows(clear.len()).any(|window| window == clear),
            "nothing lies in clear"
        );
    }
    let stranger = ReasoningMemory::open(
        place.disk.clone(),
        Arc::new(Time::new(Arc::new(place.clock.clone()))),
        &key("x"),
        BOUNDS,
    );
    assert_eq!(found(&stranger, 1, "call_1"), None);
    stranger.close();
}

#[test]
fn the_last_thought_of_a_call_counts() {
    let place = Place::new();
    let memory = place.open(BOUNDS);
    keep(&memory, 1, "call_1", "first");
    memory.close();
    let memory = place.open(BOUNDS);
    keep(&memory, 1, "call_1", "second");
    assert_eq!(found(&memory, 1, "call_1").as_deref(), Some("second"));
    memory.close();
    let memory = place.open(BOUNDS);
    assert_eq!(found(&memory, 1, "call_1").as_deref(), Some("second"));
    assert_eq!(memory.purge().expect("purged"), 1);
    memory.close();
}

#[test]
fn what_is_too_old_is_gone() {
    let place = Place::new();
    let memory = place.open(BOUNDS);
    keep(&memory, 1, "call_1", "old");
    place.clock.advance_ms(7 * DAY_MS);
    keep(&memory, 1, "call_2", "new");
    assert_eq!(found(&memory, 1, "call_1").as_deref(), Some("old"));
    place.clock.advance_ms(1);
    assert_eq!(found(&memory, 1, "call_1"), None);
    keep(&memory, 1, "call_3", "newer");
    memory.close();
    let memory = place.open(BOUNDS);
    assert_eq!(
        (
            found(&memory, 1, "call_1"),
            found(&memory, 1, "call_2").as_deref()
        ),
        (None, Some("new"))
    );
    assert_eq!(
        memory.purge().expect("purged"),
        2,
        "the old one is not in the file either"
    );
    memory.close();
}

#[test]
fn over_its_bounds_the_oldest_go() {
    // instant, nonce, nine letters, code
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
        let place = Place::new();
        let memory = place.open(bounds);
        for number in 0..10 {
            place.clock.advance_ms(1);
            keep(&memory, 1, &format!("call_{number}"), "a thought");
        }
        memory.close();
        let memory = place.open(bounds);
        let kept: Vec<u32> = (0..10)
            .filter(|number| found(&memory, 1, &format!("call_{number}")).is_some())
            .collect();
        assert_eq!(kept, [7, 8, 9]);
        memory.close();
    }
}

#[test]
fn what_is_too_large_is_not_kept_and_nothing_waits_without_bound() {
    let place = Place::new();
    let memory = place.open(BOUNDS);
    memory.keep(TeamId(1), "large", vec![0; ENTRY_BYTES_MAX + 1]);
    assert_eq!(memory.find(TeamId(1), "large"), None);
    for number in 0..1_000 {
        memory.keep(
            TeamId(1),
            &format!("call_{number}"),
            vec![0; ENTRY_BYTES_MAX],
        );
        assert!(memory.shared.waiting().bytes <= WAITING_BYTES_MAX);
    }
    memory.close();
    assert_eq!(memory.shared.waiting().order.len(), 0);
}

#[test]
fn a_purge_empties_it_and_leaves_nothing_in_the_file() {
    let place = Place::new();
    let memory = place.open(BOUNDS);
    for number in 0..50 {
        keep(
            &memory,
            1,
            &format!("call_{number}"),
            &"thought ".repeat(1_000),
        );
    }
    memory.close();
    let size = bytes(&place.file()).len();
    let memory = place.open(BOUNDS);
    keep(&memory, 1, "waiting", "a thought");
    assert!(memory.purge().expect("purged") >= 50);
    assert_eq!(
        (found(&memory, 1, "call_1"), found(&memory, 1, "waiting")),
        (None, None)
    );
    keep(&memory, 1, "call_1", "again");
    memory.close();
    assert!(bytes(&place.file()).len() < size / 2);
    let memory = place.open(BOUNDS);
    assert_eq!(found(&memory, 1, "call_1").as_deref(), Some("again"));
    memory.close();
    assert!(matches!(memory.purge(), Err(StoreError::Closed)));
}

#[test]
fn a_damaged_file_is_thrown_away_and_a_memory_that_is_off_leaves_none() {
    for damage in [&b"not a database at all"[..], b""] {
        let place = Place::new();
        std::fs::write(place.file(), damage).expect("written");
        let memory = place.open(BOUNDS);
        keep(&memory, 1, "call_1", "a thought");
        memory.close();
        let memory = place.open(BOUNDS);
        assert_eq!(found(&memory, 1, "call_1").as_deref(), Some("a thought"));
        memory.close();
        ReasoningMemory::forget(&*place.disk);
        assert!(!place.file().exists());
    }
}

/// However a file is cut or changed: nothing that was not kept is ever found, and the next start keeps again.
#[test]
fn no_damage_of_the_file_breaks_a_start() {
    let place = Place::new();
    let memory = place.open(BOUNDS);
    for number in 0..20 {
        keep(
            &memory,
            1,
            &format!("call_{number}"),
            &format!("thought {number}"),
        );
    }
    memory.close();
    let whole = bytes(&place.file());
    let step = whole.len() / 24 + 1;
    for at in (0..whole.len()).step_by(step) {
        for cut in [true, false] {
            let mut damaged = whole.clone();
            if cut {
                damaged.truncate(at);
            } else {
                damaged[at] ^= 0xff;
            }
            std::fs::write(place.file(), damaged).expect("written");
            let memory = place.open(BOUNDS);
            for number in 0..20 {
                let thought = found(&memory, 1, &format!("call_{number}"));
                assert!(thought.is_none_or(|thought| thought == format!("thought {number}")));
            }
            keep(&memory, 1, "new", "new");
            assert_eq!(found(&memory, 1, "new").as_deref(), Some("new"));
            memory.close();
        }
    }
}
