//! Files whose loss is harmless: the reasoning memory and the cache of answers. A file whose feature is off is removed.

use std::sync::Arc;

use crate::cache::ResponseCache;
use crate::config::Config;
use crate::domain::time::Time;
use crate::store::answer_cache::AnswerCache;
use crate::store::disk::Disk;
use crate::store::reasoning_memory::{Bounds, ReasoningMemory};
use crate::store::seal::SealKey;

#[derive(Clone)]
pub(super) struct DisposableFiles {
    pub memory: Option<Arc<ReasoningMemory>>,
    pub cache: Option<Arc<ResponseCache>>,
}

impl DisposableFiles {
    pub fn open(
        config: &Config,
        disk: &Arc<dyn Disk>,
        time: &Arc<Time>,
        key: &SealKey,
    ) -> DisposableFiles {
        DisposableFiles {
            memory: reasoning_memory(config, disk, time, key),
            cache: cache(config, disk, time, key),
        }
    }

    pub fn close(&self) {
        self.memory.iter().for_each(|memory| memory.close());
        self.cache.iter().for_each(|cache| cache.close());
    }
}

fn reasoning_memory(
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

fn cache(
    config: &Config,
    disk: &Arc<dyn Disk>,
    time: &Arc<Time>,
    key: &SealKey,
) -> Option<Arc<ResponseCache>> {
    if !config.has_cache() {
        AnswerCache::remove_file(&**disk);
        return None;
    }
    let (disk, time) = (disk.clone(), time.clone());
    let cache = ResponseCache::open(disk, time, key, config.cache.bytes_max);
    Some(Arc::new(cache))
}
