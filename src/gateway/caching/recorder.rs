//! Recorder of an answer: takes the bytes that the client receives and, once the answer is complete and settled, keeps it. An answer that is
//! too long, cut, filtered or that calls a tool is not kept.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};

use crate::cache::answer::{CachedAnswer, Question, may_be_kept};
use crate::cache::embedder::Vector;
use crate::cache::{Namespace, ResponseCache};
use crate::conversation::StateSealer;
use crate::dialect::{self, Dialect, ResponseMeta};
use crate::domain::cache::{CacheEntryId, CacheNote, GuardMode, Similarity};
use crate::domain::id::{KeyId, OrganizationId, RequestId, TeamId};
use crate::domain::money::Money;
use crate::domain::usage::Usage;
use crate::route::Deployment;
use crate::store::answer_cache::EntryTags;

/// Bytes of a response as a client receives it; a longer one is not kept.
const RESPONSE_BYTES_MAX: usize = 1 << 20;

/// Use of the cache by one request.
pub(in crate::gateway) struct CacheUse {
    pub cache: Arc<ResponseCache>,
    pub id: CacheEntryId,
    pub owner: EntryOwner,
    pub ttl_ms: u64,
    pub looks_up: bool,
    pub stores: bool,
    /// `None`: equal requests only
    pub semantic: Option<SemanticUse>,
    /// provider and model of every deployment that the caller may get
    pub targets: Vec<(String, String)>,
}

/// Owner of a request, and the name that it asked for: what its entry can be purged by.
pub(in crate::gateway) struct EntryOwner {
    pub organization: OrganizationId,
    pub team: TeamId,
    pub key: KeyId,
    pub model_asked: String,
}

/// Comparison by meaning.
pub(in crate::gateway) struct SemanticUse {
    pub namespace: Namespace,
    pub text: String,
    pub threshold: Similarity,
    pub guard: GuardMode,
    /// once it is made
    pub vector: OnceLock<Vector>,
}

/// Part of the cache in one attempt.
pub(in crate::gateway) struct CacheAttempt {
    pub note: CacheNote,
    /// `None`: the answer is not kept
    pub recorder: Option<CacheRecorder>,
}

impl CacheAttempt {
    pub fn record(&mut self, bytes: &Bytes) {
        if let Some(recorder) = &mut self.recorder
            && !recorder.push(bytes)
        {
            self.recorder = None;
        }
    }
}

/// Dialect and form of a response.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct AnswerForm {
    dialect: Dialect,
    streamed: bool,
}

impl AnswerForm {
    pub fn whole(dialect: Dialect) -> AnswerForm {
        AnswerForm {
            dialect,
            streamed: false,
        }
    }

    pub fn streamed(dialect: Dialect) -> AnswerForm {
        AnswerForm {
            dialect,
            streamed: true,
        }
    }
}

pub(in crate::gateway) struct CacheRecorder {
    plan: Arc<CacheUse>,
    bytes: BytesMut,
}

/// A settled answer.
pub(in crate::gateway) struct RecordedAnswer<'a> {
    pub request: RequestId,
    pub form: AnswerForm,
    pub deployment: &'a Deployment,
    pub sealer: StateSealer,
    pub usage: Usage,
    pub cost: Money,
}

impl CacheRecorder {
    pub fn new(plan: Arc<CacheUse>) -> CacheRecorder {
        CacheRecorder {
            plan,
            bytes: BytesMut::new(),
        }
    }

    /// Returns `false` once the response is too long.
    fn push(&mut self, bytes: &Bytes) -> bool {
        let has_room = self.bytes.len() + bytes.len() <= RESPONSE_BYTES_MAX;
        if has_room {
            self.bytes.extend_from_slice(bytes);
        }
        has_room
    }

    pub fn keep(self, answer: RecordedAnswer<'_>) {
        let RecordedAnswer {
            request,
            form,
            deployment,
            sealer,
            usage,
            cost,
        } = answer;
        let meta = ResponseMeta {
            request_id: request.to_string(),
            model: deployment.model.clone(),
            created_s: 0,
            input_estimate: 0,
            sealer,
        };
        let bytes = self.bytes.freeze();
        let response = dialect::complete_response(form.dialect, &meta, form.streamed, bytes);
        let Some(response) = response.filter(may_be_kept) else {
            return;
        };
        let plan = &self.plan;
        let answer = CachedAnswer {
            response,
            usage,
            cost,
            provider: deployment.provider.name.clone(),
            model: deployment.model.clone(),
            key: plan.owner.key,
            question: question(plan),
        };
        let EntryOwner {
            organization,
            team,
            key,
            model_asked,
        } = &plan.owner;
        let tags = EntryTags {
            namespace: u64::from(answer.question.is_some()),
            ..plan.cache.tags(*organization, *team, *key, model_asked)
        };
        plan.cache.keep(plan.id, tags, plan.ttl_ms, &answer);
    }
}

/// The question of a request whose vector was made.
fn question(plan: &CacheUse) -> Option<Question> {
    let semantic = plan.semantic.as_ref()?;
    Some(Question {
        text: semantic.text.clone(),
        vector: semantic.vector.get()?.as_bytes().to_vec(),
        namespace: semantic.namespace,
    })
}
