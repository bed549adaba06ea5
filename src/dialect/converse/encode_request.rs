//! Encodes a canonical request as the body of Converse. Takes a request that was fitted to the
//! model's capabilities; model and streaming are part of the URL. Must never send a blank text, two
//! messages of one role in a row, or reasoning of another model: Converse rejects each with a 400.

use std::borrow::Cow;

use serde::Serialize;

use crate::conversation::{
    ChatRequest, Content, ContentBlock, Format, ProviderState, ProviderStateKind, RawJson,
    ReasoningBlock, Role, ToolCall, ToolResult, Turn, fit_call_id,
};
use crate::dialect::codec::EncodeOptions;
use crate::dialect::converse::media::{Document, DocumentNames, Image};
use crate::dialect::converse::model_family::{ModelFamily, base_model_id};
use crate::dialect::converse::model_fields::ModelFields;
use crate::dialect::converse::tools::{CachePoint, ToolConfig, tool_config};
use crate::dialect::messages::schema;
use crate::dialect::name::Dialect;
use crate::dialect::wire::json::to_json;

/// Text of a tool result without output: Converse rejects blank texts.
const NO_OUTPUT: &str = "(no output)";
/// First user message of a conversation that lacks one: Converse requires it.
const OPENING: &str = "Begin.";
/// Text of a message with documents only: Converse requires a text.
const ATTACHED: &str = "(attached)";

/// Body of the upstream request. The leading system turns become `system`.
pub(in crate::dialect) fn encode_request(
    request: &ChatRequest,
    options: &EncodeOptions<'_>,
) -> String {
    let family = ModelFamily::of(options.model);
    let mut encoder = Encoder {
        request,
        options,
        documents: DocumentNames::default(),
    };
    let messages = encoder.messages();
    let may_think = messages
        .iter()
        .rev()
        .find(|message| message.role == "assistant")
        .is_none_or(may_think);
    let sampling = &request.sampling;
    let is_claude = family == ModelFamily::Claude;
    let effort = request
        .reasoning
        .effort
        .filter(|_| is_claude && request.reasoning.adaptive);
    to_json(&RequestBody {
        messages,
        system: encoder.system(),
        inference_config: InferenceConfig {
            max_tokens: request.output_cap.or(options.output_cap),
            temperature: sampling.temperature.as_ref(),
            top_p: sampling.top_p.as_ref(),
            stop_sequences: &request.stop,
        }
        .non_empty(),
        tool_config: tool_config(request, options, family),
        additional_model_request_fields: ModelFields::of(request, family, may_think).non_empty(),
        // only Claude reports the stop sequence that matched
        additional_model_response_field_paths: if is_claude && !request.stop.is_empty() {
            &["/stop_sequence"]
        } else {
            &[]
        },
        service_tier: request.service_tier.as_deref().and_then(service_tier),
        output_config: OutputConfig {
            text_format: text_format(&request.format, family),
            effort: effort.map(|effort| effort.as_str()),
        }
        .non_empty(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestBody<'a> {
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<ConverseBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_config: Option<InferenceConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_request_fields: Option<ModelFields<'a>>,
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
    content: Vec<ConverseBlock<'a>>,
}

/// Content block: an object with one field, which names its kind.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ConverseBlock<'a> {
    Text(Cow<'a, str>),
    Image(Image<'a>),
    Document(Document<'a>),
    ToolUse(ToolUseBlock<'a>),
    ToolResult(ToolResultBlock<'a>),
    ReasoningContent(ReasoningContentBlock<'a>),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolUseBlock<'a> {
    tool_use_id: Cow<'a, str>,
    name: &'a str,
    input: RawJson,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolResultBlock<'a> {
    tool_use_id: Cow<'a, str>,
    content: Vec<ConverseBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ReasoningContentBlock<'a> {
    ReasoningText { text: &'a str, signature: &'a str },
    RedactedContent(&'a str),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
}

impl InferenceConfig<'_> {
    fn non_empty(self) -> Option<Self> {
        let has_any = self.max_tokens.is_some()
            || self.temperature.is_some()
            || self.top_p.is_some()
            || !self.stop_sequences.is_empty();
        has_any.then_some(self)
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
    fn non_empty(self) -> Option<Self> {
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
    /// JSON in a string
    schema: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

struct Encoder<'a> {
    request: &'a ChatRequest,
    options: &'a EncodeOptions<'a>,
    documents: DocumentNames,
}

impl<'a> Encoder<'a> {
    /// Blocks of the leading system turns.
    fn system(&mut self) -> Vec<ConverseBlock<'a>> {
        let turns = self
            .request
            .turns
            .iter()
            .take_while(|turn| turn.role == Role::System);
        let mut content = Vec::new();
        turns.for_each(|turn| self.push_blocks(&turn.blocks, &mut content));
        content
    }

    /// Messages of the other turns. Dropped blank texts can leave neighbors of one role, which are
    /// merged.
    fn messages(&mut self) -> Vec<Message<'a>> {
        let turns = self
            .request
            .turns
            .iter()
            .skip_while(|turn| turn.role == Role::System);
        let mut messages: Vec<Message<'a>> = Vec::new();
        for turn in turns {
            let (role, mut content) = (role(turn), Vec::new());
            self.push_blocks(&turn.blocks, &mut content);
            match messages.last_mut() {
                _ if content.is_empty() => {}
                Some(previous) if previous.role == role => previous.content.append(&mut content),
                _ => messages.push(Message { role, content }),
            }
        }
        if messages
            .first()
            .is_none_or(|message| message.role != "user")
        {
            messages.insert(
                0,
                Message {
                    role: "user",
                    content: vec![text_block(OPENING)],
                },
            );
        }
        messages.iter_mut().for_each(add_document_text);
        if let Some(ConverseBlock::Text(text)) = messages
            .last_mut()
            .filter(|last| last.role == "assistant")
            .and_then(|last| last.content.last_mut())
        {
            // Converse rejects a prefilled response that ends in white space
            *text = Cow::Owned(text.trim_end().to_owned());
        }
        messages
    }

    fn push_blocks(&mut self, blocks: &'a [ContentBlock], content: &mut Vec<ConverseBlock<'a>>) {
        for block in blocks {
            let length = content.len();
            self.push_block(block, content);
            let allows_cache_point =
                content.len() > length && self.options.capabilities.cache_hints;
            if let Some(cache) = block.cache.filter(|_| allows_cache_point) {
                content.push(ConverseBlock::CachePoint(CachePoint::of(cache)));
            }
        }
    }

    fn push_block(&mut self, block: &'a ContentBlock, content: &mut Vec<ConverseBlock<'a>>) {
        match &block.content {
            Content::Text(text) if text.trim().is_empty() => {}
            Content::Text(text) => content.push(ConverseBlock::Text(Cow::Borrowed(text))),
            Content::Image(media) => content.extend(Image::of(media).map(ConverseBlock::Image)),
            Content::Document(media) => {
                content.extend(self.documents.document(media).map(ConverseBlock::Document))
            }
            Content::Reasoning(reasoning) => content.extend(
                self.reasoning(reasoning)
                    .map(ConverseBlock::ReasoningContent),
            ),
            Content::ToolCall(call) if self.request.tools.is_empty() => {
                content.push(ConverseBlock::Text(call_as_text(call).into()))
            }
            Content::ToolCall(call) => content.push(ConverseBlock::ToolUse(self.tool_use(call))),
            Content::ToolResult(result) if self.request.tools.is_empty() => {
                self.push_result_as_text(result, content)
            }
            Content::ToolResult(result) => {
                let result = self.tool_result(result);
                content.push(ConverseBlock::ToolResult(result));
            }
        }
    }

    fn tool_use(&self, call: &'a ToolCall) -> ToolUseBlock<'a> {
        let tool_use_id = fit_call_id(&call.id, self.options.capabilities.ids);
        ToolUseBlock {
            tool_use_id,
            name: self.options.names.sent(&call.name),
            input: call.object_raw(),
        }
    }

    fn tool_result(&mut self, result: &'a ToolResult) -> ToolResultBlock<'a> {
        let mut content = Vec::new();
        for block in &result.blocks {
            self.push_block(block, &mut content);
        }
        if content.is_empty() {
            content.push(text_block(NO_OUTPUT));
        }
        let tool_use_id = fit_call_id(&result.id, self.options.capabilities.ids);
        ToolResultBlock {
            tool_use_id,
            content,
            status: result.is_error.then_some("error"),
        }
    }

    /// Result as text for a request without tools: Converse accepts tool blocks only with declared
    /// tools.
    fn push_result_as_text(
        &mut self,
        result: &'a ToolResult,
        content: &mut Vec<ConverseBlock<'a>>,
    ) {
        let name = result.name.as_deref().unwrap_or("a tool");
        let verb = if result.is_error {
            "failed"
        } else {
            "returned"
        };
        content.push(ConverseBlock::Text(format!("[{name} {verb}:]").into()));
        for block in &result.blocks {
            self.push_block(block, content);
        }
    }

    fn reasoning(&self, reasoning: &'a ReasoningBlock) -> Option<ReasoningContentBlock<'a>> {
        let provider_state = reasoning
            .provider_state
            .as_ref()
            .filter(|provider_state| self.is_own(provider_state))?;
        Some(match provider_state.kind {
            ProviderStateKind::Signature if reasoning.text.trim().is_empty() => return None,
            ProviderStateKind::Signature => ReasoningContentBlock::ReasoningText {
                text: &reasoning.text,
                signature: &provider_state.data,
            },
            ProviderStateKind::Redacted => {
                ReasoningContentBlock::RedactedContent(&provider_state.data)
            }
        })
    }

    /// Only state made by the same model; the region can differ.
    fn is_own(&self, provider_state: &ProviderState) -> bool {
        provider_state.origin.as_ref().is_some_and(|origin| {
            origin.dialect == Dialect::Converse.as_str()
                && base_model_id(&origin.model) == base_model_id(self.options.model)
        })
    }
}

fn text_block(text: &str) -> ConverseBlock<'_> {
    ConverseBlock::Text(Cow::Borrowed(text))
}

/// Adds the text that Converse requires beside documents.
fn add_document_text(message: &mut Message<'_>) {
    let has_block = |is: fn(&ConverseBlock<'_>) -> bool| message.content.iter().any(is);
    if has_block(|block| matches!(block, ConverseBlock::Document(_)))
        && !has_block(|block| matches!(block, ConverseBlock::Text(_)))
    {
        message.content.push(text_block(ATTACHED));
    }
}

/// True if the last assistant message allows a thinking budget: with calls it must begin with its
/// reasoning.
fn may_think(last: &Message<'_>) -> bool {
    let has_calls = last
        .content
        .iter()
        .any(|block| matches!(block, ConverseBlock::ToolUse(_)));
    !has_calls
        || matches!(
            last.content.first(),
            Some(ConverseBlock::ReasoningContent(_))
        )
}

fn role(turn: &Turn) -> &'static str {
    match turn.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn call_as_text(call: &ToolCall) -> String {
    format!("[{} called with {}]", call.name, call.object())
}

/// The default tier is not sent.
fn service_tier(tier: &str) -> Option<ServiceTier<'_>> {
    (!matches!(tier, "auto" | "standard" | "standard_only")).then_some(ServiceTier { kind: tier })
}

fn text_format(format: &Format, family: ModelFamily) -> Option<TextFormat<'_>> {
    let Format::JsonSchema {
        name,
        description,
        schema,
        ..
    } = format
    else {
        return None;
    };
    let schema = match family {
        ModelFamily::Claude => Cow::Owned(schema::closed(schema).as_str().to_owned()),
        _ => Cow::Borrowed(schema.as_str()),
    };
    let json_schema = JsonSchema {
        schema,
        name,
        description: description.as_deref(),
    };
    Some(TextFormat {
        kind: "json_schema",
        structure: Structure { json_schema },
    })
}

#[cfg(test)]
mod tests;
