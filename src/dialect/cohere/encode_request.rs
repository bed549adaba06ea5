//! Encodes a canonical request as the body of `/v2/chat`. Takes a request that was fitted to the
//! model's capabilities. Text beside calls is sent as `tool_plan`. Must never send reasoning that
//! another vendor signed.

use std::borrow::Cow;

use serde::Serialize;

use crate::conversation::{
    ChatRequest, Content, ContentBlock, Format, Media, RawJson, Role, Source, Tool, ToolCall,
    ToolChoice, ToolResult, Turn, fit_call_id,
};
use crate::dialect::codec::EncodeOptions;
use crate::dialect::schema::without_kind;
use crate::dialect::wire::json::to_json;

/// Prefix of a failed tool result: the dialect has no error flag.
const ERROR_PREFIX: &str = "Error: ";

#[derive(Serialize)]
struct RequestBody<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolDeclaration<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict_tools: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<ThinkingConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<&'a RawJson>,
}

#[derive(Serialize, Default)]
struct Message<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_plan: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<MessageCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<MessageContent<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum MessageContent<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<ContentPart<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ContentPart<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: Cow<'a, str>,
}

#[derive(Serialize)]
struct MessageCall<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    function: CallFunction<'a>,
}

#[derive(Serialize)]
struct CallFunction<'a> {
    name: &'a str,
    arguments: Cow<'a, str>,
}

#[derive(Serialize)]
struct ToolDeclaration<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionDeclaration<'a>,
}

#[derive(Serialize)]
struct FunctionDeclaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: Cow<'a, RawJson>,
}

#[derive(Serialize)]
struct ResponseFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<Cow<'a, RawJson>>,
}

#[derive(Serialize)]
struct ThinkingConfig {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_budget: Option<u64>,
}

/// Body of the upstream request.
pub(in crate::dialect) fn encode_request(
    request: &ChatRequest,
    options: &EncodeOptions<'_>,
) -> String {
    let encoder = Encoder { options };
    let mut messages = Vec::with_capacity(request.turns.len());
    request
        .turns
        .iter()
        .for_each(|turn| encoder.push_turn(turn, &mut messages));
    let (tools, tool_choice) = encoder.tools(request);
    let sampling = &request.sampling;
    to_json(&RequestBody {
        model: options.model,
        messages,
        stream: request.streamed,
        strict_tools: !request.tools.is_empty()
            && request.tools.iter().all(|tool| tool.strict == Some(true)),
        tools,
        tool_choice,
        response_format: response_format(&request.format),
        thinking: thinking_config(request),
        max_tokens: options.output_cap,
        stop_sequences: &request.stop,
        temperature: sampling.temperature.as_ref(),
        p: sampling.top_p.as_ref(),
        k: sampling.top_k.as_ref(),
        seed: sampling.seed.as_ref(),
        frequency_penalty: sampling.frequency_penalty.as_ref(),
        presence_penalty: sampling.presence_penalty.as_ref(),
    })
}

struct Encoder<'a> {
    options: &'a EncodeOptions<'a>,
}

impl<'a> Encoder<'a> {
    fn push_turn(&self, turn: &'a Turn, messages: &mut Vec<Message<'a>>) {
        match turn.role {
            Role::System => messages.extend(content_message("system", &turn.blocks)),
            Role::Assistant => messages.extend(self.assistant(turn)),
            Role::User => {
                let results = turn.blocks.iter().filter_map(|block| match &block.content {
                    Content::ToolResult(result) => Some(self.result(result)),
                    _ => None,
                });
                messages.extend(results);
                messages.extend(content_message("user", &turn.blocks));
            }
        }
    }

    /// A Cohere message has either content or calls: text beside calls becomes their plan.
    fn assistant(&self, turn: &'a Turn) -> Option<Message<'a>> {
        let calls = turn.blocks.iter().filter_map(|block| match &block.content {
            Content::ToolCall(call) => Some(self.call(call)),
            _ => None,
        });
        let tool_calls: Vec<MessageCall<'_>> = calls.collect();
        if tool_calls.is_empty() {
            return content_message("assistant", &turn.blocks);
        }
        Some(Message {
            role: "assistant",
            tool_plan: tool_plan(&turn.blocks),
            tool_calls,
            ..Message::default()
        })
    }

    fn call(&self, call: &'a ToolCall) -> MessageCall<'a> {
        let function = CallFunction {
            name: self.options.names.sent(&call.name),
            arguments: call.object(),
        };
        MessageCall {
            id: self.id(&call.id),
            kind: "function",
            function,
        }
    }

    fn result(&self, result: &'a ToolResult) -> Message<'a> {
        let text = result.text();
        let text = if result.is_error {
            format!("{ERROR_PREFIX}{text}")
        } else {
            text
        };
        let content = Some(MessageContent::Text(text.into()));
        Message {
            role: "tool",
            tool_call_id: Some(self.id(&result.id)),
            content,
            ..Message::default()
        }
    }

    fn id(&self, id: &'a str) -> Cow<'a, str> {
        fit_call_id(id, self.options.capabilities.ids)
    }

    /// Tools and tool choice. Cohere cannot force one tool by name: the others are left out.
    fn tools(&self, request: &'a ChatRequest) -> (Vec<ToolDeclaration<'a>>, Option<&'static str>) {
        let (forced, choice) = match &request.tool_choice {
            ToolChoice::Auto => (None, None),
            ToolChoice::None => (None, Some("NONE")),
            ToolChoice::Any => (None, Some("REQUIRED")),
            ToolChoice::Named(name) => (Some(name), Some("REQUIRED")),
        };
        let tools = request
            .tools
            .iter()
            .filter(|tool| forced.is_none_or(|name| *name == tool.name));
        (tools.map(|tool| self.declaration(tool)).collect(), choice)
    }

    fn declaration(&self, tool: &'a Tool) -> ToolDeclaration<'a> {
        let function = FunctionDeclaration {
            name: self.options.names.sent(&tool.name),
            description: tool.description.as_deref(),
            parameters: without_kind(&tool.schema),
        };
        ToolDeclaration {
            kind: "function",
            function,
        }
    }
}

/// Message with the texts and images of a turn; `None` without any.
fn content_message<'a>(role: &'static str, blocks: &'a [ContentBlock]) -> Option<Message<'a>> {
    let mut parts: Vec<ContentPart<'a>> = blocks
        .iter()
        .filter_map(|block| content_part(&block.content))
        .collect();
    let content = match parts.as_slice() {
        [] => return None,
        [ContentPart::Text { .. }] => match parts.pop() {
            Some(ContentPart::Text { text }) => MessageContent::Text(Cow::Borrowed(text)),
            _ => return None,
        },
        _ => MessageContent::Parts(parts),
    };
    Some(Message {
        role,
        content: Some(content),
        ..Message::default()
    })
}

fn content_part(content: &Content) -> Option<ContentPart<'_>> {
    match content {
        Content::Text(text) if !text.is_empty() => Some(ContentPart::Text { text }),
        Content::Document(Media {
            source: Source::Text(text),
            ..
        }) if !text.is_empty() => Some(ContentPart::Text { text }),
        Content::Image(Media { mime, source, .. }) => {
            let url = match source {
                Source::Base64(data) => Cow::Owned(format!("data:{mime};base64,{data}")),
                Source::Url(url) => Cow::Borrowed(url.as_str()),
                Source::Text(_) | Source::File(_) => return None,
            };
            Some(ContentPart::ImageUrl {
                image_url: ImageUrl { url },
            })
        }
        _ => None,
    }
}

/// Plan of a turn with calls: its text, else its unsigned reasoning.
fn tool_plan(blocks: &[ContentBlock]) -> Option<String> {
    let texts = |is_reasoning: bool| -> Vec<&str> {
        let texts = blocks.iter().filter_map(|block| match &block.content {
            Content::Text(text) if !is_reasoning => Some(text.as_str()),
            Content::Reasoning(reasoning) if is_reasoning && reasoning.provider_state.is_none() => {
                Some(reasoning.text.as_str())
            }
            _ => None,
        });
        texts.filter(|text| !text.is_empty()).collect()
    };
    let text = texts(false);
    let plan = if text.is_empty() { texts(true) } else { text };
    (!plan.is_empty()).then(|| plan.join("\n"))
}

fn response_format(format: &Format) -> Option<ResponseFormat<'_>> {
    let json_schema = match format {
        Format::Text => return None,
        Format::JsonObject => None,
        Format::JsonSchema { schema, .. } => Some(without_kind(schema)),
    };
    Some(ResponseFormat {
        kind: "json_object",
        json_schema,
    })
}

/// Reasoning models think unless it is disabled; a budget must be positive.
fn thinking_config(request: &ChatRequest) -> Option<ThinkingConfig> {
    let reasoning = &request.reasoning;
    if reasoning.is_off() || reasoning.budget == Some(0) {
        return Some(ThinkingConfig {
            kind: "disabled",
            token_budget: None,
        });
    }
    (reasoning.adaptive || reasoning.budget.is_some()).then_some(ThinkingConfig {
        kind: "enabled",
        token_budget: reasoning.budget,
    })
}
