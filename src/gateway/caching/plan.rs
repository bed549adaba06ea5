//! Part of the cache in one request: whether it looks up and keeps the answer, under which fingerprint, and the note for the record.

use std::sync::Arc;

use crate::cache::ResponseCache;
use crate::domain::cache::{CacheEntryId, CacheNote, CacheOutcome};
use crate::domain::id::KeyId;
use crate::gateway::caching::recorder::{CacheAttempt, CacheRecorder};
use crate::store::answer_cache::EntryTags;

pub(in crate::gateway) struct CachePlan {
    pub note: CacheNote,
    /// `None`: the cache takes no part
    pub plan: Option<Arc<CacheUse>>,
}

/// Use of the cache by one request.
pub(in crate::gateway) struct CacheUse {
    pub cache: Arc<ResponseCache>,
    pub id: CacheEntryId,
    pub tags: EntryTags,
    pub key: KeyId,
    pub ttl_ms: u64,
    pub looks_up: bool,
    pub stores: bool,
    /// provider and model of every deployment that the caller may get
    pub targets: Vec<(String, String)>,
}

impl CachePlan {
    pub fn bypass(reason: &str) -> CachePlan {
        CachePlan {
            note: CacheNote {
                reason: reason.to_owned(),
                ..CacheNote::of(CacheOutcome::Bypass)
            },
            plan: None,
        }
    }

    /// The part of one attempt: the note, and the recorder of an answer that is to be kept.
    pub fn attempt(&self) -> Box<CacheAttempt> {
        let plan = self.plan.as_ref().filter(|plan| plan.stores);
        Box::new(CacheAttempt {
            note: self.note.clone(),
            recorder: plan.map(|plan| CacheRecorder::new(plan.clone())),
        })
    }
}
