//! Files with content of calls: each is opened where the configuration allows it, else removed.

use std::sync::Arc;

use crate::cache::{CacheCell, ResponseCache};
use crate::config::Config;
use crate::domain::cache::CacheMode;
use crate::domain::time::Time;
use crate::route::RouteTable;
use crate::store::answer_cache::AnswerCache;
use crate::store::captures::{CaptureBounds, Captures};
use crate::store::disk::Disk;
use crate::store::reasoning_memory::{Bounds, ReasoningMemory};
use crate::store::seal::SealKey;

/// Stores of content; `None` where the configuration turns one off.
#[derive(Clone)]
pub(super) struct ContentStores {
    pub memory: Option<Arc<ReasoningMemory>>,
    pub captures: Option<Arc<Captures>>,
    pub cache: CacheCell,
}

impl ContentStores {
    pub fn open(
        (config, routes): (&Config, &RouteTable),
        disk: &Arc<dyn Disk>,
        time: &Arc<Time>,
        key: &SealKey,
    ) -> ContentStores {
        ContentStores {
            memory: open_memory(config, disk, time, key),
            captures: open_captures(config, disk, time, key),
            cache: open_cache((config, routes), disk, time, key),
        }
    }

    /// Writes what is pending and closes the files.
    pub fn close(&self) {
        self.memory.iter().for_each(|memory| memory.close());
        self.captures.iter().for_each(|captures| captures.close());
        self.cache.close();
    }
}

fn open_memory(
    config: &Config,
    disk: &Arc<dyn Disk>,
    time: &Arc<Time>,
    key: &SealKey,
) -> Option<Arc<ReasoningMemory>> {
    let settings = config.reasoning_memory;
    if !settings.enabled {
        ReasoningMemory::remove_file(&**disk);
        return None;
    }
    let bounds = Bounds {
        keep_ms: settings.keep_ms,
        entries_max: settings.entries_max,
        bytes_max: settings.bytes_max,
    };
    let memory = ReasoningMemory::open(disk.clone(), time.clone(), key, bounds);
    Some(Arc::new(memory))
}

fn open_captures(
    config: &Config,
    disk: &Arc<dyn Disk>,
    time: &Arc<Time>,
    key: &SealKey,
) -> Option<Arc<Captures>> {
    let settings = config.capture;
    if !settings.enabled {
        Captures::remove_file(&**disk);
        return None;
    }
    let bounds = CaptureBounds {
        file_bytes_max: settings.file_bytes_max,
        queue_bytes_max: settings.queue_bytes_max,
        media_bytes_max: settings.media_bytes_max,
        // captures stop long before the books do
        disk_free_mb_min: config.ledger.disk_reserve_mb * 2,
    };
    let captures = Captures::open(disk.clone(), time.clone(), key, bounds);
    Some(Arc::new(captures))
}

/// Opens the cache if a name has one; routes of the API and of a later configuration open it when they are first used.
fn open_cache(
    (config, routes): (&Config, &RouteTable),
    disk: &Arc<dyn Disk>,
    time: &Arc<Time>,
    key: &SealKey,
) -> CacheCell {
    let (opened, time, key) = (disk.clone(), time.clone(), key.clone());
    let bytes_max = config.cache.bytes_max;
    let cell =
        CacheCell::new(move || ResponseCache::open(opened.clone(), time.clone(), &key, bytes_max));
    if has_cache(config, routes) {
        cell.open();
    } else {
        AnswerCache::remove_file(&**disk);
    }
    cell
}

/// True if any name has a cache.
fn has_cache(config: &Config, routes: &RouteTable) -> bool {
    let of_routes = routes.all_routes().map(|route| &route.config.cache);
    let mut policies = of_routes.chain([&config.cache.policy]);
    policies.any(|policy| policy.mode != CacheMode::Off)
}
