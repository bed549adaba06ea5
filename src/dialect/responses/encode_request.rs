//! Encoder of Responses requests, for models that a vendor serves there only or with reasoning beside tools. Nothing is stored at the
//! vendor: reasoning comes back sealed, and each request carries the whole conversation. Equal requests give equal bytes.

use std::borrow::Cow;

use serde::Serialize;

use crate::conversation::{
    ChatRequest, Content, ContentBlock, Effort, Format, Media, RawJson, ReasoningBlock, Role,
    Source, Summary, Tool, ToolCall, ToolChoice, ToolResult, Turn, fit_call_id,
};
use crate::dialect::codec::EncodeOptions;
use crate::dialect::name::Dialect;
use crate::dialect::responses::sealed_item::SealedItem;
use crate::dialect::wire::json::to_json;

/// Prefix of a failed tool result: the dialect has no flag for failures.
const FAILED: &str = "Error: ";
/// Makes the vendor return its reasoning sealed.
const INCLUDE: &[&str] = &["reasoning.encrypted_content"];

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: &'a Option<RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: &'a Option<RawJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolDeclaration<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<TextOptions<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning>,
    include: &'static [&'static str],
    store: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item<'a> {
    Message {
        role: &'static str,
        content: Vec<Part<'a>>,
    },
    Reasoning {
        id: String,
        summary: Vec<Part<'a>>,
        encrypted_content: String,
    },
    FunctionCall {
        call_id: Cow<'a, str>,
        name: &'a str,
        arguments: &'a str,
    },
    FunctionCallOutput {
        call_id: Cow<'a, str>,
        output: Output<'a>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Output<'a> {
    Text(String),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    InputText {
        text: Cow<'a, str>,
    },
    OutputText {
        text: &'a str,
    },
    SummaryText {
        text: &'a str,
    },
    InputImage {
        image_url: Cow<'a, str>,
    },
    InputFile {
        filename: &'a str,
        file_data: String,
    },
}

#[derive(Serialize)]
struct ToolDeclaration<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a RawJson,
    /// stated always: a tool without it is strict
    strict: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Choice<'a> {
    Word(&'static str),
    Named {
        #[serde(rename = "type")]
        kind: &'static str,
        name: &'a str,
    },
}

#[derive(Serialize)]
struct TextOptions<'a> {
    format: FormatOption<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FormatOption<'a> {
    JsonObject,
    JsonSchema {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        schema: &'a RawJson,
        strict: bool,
    },
}

#[derive(Serialize)]
struct Reasoning {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'static str>,
}

/// Encodes a request that fits the model.
pub(in crate::dialect) fn encode_request(
    chat: &ChatRequest,
    options: &EncodeOptions<'_>,
) -> String {
    let is_system = |turn: &&Turn| turn.role == Role::System;
    let heads = chat.turns.iter().take_while(is_system);
    let instructions: Vec<String> = heads.map(|turn| texts(&turn.blocks)).collect();
    let mut input = Vec::with_capacity(chat.turns.len());
    for turn in chat.turns.iter().skip_while(is_system) {
        push_turn(&mut input, turn, options);
    }
    let tools = chat.tools.iter().map(|tool| declared(tool, options));
    to_json(&Body {
        model: options.model,
        input,
        instructions: (!instructions.is_empty()).then(|| instructions.join("\n\n")),
        max_output_tokens: options.output_cap,
        temperature: &chat.sampling.temperature,
        top_p: &chat.sampling.top_p,
        tools: tools.collect(),
        tool_choice: tool_choice(&chat.tool_choice, options),
        parallel_tool_calls: chat.parallel_tools,
        text: text_options(&chat.format),
        reasoning: reasoning(chat),
        include: INCLUDE,
        store: false,
        user: chat.user.as_deref(),
        service_tier: chat.service_tier.as_deref(),
        stream: chat.streamed,
    })
}

fn texts(blocks: &[ContentBlock]) -> String {
    let texts = blocks.iter().filter_map(|block| match &block.content {
        Content::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n\n")
}

/// Items of one turn, in its order; neighboring parts are one message.
fn push_turn<'a>(input: &mut Vec<Item<'a>>, turn: &'a Turn, options: &EncodeOptions<'a>) {
    let role = match turn.role {
        Role::System => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let mut content = Vec::new();
    for block in &turn.blocks {
        let item = match &block.content {
            Content::ToolResult(result) => Some(tool_result(result, options)),
            Content::ToolCall(call) => Some(called(call, options)),
            Content::Reasoning(reasoning) => match own_reasoning(reasoning, options) {
                Some(item) => Some(item),
                None => continue,
            },
            Content::Text(text) if turn.role == Role::Assistant => {
                content.push(Part::OutputText { text });
                None
            }
            _ => {
                content.extend(part(block));
                None
            }
        };
        if let Some(item) = item {
            flush(input, role, &mut content);
            input.push(item);
        }
    }
    flush(input, role, &mut content);
}

fn flush<'a>(input: &mut Vec<Item<'a>>, role: &'static str, content: &mut Vec<Part<'a>>) {
    if !content.is_empty() {
        let content = std::mem::take(content);
        input.push(Item::Message { role, content });
    }
}

/// Reasoning that this model made; the vendor rejects any other.
fn own_reasoning<'a>(
    reasoning: &'a ReasoningBlock,
    options: &EncodeOptions<'_>,
) -> Option<Item<'a>> {
    let state = reasoning.provider_state.as_ref()?;
    let origin = state.origin.as_ref()?;
    if origin.dialect != Dialect::Responses.as_str() || origin.model != options.model {
        return None;
    }
    let SealedItem {
        id,
        encrypted_content,
    } = SealedItem::read(&state.data)?;
    let text = reasoning.text.as_str();
    let summary = (!text.is_empty()).then_some(Part::SummaryText { text });
    Some(Item::Reasoning {
        id,
        summary: summary.into_iter().collect(),
        encrypted_content,
    })
}

fn called<'a>(call: &'a ToolCall, options: &EncodeOptions<'a>) -> Item<'a> {
    let arguments = if call.arguments.trim().is_empty() {
        "{}"
    } else {
        &call.arguments
    };
    Item::FunctionCall {
        call_id: fit_call_id(&call.id, options.capabilities.ids),
        name: options.names.sent(&call.name),
        arguments,
    }
}

fn tool_result<'a>(result: &'a ToolResult, options: &EncodeOptions<'a>) -> Item<'a> {
    let is_text = |block: &ContentBlock| matches!(block.content, Content::Text(_));
    let output = if result.blocks.iter().all(is_text) {
        let failed = if result.is_error { FAILED } else { "" };
        Output::Text(format!("{failed}{}", result.text()))
    } else {
        let failed = result.is_error.then_some(Part::InputText {
            text: Cow::Borrowed(FAILED),
        });
        let parts = failed.into_iter();
        Output::Parts(parts.chain(result.blocks.iter().filter_map(part)).collect())
    };
    Item::FunctionCallOutput {
        call_id: fit_call_id(&result.id, options.capabilities.ids),
        output,
    }
}

/// Text, image or document of a user; `None` for what `fit` refuses.
fn part(block: &ContentBlock) -> Option<Part<'_>> {
    match &block.content {
        Content::Text(text)
        | Content::Document(Media {
            source: Source::Text(text),
            ..
        }) => Some(Part::InputText {
            text: Cow::Borrowed(text),
        }),
        Content::Image(Media {
            mime,
            source: Source::Base64(data),
            ..
        }) => {
            let mime = if mime.is_empty() { "image/png" } else { mime };
            Some(Part::InputImage {
                image_url: format!("data:{mime};base64,{data}").into(),
            })
        }
        Content::Image(Media {
            source: Source::Url(url),
            ..
        }) => Some(Part::InputImage {
            image_url: Cow::Borrowed(url),
        }),
        Content::Document(Media {
            mime,
            source: Source::Base64(data),
            name,
        }) => Some(Part::InputFile {
            filename: name.as_deref().unwrap_or("document.pdf"),
            file_data: format!("data:{mime};base64,{data}"),
        }),
        _ => None,
    }
}

fn declared<'a>(tool: &'a Tool, options: &EncodeOptions<'a>) -> ToolDeclaration<'a> {
    ToolDeclaration {
        kind: "function",
        name: options.names.sent(&tool.name),
        description: tool.description.as_deref(),
        parameters: &tool.schema,
        strict: tool.strict.unwrap_or(false),
    }
}

fn tool_choice<'a>(choice: &'a ToolChoice, options: &EncodeOptions<'a>) -> Option<Choice<'a>> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(Choice::Word("none")),
        ToolChoice::Any => Some(Choice::Word("required")),
        ToolChoice::Named(name) => Some(Choice::Named {
            kind: "function",
            name: options.names.sent(name),
        }),
    }
}

fn text_options(format: &Format) -> Option<TextOptions<'_>> {
    let format = match format {
        Format::Text => return None,
        Format::JsonObject => FormatOption::JsonObject,
        Format::JsonSchema {
            name,
            description,
            schema,
            strict,
        } => FormatOption::JsonSchema {
            name,
            description: description.as_deref(),
            schema,
            strict: strict.unwrap_or(false),
        },
    };
    Some(TextOptions { format })
}

/// Effort, and a summary where the client shows reasoning.
fn reasoning(chat: &ChatRequest) -> Option<Reasoning> {
    let asked = &chat.reasoning;
    let effort = asked.effort.map(Effort::as_str);
    let is_shown = asked.summary == Some(Summary::Shown) && !asked.is_off();
    let summary = is_shown.then_some("auto");
    (effort.is_some() || summary.is_some()).then_some(Reasoning { effort, summary })
}

#[cfg(test)]
mod tests;
