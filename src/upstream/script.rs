//! Scripted responses in the place of an upstream's: a client with a script asks it before it connects.

use bytes::Bytes;

use super::error::TransportError;
use super::response::IncomingResponse;
use crate::dialect::{Dialect, Framing};

/// Response of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptedResponse {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Bytes,
}

/// Script of a client.
pub trait Script {
    /// Response of a deployment `provider/model` that speaks this dialect, with streams in this framing; `None`: the deployment itself is
    /// asked.
    fn answer(
        &self,
        deployment: &str,
        wire: (Dialect, Framing),
    ) -> Option<Result<ScriptedResponse, TransportError>>;
}

impl From<ScriptedResponse> for IncomingResponse {
    fn from(scripted: ScriptedResponse) -> IncomingResponse {
        IncomingResponse::of_bytes(scripted.status, scripted.content_type, scripted.body)
    }
}
