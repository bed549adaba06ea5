//! What the wire formats look like from outside: reads requests, streams and answers, edits a request without
//! re-serialising it, writes our own errors. Pure bytes: never any IO, never a decision by vendor, never a re-serialised body.

mod answer;
mod chat;
mod count;
mod embeddings;
mod fault;
mod input;
mod json;
mod members;
mod messages;
mod models;
mod output;
mod request;
mod splice;
mod sse;
mod tee;
mod tools;
mod unary;

#[cfg(test)]
mod samples;

pub use answer::{cost_comment, error_body, error_event, ping};
pub use fault::{UpstreamFault, upstream_fault};
pub use models::{ModelEntry, ModelPage, model_object, models_list, models_page};
pub use output::Delivered;
pub use request::{OutputCap, Request, read};
pub use splice::Edit;
pub use sse::{Fields, Splitter, TooLarge, parse};
pub use tee::{Kind, Tee};
pub use unary::{NotComplete, Unary, read_unary};

/// The client's (or an upstream's) manner of speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/messages`
    Messages,
    /// `POST /v1/embeddings`: vectors for texts, so input only
    Embeddings,
    /// `POST /v1/messages/count_tokens`: a question about a messages request, which no vendor bills
    TokenCount,
}

/// Whose shape errors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    OpenAi,
    Anthropic,
}

impl Dialect {
    pub const fn word(self) -> &'static str {
        match self {
            Dialect::Chat => "chat",
            Dialect::Messages => "messages",
            Dialect::Embeddings => "embeddings",
            Dialect::TokenCount => "token count",
        }
    }

    pub const fn family(self) -> Family {
        match self {
            Dialect::Chat | Dialect::Embeddings => Family::OpenAi,
            Dialect::Messages | Dialect::TokenCount => Family::Anthropic,
        }
    }

    /// Whether vendors answer it for nothing: such a call holds nothing and leaves no record.
    pub const fn is_free(self) -> bool {
        matches!(self, Dialect::TokenCount)
    }
}
