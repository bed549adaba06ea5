//! Names of the wire formats and of the kinds of model calls. The words stand in usage records, metrics and sealed reasoning and must
//! never change.

/// Wire format of a client, of an upstream, or of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/responses`, its stateless part
    Responses,
    /// `POST /v1/messages`
    Messages,
    /// `generateContent`; upstreams only, like all that follow
    Gemini,
    /// Bedrock's Converse
    Converse,
    /// Cohere's `/v2/chat`
    Cohere,
    /// Ollama's `/api/chat`
    Ollama,
}

/// Kind of a model call, which its URL decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// generates an answer; the only kind that is translated between dialects
    Conversation,
    /// `POST /v1/embeddings`: vectors for texts, so input only
    Embeddings,
    /// `POST /v1/messages/count_tokens`: counts the tokens of a messages request; no vendor bills it
    TokenCount,
}

impl Dialect {
    pub const fn as_str(self) -> &'static str {
        match self {
            Dialect::Chat => "chat",
            Dialect::Responses => "responses",
            Dialect::Messages => "messages",
            Dialect::Gemini => "gemini",
            Dialect::Converse => "converse",
            Dialect::Cohere => "cohere",
            Dialect::Ollama => "ollama",
        }
    }
}

impl Operation {
    /// Name in the GenAI semantic conventions of OpenTelemetry.
    pub const fn semantic_name(self) -> &'static str {
        match self {
            Operation::Conversation => "chat",
            Operation::Embeddings => "embeddings",
            Operation::TokenCount => "count_tokens",
        }
    }

    /// The `dialect` of a usage record: that of a conversation, otherwise the operation itself.
    pub const fn record_name(self, dialect: Dialect) -> &'static str {
        match self {
            Operation::Conversation => dialect.as_str(),
            Operation::Embeddings => "embeddings",
            Operation::TokenCount => "token count",
        }
    }

    /// Unmetered calls hold no budget and leave no usage record.
    pub const fn is_unmetered(self) -> bool {
        matches!(self, Operation::TokenCount)
    }
}
