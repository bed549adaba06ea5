//! A request that the gateway refused before anything was held or sent: who asked for what, and the word of the refusal.
//! There is no money in it.

use crate::domain::api_error::ErrorCode;
use crate::domain::attribution::Attribution;
use crate::domain::id::{KeyId, OrganizationId, RequestId, TeamId};

/// Letters that are kept of the name that was asked for: it may be anything.
const MODEL_CHARS_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub request: RequestId,
    pub at_ms: u64,
    pub organization: OrganizationId,
    pub team: TeamId,
    pub key: KeyId,
    /// empty where the request was refused before it was read
    pub model_asked: String,
    pub attribution: Attribution,
    pub dialect: String,
    pub code: ErrorCode,
}

/// As much of a name as a refusal keeps.
pub fn truncate_model(name: &str) -> String {
    name.chars().take(MODEL_CHARS_MAX).collect()
}
