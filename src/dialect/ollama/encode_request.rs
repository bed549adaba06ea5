//! Encodes a canonical request as the body of `/api/chat`. Takes a request that was fitted to the
//! model's capabilities. Ollama streams by default, so `stream` is always set, and it takes call
//! arguments as objects. Must never send reasoning that a vendor signed.

use serde::Serialize;

use crate::conversation::{
    ChatRequest, Content, ContentBlock, Format, Media, RawJson, Role, Source, Tool, ToolCall,
    ToolResult, Turn,
};
use crate::dialect::codec::EncodeOptions;
use crate::dialect::wire::json::to_json;

/// Prefix of a failed tool result: the dialect has no error flag.
const ERROR_PREFIX: &str = "Error: ";
/// Separator of the texts of a turn, which become one text.
const TEXT_SEPARATOR: &str = "\n\n";

#[derive(Serialize)]
struct RequestBody<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolDeclaration<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<Think>,
    options: Options<'a>,
}

#[derive(Serialize, Default)]
struct Message<'a> {
    role: &'static str,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<MessageCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<&'a str>,
}

#[derive(Serialize)]
struct MessageCall<'a> {
    function: CallFunction<'a>,
}

#[derive(Serialize)]
struct CallFunction<'a> {
    name: &'a str,
    arguments: RawJson,
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
    parameters: &'a RawJson,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ResponseFormat<'a> {
    Mode(&'static str),
    Schema(&'a RawJson),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Think {
    Switch(bool),
    Level(&'static str),
}

#[derive(Serialize)]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    num_predict: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
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
    let sampling = &request.sampling;
    to_json(&RequestBody {
        model: options.model,
        messages,
        stream: request.streamed,
        tools: request
            .tools
            .iter()
            .map(|tool| encoder.declaration(tool))
            .collect(),
        format: response_format(&request.format),
        think: think(request),
        options: Options {
            num_predict: options.output_cap,
            temperature: sampling.temperature.as_ref(),
            top_p: sampling.top_p.as_ref(),
            top_k: sampling.top_k.as_ref(),
            frequency_penalty: sampling.frequency_penalty.as_ref(),
            presence_penalty: sampling.presence_penalty.as_ref(),
            seed: sampling.seed.as_ref(),
            stop: &request.stop,
        },
    })
}

struct Encoder<'a> {
    options: &'a EncodeOptions<'a>,
}

impl<'a> Encoder<'a> {
    fn push_turn(&self, turn: &'a Turn, messages: &mut Vec<Message<'a>>) {
        let results = turn.blocks.iter().filter_map(|block| match &block.content {
            Content::ToolResult(result) => Some(self.result(result)),
            _ => None,
        });
        messages.extend(results);
        let calls = turn.blocks.iter().filter_map(|block| match &block.content {
            Content::ToolCall(call) => Some(self.call(call)),
            _ => None,
        });
        let role = match turn.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let (content, images) = (texts(&turn.blocks), images(&turn.blocks));
        let message = Message {
            role,
            content,
            images,
            tool_calls: calls.collect(),
            thinking: reasoning_text(&turn.blocks),
            tool_name: None,
        };
        if !message.content.is_empty()
            || !message.images.is_empty()
            || !message.tool_calls.is_empty()
        {
            messages.push(message);
        }
    }

    fn call(&self, call: &'a ToolCall) -> MessageCall<'a> {
        MessageCall {
            function: CallFunction {
                name: self.options.names.sent(&call.name),
                arguments: call.object_raw(),
            },
        }
    }

    fn result(&self, result: &'a ToolResult) -> Message<'a> {
        let text = result.text();
        Message {
            role: "tool",
            content: if result.is_error {
                format!("{ERROR_PREFIX}{text}")
            } else {
                text
            },
            images: images(&result.blocks),
            tool_name: result
                .name
                .as_deref()
                .map(|name| self.options.names.sent(name)),
            ..Message::default()
        }
    }

    fn declaration(&self, tool: &'a Tool) -> ToolDeclaration<'a> {
        let function = FunctionDeclaration {
            name: self.options.names.sent(&tool.name),
            description: tool.description.as_deref(),
            parameters: &tool.schema,
        };
        ToolDeclaration {
            kind: "function",
            function,
        }
    }
}

fn texts(blocks: &[ContentBlock]) -> String {
    let texts = blocks.iter().filter_map(|block| match &block.content {
        Content::Text(text)
        | Content::Document(Media {
            source: Source::Text(text),
            ..
        }) => Some(text.as_str()),
        _ => None,
    });
    texts
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(TEXT_SEPARATOR)
}

fn images(blocks: &[ContentBlock]) -> Vec<&str> {
    let images = blocks.iter().filter_map(|block| match &block.content {
        Content::Image(Media {
            source: Source::Base64(data),
            ..
        }) => Some(data.as_str()),
        _ => None,
    });
    images.collect()
}

/// Unsigned reasoning: the kind that models served by Ollama produce.
fn reasoning_text(blocks: &[ContentBlock]) -> Option<String> {
    let texts = blocks.iter().filter_map(|block| match &block.content {
        Content::Reasoning(reasoning) if reasoning.provider_state.is_none() => {
            Some(reasoning.text.as_str())
        }
        _ => None,
    });
    let text = texts.collect::<Vec<_>>().join(TEXT_SEPARATOR);
    (!text.is_empty()).then_some(text)
}

fn response_format(format: &Format) -> Option<ResponseFormat<'_>> {
    match format {
        Format::Text => None,
        Format::JsonObject => Some(ResponseFormat::Mode("json")),
        Format::JsonSchema { schema, .. } => Some(ResponseFormat::Schema(schema)),
    }
}

fn think(request: &ChatRequest) -> Option<Think> {
    match request.reasoning.effort {
        _ if request.reasoning.is_off() => Some(Think::Switch(false)),
        Some(effort) => Some(Think::Level(effort.as_str())),
        None => request.reasoning.adaptive.then_some(Think::Switch(true)),
    }
}
