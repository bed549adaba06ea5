//! A neutral ask as the body of an `/api/chat` request. It streams unless told not to, and its arguments of calls are objects.

use serde::Serialize;

use crate::conversation::{
    ChatRequest, Content, ContentBlock, Format, Media, RawJson, Role, Source, Tool, ToolCall,
    ToolResult, Turn,
};
use crate::dialect::answer::written;
use crate::dialect::hub::EncodeOptions;

/// What stands before the text of a result that tells a failure: the dialect has no flag for it.
const FAILED: &str = "Error: ";
/// Between the texts of one turn, which are one text here.
const BETWEEN: &str = "\n\n";

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolDeclaration<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Shape<'a>>,
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
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<&'a str>,
}

#[derive(Serialize)]
struct Call<'a> {
    function: FunctionCall<'a>,
}

#[derive(Serialize)]
struct FunctionCall<'a> {
    name: &'a str,
    arguments: RawJson,
}

#[derive(Serialize)]
struct ToolDeclaration<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a RawJson,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Shape<'a> {
    Word(&'static str),
    Schema(&'a RawJson),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Think {
    Switch(bool),
    Word(&'static str),
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

/// The request's body.
pub(in crate::dialect) fn encode_request(ask: &ChatRequest, sending: &EncodeOptions<'_>) -> String {
    let writer = Writer { sending };
    let mut messages = Vec::with_capacity(ask.turns.len());
    ask.turns
        .iter()
        .for_each(|turn| writer.turn(turn, &mut messages));
    let sampling = &ask.sampling;
    written(&Body {
        model: sending.model,
        messages,
        stream: ask.streamed,
        tools: ask.tools.iter().map(|tool| writer.declared(tool)).collect(),
        format: shape(&ask.format),
        think: think(ask),
        options: Options {
            num_predict: sending.output_cap,
            temperature: sampling.temperature.as_ref(),
            top_p: sampling.top_p.as_ref(),
            top_k: sampling.top_k.as_ref(),
            frequency_penalty: sampling.frequency_penalty.as_ref(),
            presence_penalty: sampling.presence_penalty.as_ref(),
            seed: sampling.seed.as_ref(),
            stop: &ask.stop,
        },
    })
}

struct Writer<'a> {
    sending: &'a EncodeOptions<'a>,
}

impl<'a> Writer<'a> {
    fn turn(&self, turn: &'a Turn, messages: &mut Vec<Message<'a>>) {
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
            thinking: thoughts(&turn.blocks),
            tool_name: None,
        };
        if !message.content.is_empty()
            || !message.images.is_empty()
            || !message.tool_calls.is_empty()
        {
            messages.push(message);
        }
    }

    fn call(&self, call: &'a ToolCall) -> Call<'a> {
        Call {
            function: FunctionCall {
                name: self.sending.names.sent(&call.name),
                arguments: call.object_raw(),
            },
        }
    }

    fn result(&self, result: &'a ToolResult) -> Message<'a> {
        let text = result.text();
        Message {
            role: "tool",
            content: if result.is_error {
                format!("{FAILED}{text}")
            } else {
                text
            },
            images: images(&result.blocks),
            tool_name: result
                .name
                .as_deref()
                .map(|name| self.sending.names.sent(name)),
            ..Message::default()
        }
    }

    fn declared(&self, tool: &'a Tool) -> ToolDeclaration<'a> {
        let function = Function {
            name: self.sending.names.sent(&tool.name),
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
        .join(BETWEEN)
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

/// Thoughts that nobody signed: those of models like these.
fn thoughts(blocks: &[ContentBlock]) -> Option<String> {
    let thoughts = blocks.iter().filter_map(|block| match &block.content {
        Content::Reasoning(reasoned) if reasoned.opaque.is_none() => Some(reasoned.text.as_str()),
        _ => None,
    });
    let thoughts = thoughts.collect::<Vec<_>>().join(BETWEEN);
    (!thoughts.is_empty()).then_some(thoughts)
}

fn shape(format: &Format) -> Option<Shape<'_>> {
    match format {
        Format::Text => None,
        Format::JsonObject => Some(Shape::Word("json")),
        Format::JsonSchema { schema, .. } => Some(Shape::Schema(schema)),
    }
}

fn think(ask: &ChatRequest) -> Option<Think> {
    match ask.reasoning.effort {
        _ if ask.reasoning.is_off() => Some(Think::Switch(false)),
        Some(effort) => Some(Think::Word(effort.as_str())),
        None => ask.reasoning.adaptive.then_some(Think::Switch(true)),
    }
}
