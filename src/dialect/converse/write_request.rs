//! A neutral ask as the body of a Converse request: the model's name stands in the address, whether to stream in the path. Must never
//! send a blank text, two turns of one role in a row, or thoughts that the model itself did not have: each is a 400.

use std::borrow::Cow;

use serde::Serialize;

use crate::conversation::{
    Ask, Block, Content, Format, Opaque, OpaqueKind, Raw, Reasoned, Role, ToolCall, ToolChoice, ToolResult, Turn, fitting_id,
};
use crate::dialect::Dialect;
use crate::dialect::answer::written;
use crate::dialect::converse::additional::Additional;
use crate::dialect::converse::maker::{Maker, plain_id};
use crate::dialect::converse::media::{Document, Image, Names};
use crate::dialect::converse::tools::{CachePoint, ToolConfig, tool_config};
use crate::dialect::hub::Sending;

/// What a result says that says nothing: no text may be blank.
const SILENT: &str = "(no output)";

/// Writes an ask that was fitted.
pub(in crate::dialect) fn write_request(ask: &Ask, sending: &Sending<'_>) -> String {
    let mut writer = Writer { ask, sending, maker: Maker::of(sending.model), documents: Names::default() };
    let messages = writer.messages();
    let thinks = messages.iter().rev().find(|message| message.role == "assistant").is_none_or(may_think);
    let additional = Additional::of(ask, writer.maker, thinks);
    let thinking = additional.thinks();
    let sampling = &ask.sampling;
    let effort = ask.reasoning.effort.filter(|_| writer.maker == Maker::Claude && !ask.reasoning.is_off());
    written(&Body {
        messages,
        system: writer.system(),
        inference_config: InferenceConfig {
            max_tokens: ask.output_cap.or(sending.output_cap),
            // a thinking Claude takes none of these
            temperature: sampling.temperature.as_ref().filter(|_| !thinking),
            top_p: sampling.top_p.as_ref().filter(|_| !thinking),
            stop_sequences: &ask.stop,
        }
        .said(),
        tool_config: tool_config(ask, sending, writer.maker),
        additional_model_response_field_paths: if ask.stop.is_empty() || writer.maker != Maker::Claude { &[] } else { &["/stop_sequence"] },
        additional_model_request_fields: additional.said(),
        service_tier: ask.service_tier.as_deref().and_then(service_tier),
        output_config: OutputConfig { text_format: text_format(&ask.format), effort: effort.map(|effort| effort.word()) }.said(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_config: Option<InferenceConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_request_fields: Option<Additional<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    additional_model_response_field_paths: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<ServiceTier<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Part<'a>>,
}

/// A block: an object whose one member says what it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Part<'a> {
    Text(Cow<'a, str>),
    Image(Image<'a>),
    Document(Document<'a>),
    ToolUse(ToolUse<'a>),
    ToolResult(Returned<'a>),
    ReasoningContent(Thought<'a>),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'a> {
    tool_use_id: Cow<'a, str>,
    name: &'a str,
    input: Raw,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Returned<'a> {
    tool_use_id: Cow<'a, str>,
    content: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Thought<'a> {
    ReasoningText { text: &'a str, signature: &'a str },
    RedactedContent(&'a str),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a Raw>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
}

impl InferenceConfig<'_> {
    fn said(self) -> Option<Self> {
        let says = self.max_tokens.is_some() || self.temperature.is_some() || self.top_p.is_some() || !self.stop_sequences.is_empty();
        says.then_some(self)
    }
}

#[derive(Serialize)]
struct ServiceTier<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text_format: Option<TextFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
}

impl OutputConfig<'_> {
    fn said(self) -> Option<Self> {
        (self.text_format.is_some() || self.effort.is_some()).then_some(self)
    }
}

#[derive(Serialize)]
struct TextFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    structure: Structure<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Structure<'a> {
    json_schema: JsonSchema<'a>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    /// JSON as a text
    schema: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

struct Writer<'a> {
    ask: &'a Ask,
    sending: &'a Sending<'a>,
    maker: Maker,
    documents: Names,
}

impl<'a> Writer<'a> {
    /// The system turns at the beginning.
    fn system(&mut self) -> Vec<Part<'a>> {
        let turns = self.ask.turns.iter().take_while(|turn| turn.role == Role::System);
        let mut parts = Vec::new();
        turns.for_each(|turn| self.push_blocks(&turn.blocks, &mut parts));
        parts
    }

    /// The other turns; those of one role that follow each other, which blank texts may have left, are one.
    fn messages(&mut self) -> Vec<Message<'a>> {
        let turns = self.ask.turns.iter().skip_while(|turn| turn.role == Role::System);
        let mut messages: Vec<Message<'a>> = Vec::new();
        for turn in turns {
            let (role, mut content) = (role(turn), Vec::new());
            self.push_blocks(&turn.blocks, &mut content);
            match messages.last_mut() {
                _ if content.is_empty() => {}
                Some(before) if before.role == role => before.content.append(&mut content),
                _ => messages.push(Message { role, content }),
            }
        }
        messages
    }

    fn push_blocks(&mut self, blocks: &'a [Block], parts: &mut Vec<Part<'a>>) {
        for block in blocks {
            let before = parts.len();
            self.push_block(block, parts);
            let takes_hint = parts.len() > before && self.sending.capabilities.cache_hints;
            if let Some(cache) = block.cache.filter(|_| takes_hint) {
                parts.push(Part::CachePoint(CachePoint::of(cache)));
            }
        }
    }

    fn push_block(&mut self, block: &'a Block, parts: &mut Vec<Part<'a>>) {
        match &block.content {
            Content::Text(text) if text.trim().is_empty() => {}
            Content::Text(text) => parts.push(Part::Text(Cow::Borrowed(text))),
            Content::Image(media) => parts.extend(Image::of(media).map(Part::Image)),
            Content::Document(media) => parts.extend(self.documents.document(media).map(Part::Document)),
            Content::Reasoning(reasoned) => parts.extend(self.thought(reasoned).map(Part::ReasoningContent)),
            Content::ToolCall(call) if self.ask.tools.is_empty() => parts.push(Part::Text(told_call(call).into())),
            Content::ToolCall(call) => parts.push(Part::ToolUse(self.call(call))),
            Content::ToolResult(result) if self.ask.tools.is_empty() => self.push_told(result, parts),
            Content::ToolResult(result) => {
                let result = self.result(result);
                parts.push(Part::ToolResult(result));
            }
        }
    }

    fn call(&self, call: &'a ToolCall) -> ToolUse<'a> {
        let tool_use_id = fitting_id(&call.id, self.sending.capabilities.ids);
        ToolUse { tool_use_id, name: self.sending.names.sent(&call.name), input: call.object_raw() }
    }

    fn result(&mut self, result: &'a ToolResult) -> Returned<'a> {
        let mut content = Vec::new();
        for block in &result.blocks {
            self.push_block(block, &mut content);
        }
        if content.is_empty() {
            content.push(Part::Text(Cow::Borrowed(SILENT)));
        }
        let tool_use_id = fitting_id(&result.id, self.sending.capabilities.ids);
        Returned { tool_use_id, content, status: result.is_error.then_some("error") }
    }

    /// A result where no tool is declared: Converse takes calls and results only beside the declarations.
    fn push_told(&mut self, result: &'a ToolResult, parts: &mut Vec<Part<'a>>) {
        let name = result.name.as_deref().unwrap_or("a tool");
        let verb = if result.is_error { "failed" } else { "returned" };
        parts.push(Part::Text(format!("[{name} {verb}:]").into()));
        for block in &result.blocks {
            self.push_block(block, parts);
        }
    }

    fn thought(&self, reasoned: &'a Reasoned) -> Option<Thought<'a>> {
        let opaque = reasoned.opaque.as_ref().filter(|opaque| self.is_own(opaque))?;
        Some(match opaque.kind {
            OpaqueKind::Signature if reasoned.text.trim().is_empty() => return None,
            OpaqueKind::Signature => Thought::ReasoningText { text: &reasoned.text, signature: &opaque.data },
            OpaqueKind::Redacted => Thought::RedactedContent(&opaque.data),
        })
    }

    /// Only what this model made, wherever it ran.
    fn is_own(&self, opaque: &Opaque) -> bool {
        opaque.origin.as_ref().is_some_and(|origin| {
            origin.dialect == Dialect::Converse.word() && plain_id(&origin.model) == plain_id(self.sending.model)
        })
    }
}

/// Whether a model with a thinking budget may think: a turn of calls that is still going on must begin with its thoughts.
fn may_think(last: &Message<'_>) -> bool {
    let has_calls = last.content.iter().any(|part| matches!(part, Part::ToolUse(_)));
    !has_calls || matches!(last.content.first(), Some(Part::ReasoningContent(_)))
}

fn role(turn: &Turn) -> &'static str {
    match turn.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn told_call(call: &ToolCall) -> String {
    format!("[{} called with {}]", call.name, call.object())
}

/// The usual tier needs no word.
fn service_tier(tier: &str) -> Option<ServiceTier<'_>> {
    (!matches!(tier, "auto" | "standard" | "standard_only")).then_some(ServiceTier { kind: tier })
}

fn text_format(format: &Format) -> Option<TextFormat<'_>> {
    let Format::JsonSchema { name, description, schema, .. } = format else { return None };
    let json_schema = JsonSchema { schema: schema.as_str().into(), name, description: description.as_deref() };
    Some(TextFormat { kind: "json_schema", structure: Structure { json_schema } })
}
