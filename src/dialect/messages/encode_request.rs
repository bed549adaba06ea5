//! Encoder of messages requests. Must never send a signature that another model made.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::conversation::{
    Cache, ChatRequest, Content, ContentBlock, Effort, Format, Media, ProviderState,
    ProviderStateKind, RawJson, ReasoningBlock, Role, Source, Summary, Tool, ToolCall, ToolChoice,
    ToolResult, Turn, fit_call_id,
};
use crate::dialect::codec::EncodeOptions;
use crate::dialect::messages::request_body::{
    Body, CacheControl, Choice, MediaSource, Message, Metadata, OutputConfig, OutputFormat, Part,
    Piece, Thinking, ToolDeclaration,
};
use crate::dialect::messages::same_model::is_same_model;
use crate::dialect::messages::schema;
use crate::dialect::name::Dialect;
use crate::dialect::wire::json::to_json;

/// First user message of a conversation that does not begin with one; the vendor requires it.
const OPENING: &str = "Begin.";
/// Text of a failed tool result without text; the vendor requires some.
const FAILED: &str = "The tool failed.";
/// Smallest thinking budget that the vendor accepts.
const BUDGET_MIN: u64 = 1_024;

/// Encodes a request that fits the model.
pub(in crate::dialect) fn encode_request(
    chat: &ChatRequest,
    options: &EncodeOptions<'_>,
) -> String {
    let writer = Writer { chat, options };
    let max_tokens = chat
        .output_cap
        .or(options.output_cap)
        .unwrap_or(options.output_max);
    let thinking = writer.thinking(max_tokens);
    let sampling = &chat.sampling;
    to_json(&Body {
        model: options.model,
        max_tokens,
        stream: chat.streamed,
        system: writer.system(),
        messages: writer.messages(),
        tools: writer.tools(),
        tool_choice: writer.tool_choice(),
        output_config: writer.output_config(),
        thinking,
        stop_sequences: &chat.stop,
        temperature: sampling.temperature.as_ref(),
        top_p: sampling.top_p.as_ref(),
        top_k: sampling.top_k.as_ref(),
        metadata: chat.user.as_deref().map(|user_id| Metadata { user_id }),
    })
}

struct Writer<'a> {
    chat: &'a ChatRequest,
    options: &'a EncodeOptions<'a>,
}

impl<'a> Writer<'a> {
    /// Leading system turns.
    fn system(&self) -> Vec<Part<'a>> {
        let turns = self
            .chat
            .turns
            .iter()
            .take_while(|turn| turn.role == Role::System);
        turns.flat_map(|turn| self.parts(&turn.blocks)).collect()
    }

    fn messages(&self) -> Vec<Message<'a>> {
        let turns = self
            .chat
            .turns
            .iter()
            .skip_while(|turn| turn.role == Role::System);
        let mut messages: Vec<Message<'a>> = turns.map(|turn| self.message(turn)).collect();
        messages.retain(|message| !message.content.is_empty());
        if messages
            .first()
            .is_none_or(|message| message.role != "user")
        {
            messages.insert(
                0,
                Message {
                    role: "user",
                    content: vec![text(OPENING)],
                },
            );
        }
        if let Some(Message {
            role: "assistant",
            content,
        }) = messages.last_mut()
        {
            trim_end(content);
        }
        messages
    }

    fn message(&self, turn: &'a Turn) -> Message<'a> {
        let role = match turn.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        Message {
            role,
            content: self.parts(&turn.blocks),
        }
    }

    fn parts(&self, blocks: &'a [ContentBlock]) -> Vec<Part<'a>> {
        blocks.iter().filter_map(|block| self.part(block)).collect()
    }

    /// `None` for what the vendor would reject: empty text, reasoning of other models.
    fn part(&self, block: &'a ContentBlock) -> Option<Part<'a>> {
        let piece = match &block.content {
            Content::Text(text) if text.trim().is_empty() => return None,
            Content::Text(text) => Piece::Text {
                text: Cow::Borrowed(text),
            },
            Content::Image(media) => Piece::Image {
                source: kept(media),
            },
            Content::Document(media) => Piece::Document {
                source: kept(media),
                title: media.name.as_deref(),
            },
            Content::ToolCall(call) => self.call(call),
            Content::ToolResult(result) => self.result(result),
            // accepts no cache hint
            Content::Reasoning(reasoned) => {
                return self.thought(reasoned).map(|piece| Part {
                    piece,
                    cache_control: None,
                });
            }
        };
        Some(Part {
            piece,
            cache_control: block.cache.map(cache_control),
        })
    }

    fn call(&self, call: &'a ToolCall) -> Piece<'a> {
        let id = fit_call_id(&call.id, self.options.capabilities.ids);
        Piece::ToolUse {
            id,
            name: self.options.names.sent(&call.name),
            input: call.object_raw(),
        }
    }

    fn result(&self, result: &'a ToolResult) -> Piece<'a> {
        let mut content = self.parts(&result.blocks);
        if content.is_empty() && result.is_error {
            content.push(text(FAILED));
        }
        let tool_use_id = fit_call_id(&result.id, self.options.capabilities.ids);
        Piece::ToolResult {
            tool_use_id,
            content,
            is_error: result.is_error,
        }
    }

    fn thought(&self, reasoned: &'a ReasoningBlock) -> Option<Piece<'a>> {
        let provider_state = reasoned
            .provider_state
            .as_ref()
            .filter(|provider_state| self.is_own(provider_state))?;
        Some(match provider_state.kind {
            ProviderStateKind::Signature => Piece::Thinking {
                thinking: &reasoned.text,
                signature: &provider_state.data,
            },
            ProviderStateKind::Redacted => Piece::RedactedThinking {
                data: &provider_state.data,
            },
        })
    }

    /// The state was made by this model. A client of another dialect has genuine state only if the gateway sealed it.
    fn is_own(&self, provider_state: &ProviderState) -> bool {
        provider_state.origin.as_ref().is_some_and(|origin| {
            origin.dialect == Dialect::Messages.as_str()
                && is_same_model(&origin.model, self.options.model)
        })
    }

    /// Declared tools, or the called ones if none is declared: the vendor rejects calls of unknown tools.
    fn tools(&self) -> Vec<ToolDeclaration<'a>> {
        if !self.chat.tools.is_empty() {
            return self
                .chat
                .tools
                .iter()
                .map(|tool| self.declared(tool))
                .collect();
        }
        let mut names: Vec<&str> = Vec::new();
        for block in self.chat.turns.iter().flat_map(|turn| &turn.blocks) {
            if let Content::ToolCall(call) = &block.content
                && !names.contains(&call.name.as_str())
            {
                names.push(&call.name);
            }
        }
        let declared = |name| ToolDeclaration {
            name: self.options.names.sent(name),
            description: None,
            input_schema: schema::object(&RawJson::default()),
            strict: None,
            cache_control: None,
        };
        names.into_iter().map(declared).collect()
    }

    fn declared(&self, tool: &'a Tool) -> ToolDeclaration<'a> {
        ToolDeclaration {
            name: self.options.names.sent(&tool.name),
            description: tool.description.as_deref(),
            input_schema: schema::object(&tool.schema),
            // false is the default
            strict: tool.strict.filter(|strict| *strict),
            cache_control: tool.cache.map(cache_control),
        }
    }

    fn tool_choice(&self) -> Option<Choice<'a>> {
        let disable_parallel_tool_use = self.chat.parallel_tools == Some(false);
        let choice = |kind, name| {
            Some(Choice {
                kind,
                name,
                disable_parallel_tool_use,
            })
        };
        match &self.chat.tool_choice {
            // called before, not callable now
            ToolChoice::Auto if self.chat.tools.is_empty() => {
                let has_called = !self.tools().is_empty();
                has_called.then_some(Choice {
                    kind: "none",
                    name: None,
                    disable_parallel_tool_use: false,
                })
            }
            ToolChoice::Auto if !disable_parallel_tool_use => None,
            ToolChoice::Auto => choice("auto", None),
            ToolChoice::Any => choice("any", None),
            ToolChoice::Named(name) => choice("tool", Some(self.options.names.sent(name))),
            ToolChoice::None => Some(Choice {
                kind: "none",
                name: None,
                disable_parallel_tool_use: false,
            }),
        }
    }

    /// A thinking budget must be below the output cap and not under the minimum.
    fn thinking(&self, max_tokens: u64) -> Option<Thinking> {
        let reasoning = &self.chat.reasoning;
        let display = reasoning.summary.map(|summary| match summary {
            Summary::Shown => "summarized",
            Summary::Omitted => "omitted",
        });
        if reasoning.is_off() {
            return Some(Thinking {
                kind: "disabled",
                budget_tokens: None,
                display: None,
            });
        }
        if reasoning.adaptive {
            return Some(Thinking {
                kind: "adaptive",
                budget_tokens: None,
                display,
            });
        }
        let budget = reasoning.budget?.min(max_tokens.saturating_sub(1));
        let fits = budget >= BUDGET_MIN && self.has_required_reasoning();
        fits.then_some(Thinking {
            kind: "enabled",
            budget_tokens: Some(budget),
            display,
        })
    }

    /// With a thinking budget, an unfinished turn of calls must begin with its reasoning; otherwise the vendor rejects thinking.
    fn has_required_reasoning(&self) -> bool {
        let Some(last) = self
            .chat
            .turns
            .iter()
            .rev()
            .find(|turn| turn.role == Role::Assistant)
        else {
            return true;
        };
        let has_calls = last
            .blocks
            .iter()
            .any(|block| matches!(block.content, Content::ToolCall(_)));
        let begins_with_thoughts = || {
            let first = self.parts(&last.blocks).into_iter().next();
            first.is_some_and(|part| {
                matches!(
                    part.piece,
                    Piece::Thinking { .. } | Piece::RedactedThinking { .. }
                )
            })
        };
        !has_calls || begins_with_thoughts()
    }

    fn output_config(&self) -> Option<OutputConfig> {
        let effort = self
            .chat
            .reasoning
            .effort
            .filter(|effort| *effort != Effort::None)
            .map(Effort::as_str);
        let format = match &self.chat.format {
            Format::JsonSchema { schema, .. } => Some(OutputFormat {
                kind: "json_schema",
                schema: schema::closed(schema),
            }),
            Format::Text | Format::JsonObject => None,
        };
        (effort.is_some() || format.is_some()).then_some(OutputConfig { effort, format })
    }
}

fn text(text: &str) -> Part<'_> {
    Part {
        piece: Piece::Text {
            text: Cow::Borrowed(text),
        },
        cache_control: None,
    }
}

fn cache_control(cache: Cache) -> CacheControl {
    let ttl = match cache {
        Cache::FiveMinutes => None,
        Cache::Hour => Some("1h"),
    };
    CacheControl {
        kind: "ephemeral",
        ttl,
    }
}

fn kept(media: &Media) -> MediaSource<'_> {
    match &media.source {
        Source::Text(text) => MediaSource::Text {
            media_type: "text/plain",
            data: Cow::Borrowed(text),
        },
        Source::Url(url) => MediaSource::Url { url },
        Source::File(file_id) => MediaSource::File { file_id },
        Source::Base64(data) => match plain_text(media, data) {
            Some(text) => MediaSource::Text {
                media_type: "text/plain",
                data: Cow::Owned(text),
            },
            None => MediaSource::Base64 {
                media_type: &media.mime,
                data,
            },
        },
    }
}

/// Text of a text document, which the vendor accepts as text only.
fn plain_text(media: &Media, data: &str) -> Option<String> {
    if !media.mime.starts_with("text/") {
        return None;
    }
    String::from_utf8(BASE64.decode(data).ok()?).ok()
}

/// The vendor rejects a prefilled answer that ends in white space.
fn trim_end(content: &mut [Part<'_>]) {
    if let Some(Part {
        piece: Piece::Text { text },
        ..
    }) = content.last_mut()
    {
        *text = Cow::Owned(text.trim_end().to_owned());
    }
}
