//! Part of the cache in one request: whether it looks up and keeps the answer, under which fingerprint, and the note for the record.

use std::sync::Arc;

use crate::domain::cache::{CacheNote, CacheOutcome};
use crate::gateway::caching::recorder::{CacheAttempt, CacheRecorder, CacheUse};

#[derive(Clone)]
pub(in crate::gateway) struct CachePlan {
    pub note: CacheNote,
    /// `None`: the cache takes no part
    pub plan: Option<Arc<CacheUse>>,
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
