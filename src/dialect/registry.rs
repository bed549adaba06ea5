//! The sides of each dialect: the one place that leads from its name to its folder. Must never be imported by a dialect's folder.

use crate::dialect::chat::Chat;
use crate::dialect::client::ClientDialect;
use crate::dialect::cohere::Cohere;
use crate::dialect::converse::Converse;
use crate::dialect::gemini::Gemini;
use crate::dialect::messages::Messages;
use crate::dialect::name::Dialect;
use crate::dialect::ollama::Ollama;
use crate::dialect::responses::Responses;
use crate::dialect::upstream::UpstreamDialect;

impl Dialect {
    /// The client's side; `None` for a dialect that only upstreams speak.
    pub(super) const fn client(self) -> Option<&'static dyn ClientDialect> {
        Some(match self {
            Dialect::Chat => &Chat,
            Dialect::Responses => &Responses,
            Dialect::Messages => &Messages,
            Dialect::Gemini | Dialect::Converse | Dialect::Cohere | Dialect::Ollama => return None,
        })
    }

    /// The client's side; chat's for clients without a dialect of their own, such as administrators.
    pub(super) fn client_or_chat(self) -> &'static dyn ClientDialect {
        self.client().unwrap_or(&Chat)
    }

    /// The upstream's side.
    pub(super) const fn upstream(self) -> &'static dyn UpstreamDialect {
        match self {
            Dialect::Chat => &Chat,
            Dialect::Messages => &Messages,
            Dialect::Gemini => &Gemini,
            Dialect::Converse => &Converse,
            Dialect::Cohere => &Cohere,
            Dialect::Ollama => &Ollama,
            Dialect::Responses => &Responses,
        }
    }
}
