//! Refusals: requests that the gateway declined before it took a hold or called an upstream. They carry no cost.

use crate::domain::api_error::ErrorCode;
use crate::domain::attribution::Attribution;
use crate::domain::id::{KeyId, OrganizationId, RequestId, TeamId};

/// Maximum length of a stored model name, in characters; the client may send any text.
const MODEL_CHARS_MAX: usize = 128;

/// One refused request with its error code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub request: RequestId,
    pub at_ms: u64,
    pub organization: OrganizationId,
    pub team: TeamId,
    pub key: KeyId,
    /// empty if the request was refused before it was parsed
    pub model_asked: String,
    pub attribution: Attribution,
    pub dialect: String,
    pub code: ErrorCode,
}

/// Cuts a model name to the length that a refusal stores.
pub fn truncate_model(name: &str) -> String {
    name.chars().take(MODEL_CHARS_MAX).collect()
}
