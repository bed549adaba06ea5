//! `ResponseCache`: finds, keeps and purges answers. Encodes and decodes what the store keeps sealed.

use std::sync::Arc;

use crate::cache::answer::CachedAnswer;
use crate::cache::fingerprint::Fingerprints;
use crate::domain::cache::CacheEntryId;
use crate::domain::id::{KeyId, OrganizationId, TeamId};
use crate::domain::time::Time;
use crate::store::StoreError;
use crate::store::answer_cache::{
    AnswerCache, CacheBounds, CacheSize, EntryHead, EntryTags, NewEntry, Selection,
};
use crate::store::disk::Disk;
use crate::store::seal::SealKey;

/// A longer answer is not kept.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Answers of one instance.
pub struct ResponseCache {
    pub fingerprints: Fingerprints,
    answers: AnswerCache,
    bytes_max: u64,
    time: Arc<Time>,
}

/// An answer that was found.
#[derive(Clone, Debug)]
pub struct FoundAnswer {
    pub id: CacheEntryId,
    pub age_ms: u64,
    pub answer: CachedAnswer,
}

impl ResponseCache {
    pub fn open(
        disk: Arc<dyn Disk>,
        time: Arc<Time>,
        key: &SealKey,
        bytes_max: u64,
    ) -> ResponseCache {
        let bounds = CacheBounds { bytes_max };
        ResponseCache {
            fingerprints: Fingerprints::new(key),
            answers: AnswerCache::open(disk, time.clone(), key, bounds, |_| {}),
            bytes_max,
            time,
        }
    }

    /// Finds the answer with a fingerprint, if it is younger than `ttl_ms`.
    pub fn find(&self, id: CacheEntryId, ttl_ms: u64) -> Option<FoundAnswer> {
        let stored = self.answers.find(id)?;
        let age_ms = self.time.now_ms().saturating_sub(stored.head.at_ms);
        if age_ms >= ttl_ms {
            return None;
        }
        let answer = CachedAnswer::decode(&stored.plain)?;
        Some(FoundAnswer { id, age_ms, answer })
    }

    /// Keeps an answer for `ttl_ms`, without waiting.
    pub fn keep(&self, id: CacheEntryId, tags: EntryTags, ttl_ms: u64, answer: &CachedAnswer) {
        let plain = answer.encode();
        let Some(plain) = plain.filter(|plain| plain.len() <= ANSWER_BYTES_MAX) else {
            return;
        };
        let at_ms = self.time.now_ms();
        let head = EntryHead {
            at_ms,
            expires_ms: at_ms.saturating_add(ttl_ms),
            tags,
        };
        let plain = plain.into();
        self.answers.store(NewEntry { id, head, plain });
    }

    /// Tags of the entries of a caller.
    pub fn tags(
        &self,
        organization: OrganizationId,
        team: TeamId,
        key: KeyId,
        model: &str,
    ) -> EntryTags {
        EntryTags {
            organization: self.organization_tag(organization),
            team: self.team_tag(team),
            key: self.key_tag(key),
            model: self.model_tag(model),
        }
    }

    /// Tags of an entry that has not expired.
    pub fn entry_tags(&self, id: CacheEntryId) -> Option<EntryTags> {
        self.answers.find(id).map(|entry| entry.head.tags)
    }

    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    pub fn organization_tag(&self, organization: OrganizationId) -> u64 {
        let id = organization.to_string();
        self.fingerprints.tag("organization", &id)
    }

    pub fn team_tag(&self, team: TeamId) -> u64 {
        self.fingerprints.tag("team", &team.to_string())
    }

    pub fn key_tag(&self, key: KeyId) -> u64 {
        self.fingerprints.tag("key", &key.to_string())
    }

    /// Of the name that clients asked for.
    pub fn model_tag(&self, model: &str) -> u64 {
        self.fingerprints.tag("model", model)
    }

    /// Deletes the selected entries and returns their number. Waits for the disk.
    pub fn purge(&self, selection: Selection) -> Result<u64, StoreError> {
        self.answers.purge(selection)
    }

    pub fn size(&self) -> CacheSize {
        self.answers.size()
    }

    /// Writes what is pending and ends the writer.
    pub fn close(&self) {
        self.answers.close();
    }
}
