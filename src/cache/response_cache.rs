//! `ResponseCache`: finds, keeps and purges answers. Encodes and decodes what the store keeps sealed.

use std::sync::Arc;

use crate::cache::answer::CachedAnswer;
use crate::cache::embedder::Vector;
use crate::cache::fingerprint::Fingerprints;
use crate::cache::guards::differing_words;
use crate::cache::semantic::{Namespace, NoVector, SemanticIndex};
use crate::domain::cache::{CacheEntryId, GuardMode, Similarity};
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
    answers: Arc<AnswerCache>,
    semantic: Arc<SemanticIndex>,
    bytes_max: u64,
    time: Arc<Time>,
}

/// An answer that was found.
#[derive(Clone, Debug)]
pub struct FoundAnswer {
    pub id: CacheEntryId,
    pub age_ms: u64,
    /// of a comparison by meaning
    pub similarity: Option<Similarity>,
    pub answer: CachedAnswer,
}

/// A question to be compared with those that are kept.
pub struct AskedQuestion<'a> {
    pub namespace: Namespace,
    pub text: &'a str,
    pub vector: &'a Vector,
    pub threshold: Similarity,
    pub guard: GuardMode,
}

/// Result of a comparison.
pub enum SimilarAnswer {
    Found(Box<FoundAnswer>),
    /// the nearest entry, and the guard that refused it
    Refused(CacheEntryId, Similarity, &'static str),
    None,
}

impl ResponseCache {
    pub fn open(
        disk: Arc<dyn Disk>,
        time: Arc<Time>,
        key: &SealKey,
        bytes_max: u64,
    ) -> ResponseCache {
        let bounds = CacheBounds { bytes_max };
        let semantic = Arc::new(SemanticIndex::default());
        let deleted = {
            let semantic = semantic.clone();
            move |ids: &[CacheEntryId]| semantic.forget(ids)
        };
        let answers = AnswerCache::open(disk, time.clone(), key, bounds, deleted);
        ResponseCache {
            fingerprints: Fingerprints::new(key),
            answers: Arc::new(answers),
            semantic,
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
        Some(FoundAnswer {
            id,
            age_ms,
            similarity: None,
            answer,
        })
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
        if let Some(question) = &answer.question
            && let Some(vector) = Vector::from_bytes(&question.vector)
        {
            self.semantic.insert(question.namespace, id, &vector);
        }
    }

    /// Makes the vector of a question.
    pub async fn embed(&self, text: &str) -> Result<Vector, NoVector> {
        let answers = self.answers.clone();
        let restore = move |semantic: &SemanticIndex| restore(&answers, semantic);
        self.semantic.embed(text, restore).await
    }

    /// The nearest kept question whose answer may be served for another; else the nearest one of all, with the reason.
    pub fn find_similar(
        &self,
        asked: &AskedQuestion<'_>,
        ttl_ms: u64,
        is_allowed: impl Fn(&FoundAnswer) -> bool,
    ) -> SimilarAnswer {
        let mut refused = None;
        for neighbor in self.semantic.nearest(&asked.namespace, asked.vector) {
            let similarity = Similarity::of_cosine(neighbor.similarity);
            let Some(found) = self.find(neighbor.id, ttl_ms).filter(&is_allowed) else {
                continue;
            };
            let Some(reason) = self.refusal(asked, &found, similarity) else {
                return SimilarAnswer::Found(Box::new(FoundAnswer {
                    similarity: Some(similarity),
                    ..found
                }));
            };
            refused.get_or_insert((neighbor.id, similarity, reason));
        }
        refused.map_or(SimilarAnswer::None, |(id, similarity, reason)| {
            SimilarAnswer::Refused(id, similarity, reason)
        })
    }

    /// Words in which the last messages of two entries differ: those of each that the other lacks. `None` without both.
    pub fn difference(
        &self,
        one: CacheEntryId,
        other: CacheEntryId,
    ) -> Option<(Vec<String>, Vec<String>)> {
        let text = |id| {
            let stored = self.answers.find(id)?;
            Some(CachedAnswer::decode(&stored.plain)?.question?.text)
        };
        Some(differing_words(&text(one)?, &text(other)?))
    }

    fn refusal(
        &self,
        asked: &AskedQuestion<'_>,
        found: &FoundAnswer,
        similarity: Similarity,
    ) -> Option<&'static str> {
        if similarity < asked.threshold {
            return Some("threshold");
        }
        let kept = found.answer.question.as_ref();
        let kept = kept.map_or("", |question| question.text.as_str());
        self.semantic.refusal(asked.text, kept, asked.guard)
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
            namespace: 0,
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
        self.semantic.close();
        self.answers.close();
    }
}

/// Adds the questions that an earlier process kept.
fn restore(answers: &AnswerCache, semantic: &SemanticIndex) {
    let restored = answers.visit(|id, entry| {
        if entry.head.tags.namespace == 0 {
            return;
        }
        let question = CachedAnswer::decode(&entry.plain).and_then(|answer| answer.question);
        if let Some(question) = question
            && let Some(vector) = Vector::from_bytes(&question.vector)
        {
            semantic.insert(question.namespace, id, &vector);
        }
    });
    if let Err(error) = restored {
        tracing::warn!(%error, "failed to read the kept questions");
    }
}
