//! Encoder of chat requests. Equal requests give equal bytes, so that the upstream's cache is hit.

use std::borrow::Cow;

use serde::Serialize;

use crate::conversation::{
    ChatRequest, Content, ContentBlock, Effort, Format, Media, RawJson, Role, Source, Tool,
    ToolCall, ToolChoice, ToolResult, Turn, fit_call_id,
};
use crate::dialect::codec::EncodeOptions;
use crate::dialect::wire::json::to_json;

/// Prefix of a failed tool result: the dialect has no flag for failures.
const FAILED: &str = "Error: ";
/// Text of a tool result whose image follows in a user message: results are text only.
const IMAGE_FOLLOWS: &str = "(the image follows)";
/// Assistant message between tool results and a user message, for vendors that require one.
const UNDERSTOOD: &str = "Understood.";

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: &'a Option<RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: &'a Option<RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: &'a Option<RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: &'a Option<RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: &'a Option<RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: &'a Option<RawJson>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolDeclaration<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
    content: Contents<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Contents<'a> {
    None,
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
    File { file: File<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: Cow<'a, str>,
}

#[derive(Serialize)]
struct File<'a> {
    filename: &'a str,
    file_data: String,
}

#[derive(Serialize)]
struct Call<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionCall<'a>,
}

#[derive(Serialize)]
struct FunctionCall<'a> {
    name: &'a str,
    arguments: &'a str,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Choice<'a> {
    Word(&'static str),
    Named {
        #[serde(rename = "type")]
        kind: &'static str,
        function: Name<'a>,
    },
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormat<'a> {
    JsonObject,
    JsonSchema { json_schema: JsonSchema<'a> },
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    schema: &'a RawJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// Encodes a request that fits the model.
pub(in crate::dialect) fn encode_request(
    chat: &ChatRequest,
    options: &EncodeOptions<'_>,
) -> String {
    let mut messages = Vec::with_capacity(chat.turns.len() + 1);
    for turn in &chat.turns {
        push_turn(&mut messages, turn, options);
    }
    let newer = options.output_cap_field == "max_completion_tokens";
    let sampling = &chat.sampling;
    to_json(&Body {
        model: options.model,
        messages,
        max_completion_tokens: options.output_cap.filter(|_| newer),
        max_tokens: options.output_cap.filter(|_| !newer),
        temperature: &sampling.temperature,
        top_p: &sampling.top_p,
        top_k: &sampling.top_k,
        frequency_penalty: &sampling.frequency_penalty,
        presence_penalty: &sampling.presence_penalty,
        seed: &sampling.seed,
        stop: &chat.stop,
        tools: chat
            .tools
            .iter()
            .map(|tool| declared(tool, options))
            .collect(),
        tool_choice: tool_choice(&chat.tool_choice, options),
        parallel_tool_calls: chat.parallel_tools,
        response_format: response_format(&chat.format),
        reasoning_effort: chat.reasoning.effort.map(Effort::as_str),
        user: chat.user.as_deref(),
        service_tier: chat.service_tier.as_deref(),
        stream: chat.streamed,
        stream_options: (chat.streamed && options.stream_usage_opt_in).then_some(StreamOptions {
            include_usage: true,
        }),
    })
}

/// One turn. Tool results are messages of their own; their media follow in a user message.
fn push_turn<'a>(messages: &mut Vec<Message<'a>>, turn: &'a Turn, options: &EncodeOptions<'a>) {
    let (mut parts, mut calls, mut reasoning) = (Vec::new(), Vec::new(), Vec::new());
    for block in &turn.blocks {
        match &block.content {
            Content::ToolResult(result) => {
                messages.push(tool_message(result, options));
                parts.extend(result.blocks.iter().filter_map(medium));
            }
            Content::ToolCall(call) => calls.push(called(call, options)),
            Content::Reasoning(reasoned) => reasoning.push(reasoned.text.as_str()),
            Content::Text(text) => parts.push(Part::Text { text }),
            Content::Image(_) | Content::Document(_) => parts.extend(medium(block)),
        }
    }
    if parts.is_empty() && calls.is_empty() {
        return;
    }
    let role = match turn.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let follows_results = messages
        .last()
        .is_some_and(|message| message.role == "tool");
    if turn.role == Role::User && follows_results && !options.capabilities.user_after_results {
        let content = Contents::Text(Cow::Borrowed(UNDERSTOOD));
        messages.push(Message {
            role: "assistant",
            tool_call_id: None,
            content,
            tool_calls: Vec::new(),
            reasoning_content: None,
        });
    }
    // reasoning goes back only to a model that wants it beside its calls
    let is_returned = options.capabilities.returned_reasoning && !calls.is_empty();
    let reasoning = is_returned.then(|| reasoning.join("\n"));
    messages.push(Message {
        role,
        tool_call_id: None,
        content: contents(parts, turn.role),
        tool_calls: calls,
        reasoning_content: reasoning.filter(|text| !text.is_empty()),
    });
}

/// The simplest form of parts: a single text is a string, and an assistant's parts are its text.
fn contents(mut parts: Vec<Part<'_>>, role: Role) -> Contents<'_> {
    if parts.is_empty() {
        return Contents::None;
    }
    if let [Part::Text { text }] = parts.as_slice() {
        return Contents::Text(Cow::Borrowed(text));
    }
    if role == Role::User {
        return Contents::Parts(parts);
    }
    let texts: Vec<&str> = parts
        .drain(..)
        .filter_map(|part| match part {
            Part::Text { text } => Some(text),
            _ => None,
        })
        .collect();
    Contents::Text(Cow::Owned(texts.join(if role == Role::System {
        "\n\n"
    } else {
        ""
    })))
}

fn tool_message<'a>(result: &'a ToolResult, options: &EncodeOptions<'a>) -> Message<'a> {
    let mut text = result.text();
    if text.is_empty() && result.blocks.iter().any(|block| medium(block).is_some()) {
        text.push_str(IMAGE_FOLLOWS);
    }
    if result.is_error {
        text.insert_str(0, FAILED);
    }
    let id = fit_call_id(&result.id, options.capabilities.ids);
    Message {
        role: "tool",
        tool_call_id: Some(id),
        content: Contents::Text(text.into()),
        tool_calls: Vec::new(),
        reasoning_content: None,
    }
}

fn called<'a>(call: &'a ToolCall, options: &EncodeOptions<'a>) -> Call<'a> {
    let arguments = if call.arguments.trim().is_empty() {
        "{}"
    } else {
        &call.arguments
    };
    Call {
        id: fit_call_id(&call.id, options.capabilities.ids),
        kind: "function",
        function: FunctionCall {
            name: options.names.sent(&call.name),
            arguments,
        },
    }
}

/// An image or document as a part; a text document as its text. `None` for what `fit` refuses.
fn medium(block: &ContentBlock) -> Option<Part<'_>> {
    match &block.content {
        Content::Image(Media {
            mime,
            source: Source::Base64(data),
            ..
        }) => {
            let mime = if mime.is_empty() { "image/png" } else { mime };
            Some(Part::ImageUrl {
                image_url: ImageUrl {
                    url: format!("data:{mime};base64,{data}").into(),
                },
            })
        }
        Content::Image(Media {
            source: Source::Url(url),
            ..
        }) => Some(Part::ImageUrl {
            image_url: ImageUrl {
                url: Cow::Borrowed(url),
            },
        }),
        Content::Document(Media {
            mime,
            source: Source::Base64(data),
            name,
        }) => {
            let filename = name.as_deref().unwrap_or("document.pdf");
            Some(Part::File {
                file: File {
                    filename,
                    file_data: format!("data:{mime};base64,{data}"),
                },
            })
        }
        Content::Document(Media {
            source: Source::Text(text),
            ..
        }) => Some(Part::Text { text }),
        _ => None,
    }
}

fn declared<'a>(tool: &'a Tool, options: &EncodeOptions<'a>) -> ToolDeclaration<'a> {
    let function = Function {
        name: options.names.sent(&tool.name),
        description: tool.description.as_deref(),
        parameters: &tool.schema,
        strict: tool.strict,
    };
    ToolDeclaration {
        kind: "function",
        function,
    }
}

fn tool_choice<'a>(choice: &'a ToolChoice, options: &EncodeOptions<'a>) -> Option<Choice<'a>> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(Choice::Word("none")),
        ToolChoice::Any => Some(Choice::Word("required")),
        ToolChoice::Named(name) => Some(Choice::Named {
            kind: "function",
            function: Name {
                name: options.names.sent(name),
            },
        }),
    }
}

fn response_format(format: &Format) -> Option<ResponseFormat<'_>> {
    match format {
        Format::Text => None,
        Format::JsonObject => Some(ResponseFormat::JsonObject),
        Format::JsonSchema {
            name,
            description,
            schema,
            strict,
        } => Some(ResponseFormat::JsonSchema {
            json_schema: JsonSchema {
                name,
                description: description.as_deref(),
                schema,
                strict: *strict,
            },
        }),
    }
}

#[cfg(test)]
mod tests;
