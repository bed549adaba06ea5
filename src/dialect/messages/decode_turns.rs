//! Decoder of the messages of a request into turns. Blocks that only Anthropic can read are refused or dropped by name.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::conversation::{
    ChatRequest, Content, ContentBlock, Media, ProviderStateKind, RawJson, ReasoningBlock, Role,
    Source, StateSealer, ToolCall, ToolResult, Turn,
};
use crate::dialect::messages::shape::{CacheControl, TextOr};
use crate::dialect::request::{Request, typed};
use crate::domain::api_error::ApiError;

/// Decodes the turns of a request.
pub(super) fn decode_turns(
    decoded: &mut ChatRequest,
    request: &Request,
    sealer: &StateSealer,
) -> Result<(), ApiError> {
    let messages: Vec<Message> = typed(request, "messages")?.unwrap_or_default();
    for (place, message) in messages.into_iter().enumerate() {
        let turn = Reader {
            decoded,
            sealer,
            place,
        }
        .turn(message)?;
        decoded.turns.extend(turn);
    }
    Ok(())
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: TextOr<Part>,
}

/// One block with the fields of all types; a field whose shape depends on the type stays raw until the type is known.
#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    citations: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    source: Option<RawJson>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input: Option<RawJson>,
    #[serde(default)]
    tool_use_id: Option<String>,
    #[serde(default)]
    tool_name: Option<String>,
    #[serde(default)]
    content: Option<RawJson>,
    #[serde(default)]
    is_error: Option<bool>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    cache_control: Option<CacheControl>,
}

/// Location of an image or document.
#[derive(Deserialize)]
struct MediaSource {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    file_id: Option<String>,
    #[serde(default)]
    content: Option<TextOr<Part>>,
}

/// Decoder of the blocks of one message.
struct Reader<'a> {
    decoded: &'a mut ChatRequest,
    sealer: &'a StateSealer,
    place: usize,
}

impl Reader<'_> {
    /// `None` for an empty message.
    fn turn(&mut self, message: Message) -> Result<Option<Turn>, ApiError> {
        let role = match message.role.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => return Err(self.refused("has a role that is none of user, assistant, system")),
        };
        let blocks = self.blocks(message.content, role)?;
        Ok((!blocks.is_empty()).then_some(Turn { role, blocks }))
    }

    fn blocks(&mut self, content: TextOr<Part>, role: Role) -> Result<Vec<ContentBlock>, ApiError> {
        let parts = match content {
            TextOr::Text(text) if text.is_empty() => return Ok(Vec::new()),
            TextOr::Text(text) => return Ok(vec![Content::Text(text).into()]),
            TextOr::Many(parts) => parts,
        };
        let mut blocks = Vec::with_capacity(parts.len());
        for part in parts {
            self.part(part, role, &mut blocks)?;
        }
        Ok(blocks)
    }

    fn part(
        &mut self,
        mut part: Part,
        role: Role,
        blocks: &mut Vec<ContentBlock>,
    ) -> Result<(), ApiError> {
        let cache = part.cache_control.take().map(CacheControl::meaning);
        if part.citations.is_some() {
            self.decoded.drop_param("citations");
        }
        let content = match (part.kind.as_str(), role) {
            ("text", _) => match part.text {
                Some(text) if !text.is_empty() => Content::Text(text),
                _ => return Ok(()),
            },
            // availability of a tool: other vendors always have all tools
            ("tool_reference", Role::User) => Content::Text(part.tool_name.unwrap_or_default()),
            ("image", Role::User) => Content::Image(self.media(part.source, None)?),
            ("document", Role::User) => {
                if let Some(context) = part.context {
                    blocks.push(Content::Text(context).into());
                }
                Content::Document(self.media(part.source, part.title)?)
            }
            ("tool_result", Role::User) => Content::ToolResult(self.tool_result(part)?),
            ("tool_use", Role::Assistant) => Content::ToolCall(self.tool_call(part)?),
            ("thinking", Role::Assistant) => {
                let signature = part.signature.filter(|signature| !signature.is_empty());
                let provider_state = signature.map(|signature| self.sealer.open(&signature));
                Content::Reasoning(ReasoningBlock {
                    text: part.thinking.unwrap_or_default(),
                    provider_state,
                })
            }
            ("redacted_thinking", Role::Assistant) => Content::Reasoning(self.redacted(part.data)),
            (kind, _) => return Err(self.unknown(kind)),
        };
        blocks.push(ContentBlock { content, cache });
        Ok(())
    }

    fn redacted(&self, data: Option<String>) -> ReasoningBlock {
        let mut provider_state = self.sealer.open(&data.unwrap_or_default());
        if provider_state.origin.is_none() {
            provider_state.kind = ProviderStateKind::Redacted;
        }
        ReasoningBlock {
            text: String::new(),
            provider_state: Some(provider_state),
        }
    }

    fn tool_call(&self, part: Part) -> Result<ToolCall, ApiError> {
        let (Some(id), Some(name)) = (part.id, part.name) else {
            return Err(self.refused("has a tool_use block without `id` or `name`"));
        };
        let arguments = part
            .input
            .map(|input| input.as_str().to_owned())
            .unwrap_or_default();
        Ok(ToolCall {
            id,
            name,
            arguments,
            provider_state: None,
        })
    }

    fn tool_result(&mut self, part: Part) -> Result<ToolResult, ApiError> {
        let Some(id) = part.tool_use_id else {
            return Err(self.refused("has a tool_result block without `tool_use_id`"));
        };
        let blocks = match part.content {
            Some(content) => {
                let content = self.shape(
                    &content,
                    "a tool_result block whose `content` cannot be read",
                )?;
                self.blocks(content, Role::User)?
            }
            None => Vec::new(),
        };
        if blocks
            .iter()
            .any(|block| matches!(block.content, Content::ToolResult(_)))
        {
            return Err(self.refused("has a tool_result block within another one"));
        }
        Ok(ToolResult {
            id,
            name: None,
            blocks,
            is_error: part.is_error.unwrap_or_default(),
        })
    }

    fn media(&mut self, source: Option<RawJson>, name: Option<String>) -> Result<Media, ApiError> {
        let Some(source) = source else {
            return Err(self.refused("has an image or a document without its `source`"));
        };
        let kept: MediaSource = self.shape(
            &source,
            "an image or a document whose `source` cannot be read",
        )?;
        let mime = kept.media_type.unwrap_or_default();
        let source = match (
            kept.kind.as_str(),
            kept.data,
            kept.url,
            kept.file_id,
            kept.content,
        ) {
            ("base64", Some(data), ..) => Source::Base64(data),
            ("text", Some(text), ..) => Source::Text(text),
            ("url", _, Some(url), ..) => Source::Url(url),
            ("file", _, _, Some(id), _) => Source::File(id),
            ("content", .., Some(content)) => Source::Text(self.only_text(content)?),
            _ => {
                return Err(
                    self.refused("has an image or a document whose `source` cannot be read")
                );
            }
        };
        Ok(Media { mime, source, name })
    }

    /// Text of a document made of blocks.
    fn only_text(&mut self, content: TextOr<Part>) -> Result<String, ApiError> {
        let blocks = self.blocks(content, Role::User)?;
        let mut texts = Vec::with_capacity(blocks.len());
        for block in blocks {
            match block.content {
                Content::Text(text) => texts.push(text),
                _ => return Err(self.refused("has a document with more than text in it; send its parts as blocks of their own")),
            }
        }
        Ok(texts.join("\n"))
    }

    fn shape<T: DeserializeOwned>(&self, json: &RawJson, what: &str) -> Result<T, ApiError> {
        serde_json::from_str(json.as_str()).map_err(|_| self.refused(&format!("has {what}")))
    }

    fn unknown(&self, kind: &str) -> ApiError {
        let plain = kind.len() <= 64
            && kind
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let kind = if plain {
            format!("`{kind}` block")
        } else {
            "block of a kind whose name is not shown".to_owned()
        };
        self.refused(&format!(
            "has a {kind} where no other vendor takes one; leave it out or ask an Anthropic model"
        ))
    }

    fn refused(&self, what: &str) -> ApiError {
        let place = self.place;
        ApiError::invalid(format!("messages.{place} {what}"))
            .with_param(format!("messages.{place}"))
    }
}
