//! What the wire formats look like from outside: reads requests, streams and answers, edits a request without
//! re-serialising it, writes our own errors. Pure bytes: never any IO, never a decision by vendor, never a re-serialised body.

mod answer;
mod bound;
mod chat;
mod cohere;
mod converse;
mod embeddings;
mod fault;
mod gemini;
mod hub;
mod input;
mod messages;
mod models;
mod ollama;
mod output;
mod request;
mod response_stream;
mod responses;
mod schema;
mod tee;
mod tools;
mod translate;
mod unary;
mod wire;

#[cfg(test)]
mod samples;

pub use crate::dialect::response_stream::{ForwardedEvent, ResponseStream};
pub use crate::dialect::translate::{ResponseMeta, Translation};
pub use crate::dialect::wire::framing::{BadFrame, Framing};
pub use crate::dialect::wire::splice::Edit;
pub use crate::dialect::wire::sse::{Fields, Splitter, TooLarge, parse};
pub use answer::{cost_comment, error_body, error_event, ping};
pub use converse::{ModelFamily, base_model_id};
pub use fault::{UpstreamError, retry_after_s, standing, upstream_fault};
pub use hub::{EncodeOptions, decode_request, encode_request, words};
pub use messages::without_foreign_reasoning;
pub use models::{
    ModelEntry, ModelPage, behind_alias, model_object, models_list, models_page, picker_alias,
};
pub use output::DeliveredText;
pub use request::{OutputCap, Request, read};
pub use tee::{EventKind, PassthroughTap};
pub use unary::{DecodedResponse, IncompleteResponse, decode_unary};

/// A manner of speaking: a client's, an upstream's, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/responses`, the stateless part of it
    Responses,
    /// `POST /v1/messages`
    Messages,
    /// `POST /v1/embeddings`: vectors for texts, so input only
    Embeddings,
    /// `POST /v1/messages/count_tokens`: a question about a messages request, which no vendor bills
    TokenCount,
    /// `generateContent`; upstreams only, like all that follow
    Gemini,
    /// Bedrock's Converse
    Converse,
    /// Cohere's `/v2/chat`
    Cohere,
    /// Ollama's `/api/chat`
    Ollama,
}

/// Whose shape errors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFormat {
    OpenAi,
    Anthropic,
}

impl Dialect {
    pub const fn as_str(self) -> &'static str {
        match self {
            Dialect::Chat => "chat",
            Dialect::Responses => "responses",
            Dialect::Messages => "messages",
            Dialect::Embeddings => "embeddings",
            Dialect::TokenCount => "token count",
            Dialect::Gemini => "gemini",
            Dialect::Converse => "converse",
            Dialect::Cohere => "cohere",
            Dialect::Ollama => "ollama",
        }
    }

    /// Whose errors it is answered with; of a dialect that only upstreams speak, whose are read alike.
    pub const fn error_format(self) -> ErrorFormat {
        match self {
            Dialect::Messages | Dialect::TokenCount => ErrorFormat::Anthropic,
            _ => ErrorFormat::OpenAi,
        }
    }

    /// Whether vendors answer it for nothing: such a call holds nothing and leaves no record.
    pub const fn is_unmetered(self) -> bool {
        matches!(self, Dialect::TokenCount)
    }

    /// Whether a request of another dialect can be translated into it.
    pub const fn can_encode(self) -> bool {
        self.is_conversation() && !matches!(self, Dialect::Responses)
    }

    /// Whether it is a conversation, which can be translated into another dialect's.
    pub const fn is_conversation(self) -> bool {
        !matches!(self, Dialect::Embeddings | Dialect::TokenCount)
    }
}
