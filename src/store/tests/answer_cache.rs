//! The answer cache on a real folder: entries expire, the next to expire are evicted, purges delete what they select, a damaged file is
//! discarded, and the file stays within its bound under a long churn.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::domain::cache::CacheEntryId;
use crate::domain::clock::ManualClock;
use crate::domain::secret::Secret;
use crate::domain::time::Time;
use crate::store::answer_cache::{
    AnswerCache, CacheBounds, EntryHead, EntryTags, FILE, NewEntry, Selection,
};
use crate::store::disk::FolderDisk;
use crate::store::seal::SealKey;

const HOUR_MS: u64 = 3_600_000;
const MIB: u64 = 1 << 20;

struct Fixture {
    folder: tempfile::TempDir,
    disk: Arc<FolderDisk>,
    clock: ManualClock,
    deleted: Arc<Mutex<Vec<CacheEntryId>>>,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Arc::new(FolderDisk::lock(folder.path()).expect("the folder is free"));
        Fixture {
            folder,
            disk,
            clock: ManualClock::at_ms(1_000 * HOUR_MS),
            deleted: Arc::default(),
        }
    }

    fn open(&self, bytes_max: u64) -> AnswerCache {
        let deleted = self.deleted.clone();
        AnswerCache::open(
            self.disk.clone(),
            Arc::new(Time::new(Arc::new(self.clock.clone()))),
            &SealKey::of_secret(&Secret::new("k".repeat(32))),
            CacheBounds { bytes_max },
            move |ids| deleted.lock().expect("unpoisoned").extend_from_slice(ids),
        )
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    fn entry(&self, number: u64, ttl_ms: u64, plain: &[u8]) -> NewEntry {
        let at_ms = self.now_ms();
        NewEntry {
            id: id(number),
            head: EntryHead {
                at_ms,
                expires_ms: at_ms + ttl_ms,
                tags: EntryTags {
                    organization: 1,
                    team: 10 + number % 2,
                    key: 100 + number % 3,
                    model: 7,
                    namespace: 0,
                },
            },
            plain: plain.into(),
        }
    }

    fn now_ms(&self) -> u64 {
        Time::new(Arc::new(self.clock.clone())).now_ms()
    }
}

fn id(number: u64) -> CacheEntryId {
    CacheEntryId(u128::from(number).to_be_bytes())
}

fn found(cache: &AnswerCache, number: u64) -> Option<Vec<u8>> {
    cache.find(id(number)).map(|entry| entry.plain.to_vec())
}

/// Waits until the pending entries are in the file: a purge of nothing runs after them at the latest with the next round.
fn flush(cache: &AnswerCache) {
    while cache.has_pending() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn entry_is_found_pending_and_stored_and_after_a_restart_until_it_expires() {
    let fixture = Fixture::new();
    let cache = fixture.open(64 * MIB);
    cache.store(fixture.entry(1, HOUR_MS, b"first"));
    assert_eq!(found(&cache, 1).as_deref(), Some(&b"first"[..]));
    cache.close();
    let file = std::fs::read(fixture.file()).expect("the file");
    assert!(!file.windows(5).any(|window| window == b"first"), "sealed");
    let cache = fixture.open(64 * MIB);
    assert_eq!(found(&cache, 1).as_deref(), Some(&b"first"[..]));
    assert_eq!(cache.size().entries, 1);
    fixture.clock.advance_ms(HOUR_MS);
    assert_eq!(found(&cache, 1), None, "expired");
    cache.store(fixture.entry(2, HOUR_MS, b"second"));
    flush(&cache);
    assert_eq!(*fixture.deleted.lock().expect("unpoisoned"), [id(1)]);
    cache.close();
}

#[test]
fn entry_of_another_seal_key_is_not_found() {
    let fixture = Fixture::new();
    let cache = fixture.open(64 * MIB);
    cache.store(fixture.entry(1, HOUR_MS, b"first"));
    cache.close();
    let other = AnswerCache::open(
        fixture.disk.clone(),
        Arc::new(Time::new(Arc::new(fixture.clock.clone()))),
        &SealKey::of_secret(&Secret::new("x".repeat(32))),
        CacheBounds { bytes_max: MIB },
        |_| {},
    );
    assert_eq!(found(&other, 1), None);
    other.close();
}

#[test]
fn purge_deletes_what_it_selects() {
    let fixture = Fixture::new();
    let cache = fixture.open(64 * MIB);
    let fill = || {
        for number in 0..12 {
            cache.store(fixture.entry(number, HOUR_MS, b"x"));
        }
        flush(&cache);
    };
    fill();
    for (selection, count) in [
        (Selection::Entry(id(3)), 1),
        (Selection::Entry(id(99)), 0),
        (Selection::Team(10), 6),
        (Selection::Key(100), 4),
        (Selection::Model(7, None), 12),
        (Selection::Model(7, Some(11)), 6),
        (Selection::Model(8, None), 0),
        (Selection::Organization(1), 12),
        (Selection::All, 12),
    ] {
        let deleted = cache.purge(selection).expect("purged");
        assert_eq!(deleted, count, "{selection:?}");
        assert_eq!(cache.size().entries, 12 - count);
        fill();
    }
    cache.store(fixture.entry(50, HOUR_MS, b"pending"));
    assert_eq!(cache.purge(Selection::Entry(id(50))).expect("purged"), 1);
    assert_eq!(found(&cache, 50), None);
    cache.close();
}

#[test]
fn damaged_file_is_dropped_and_rebuilt() {
    let fixture = Fixture::new();
    let cache = fixture.open(64 * MIB);
    cache.store(fixture.entry(1, HOUR_MS, b"first"));
    cache.close();
    let size = std::fs::metadata(fixture.file()).expect("the file").len() as usize;
    for damage in [vec![0; size], b"not a database".to_vec(), Vec::new()] {
        std::fs::write(fixture.file(), &damage).expect("written");
        let cache = fixture.open(64 * MIB);
        assert_eq!(found(&cache, 1), None);
        cache.store(fixture.entry(2, HOUR_MS, b"second"));
        flush(&cache);
        assert_eq!(found(&cache, 2).as_deref(), Some(&b"second"[..]));
        cache.close();
    }
    // pages damaged while the file is open
    let cache = fixture.open(64 * MIB);
    let mut bytes = std::fs::read(fixture.file()).expect("the file");
    bytes[4_096..].fill(0xa5);
    std::fs::write(fixture.file(), &bytes).expect("written");
    cache.store(fixture.entry(3, HOUR_MS, b"third"));
    flush(&cache);
    cache.store(fixture.entry(4, HOUR_MS, b"fourth"));
    flush(&cache);
    cache.close();
    let cache = fixture.open(64 * MIB);
    cache.store(fixture.entry(5, HOUR_MS, b"fifth"));
    assert_eq!(found(&cache, 5).as_deref(), Some(&b"fifth"[..]));
    cache.close();
}

fn next_seed(seed: &mut u64) -> u64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[test]
fn entries_that_expire_first_are_evicted_first() {
    let fixture = Fixture::new();
    let cache = fixture.open(8 * MIB);
    let (mut seed, mut expiries) = (7, HashMap::new());
    for number in 0..300 {
        let ttl_ms = HOUR_MS + next_seed(&mut seed) % HOUR_MS;
        let entry = fixture.entry(number, ttl_ms, &[1; 30_000]);
        expiries.insert(entry.id, entry.head.expires_ms);
        cache.store(entry);
    }
    flush(&cache);
    let is_kept = |id: &CacheEntryId| cache.find(*id).is_some();
    let (kept, evicted): (Vec<_>, Vec<_>) = expiries.iter().partition(|(id, _)| is_kept(id));
    let earliest = kept.iter().map(|(_, expires_ms)| **expires_ms).min();
    let latest = evicted.iter().map(|(_, expires_ms)| **expires_ms).max();
    assert!(latest.expect("some") <= earliest.expect("some"));
    // 4 MiB of entries, each of 32 KiB
    assert_eq!(kept.len(), 128);
    cache.close();
}

/// Answers of all sizes for `GK_CACHE_CHURN` hours: 168, a week, in the full count.
#[test]
fn file_stays_within_its_bound_under_churn() {
    let hours = std::env::var("GK_CACHE_CHURN").ok();
    let hours: u64 = hours.map_or(4, |hours| hours.parse().expect("a number"));
    let fixture = Fixture::new();
    let bytes_max = 16 * MIB;
    let cache = fixture.open(bytes_max);
    let (mut number, mut largest, mut seed) = (0, 0, 7);
    for _ in 0..hours {
        for _ in 0..300 {
            let bytes = 200 + next_seed(&mut seed) % 60_000;
            let ttl_ms = HOUR_MS + next_seed(&mut seed) % (20 * HOUR_MS);
            cache.store(fixture.entry(number, ttl_ms, &vec![7; bytes as usize]));
            number += 1;
            if number % 150 == 0 {
                flush(&cache);
                let file = std::fs::metadata(fixture.file()).expect("the file");
                largest = largest.max(file.len());
            }
        }
        fixture.clock.advance_ms(HOUR_MS);
    }
    let size = cache.size();
    println!(
        "FIGURE cache churn of {hours} h: {number} answers, {} kept, file {largest} of {bytes_max} bytes",
        size.entries
    );
    assert!(largest <= bytes_max, "{largest} bytes");
    assert!(size.entries > 50, "{size:?}");
    cache.close();
}
