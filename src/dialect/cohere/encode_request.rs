//! A neutral ask as the body of a `/v2/chat` request. A plan that a model made before its calls goes back as `tool_plan`.

use std::borrow::Cow;

use serde::Serialize;

use crate::conversation::{
    ChatRequest, Content, ContentBlock, Format, Media, RawJson, Role, Source, Tool, ToolCall,
    ToolChoice, ToolResult, Turn, fitting_id,
};
use crate::dialect::answer::written;
use crate::dialect::hub::EncodeOptions;
use crate::dialect::schema::without_kind;

/// What stands before the text of a result that tells a failure: the dialect has no flag for it.
const FAILED: &str = "Error: ";

#[derive(Serialize)]
struct Body<'a> {
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
    thinking: Option<Thinking>,
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
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Contents<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Contents<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: Cow<'a, str>,
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
    arguments: Cow<'a, str>,
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
struct Thinking {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_budget: Option<u64>,
}

/// The request's body.
pub(in crate::dialect) fn encode_request(ask: &ChatRequest, sending: &EncodeOptions<'_>) -> String {
    let writer = Writer { sending };
    let mut messages = Vec::with_capacity(ask.turns.len());
    ask.turns
        .iter()
        .for_each(|turn| writer.turn(turn, &mut messages));
    let (tools, tool_choice) = writer.tools(ask);
    let sampling = &ask.sampling;
    written(&Body {
        model: sending.model,
        messages,
        stream: ask.streamed,
        strict_tools: !ask.tools.is_empty()
            && ask.tools.iter().all(|tool| tool.strict == Some(true)),
        tools,
        tool_choice,
        response_format: response_format(&ask.format),
        thinking: thinking(ask),
        max_tokens: sending.output_cap,
        stop_sequences: &ask.stop,
        temperature: sampling.temperature.as_ref(),
        p: sampling.top_p.as_ref(),
        k: sampling.top_k.as_ref(),
        seed: sampling.seed.as_ref(),
        frequency_penalty: sampling.frequency_penalty.as_ref(),
        presence_penalty: sampling.presence_penalty.as_ref(),
    })
}

struct Writer<'a> {
    sending: &'a EncodeOptions<'a>,
}

impl<'a> Writer<'a> {
    fn turn(&self, turn: &'a Turn, messages: &mut Vec<Message<'a>>) {
        match turn.role {
            Role::System => messages.extend(spoken("system", &turn.blocks)),
            Role::Assistant => messages.extend(self.assistant(turn)),
            Role::User => {
                let results = turn.blocks.iter().filter_map(|block| match &block.content {
                    Content::ToolResult(result) => Some(self.result(result)),
                    _ => None,
                });
                messages.extend(results);
                messages.extend(spoken("user", &turn.blocks));
            }
        }
    }

    /// What is said beside calls is their plan: a turn has either a content or calls.
    fn assistant(&self, turn: &'a Turn) -> Option<Message<'a>> {
        let calls = turn.blocks.iter().filter_map(|block| match &block.content {
            Content::ToolCall(call) => Some(self.call(call)),
            _ => None,
        });
        let tool_calls: Vec<Call<'_>> = calls.collect();
        if tool_calls.is_empty() {
            return spoken("assistant", &turn.blocks);
        }
        Some(Message {
            role: "assistant",
            tool_plan: plan(&turn.blocks),
            tool_calls,
            ..Message::default()
        })
    }

    fn call(&self, call: &'a ToolCall) -> Call<'a> {
        let function = FunctionCall {
            name: self.sending.names.sent(&call.name),
            arguments: call.object(),
        };
        Call {
            id: self.id(&call.id),
            kind: "function",
            function,
        }
    }

    fn result(&self, result: &'a ToolResult) -> Message<'a> {
        let text = result.text();
        let text = if result.is_error {
            format!("{FAILED}{text}")
        } else {
            text
        };
        let content = Some(Contents::Text(text.into()));
        Message {
            role: "tool",
            tool_call_id: Some(self.id(&result.id)),
            content,
            ..Message::default()
        }
    }

    fn id(&self, id: &'a str) -> Cow<'a, str> {
        fitting_id(id, self.sending.capabilities.ids)
    }

    /// The tools and the choice among them. One tool is forced by offering no other.
    fn tools(&self, ask: &'a ChatRequest) -> (Vec<ToolDeclaration<'a>>, Option<&'static str>) {
        let (only, choice) = match &ask.tool_choice {
            ToolChoice::Auto => (None, None),
            ToolChoice::None => (None, Some("NONE")),
            ToolChoice::Any => (None, Some("REQUIRED")),
            ToolChoice::Named(name) => (Some(name), Some("REQUIRED")),
        };
        let offered = ask
            .tools
            .iter()
            .filter(|tool| only.is_none_or(|name| *name == tool.name));
        (offered.map(|tool| self.declared(tool)).collect(), choice)
    }

    fn declared(&self, tool: &'a Tool) -> ToolDeclaration<'a> {
        let function = Function {
            name: self.sending.names.sent(&tool.name),
            description: tool.description.as_deref(),
            parameters: without_kind(&tool.schema),
        };
        ToolDeclaration {
            kind: "function",
            function,
        }
    }
}

/// The texts and images of a turn as a message; none where there are none.
fn spoken<'a>(role: &'static str, blocks: &'a [ContentBlock]) -> Option<Message<'a>> {
    let mut parts: Vec<Part<'a>> = blocks
        .iter()
        .filter_map(|block| part(&block.content))
        .collect();
    let content = match parts.as_slice() {
        [] => return None,
        [Part::Text { .. }] => match parts.pop() {
            Some(Part::Text { text }) => Contents::Text(Cow::Borrowed(text)),
            _ => return None,
        },
        _ => Contents::Parts(parts),
    };
    Some(Message {
        role,
        content: Some(content),
        ..Message::default()
    })
}

fn part(content: &Content) -> Option<Part<'_>> {
    match content {
        Content::Text(text) if !text.is_empty() => Some(Part::Text { text }),
        Content::Document(Media {
            source: Source::Text(text),
            ..
        }) if !text.is_empty() => Some(Part::Text { text }),
        Content::Image(Media { mime, source, .. }) => {
            let url = match source {
                Source::Base64(data) => Cow::Owned(format!("data:{mime};base64,{data}")),
                Source::Url(url) => Cow::Borrowed(url.as_str()),
                Source::Text(_) | Source::File(_) => return None,
            };
            Some(Part::ImageUrl {
                image_url: ImageUrl { url },
            })
        }
        _ => None,
    }
}

/// What the model said before its calls, else what it thought: thoughts that another vendor signed are not this one's plan.
fn plan(blocks: &[ContentBlock]) -> Option<String> {
    let texts = |thoughts: bool| -> Vec<&str> {
        let texts = blocks.iter().filter_map(|block| match &block.content {
            Content::Text(text) if !thoughts => Some(text.as_str()),
            Content::Reasoning(reasoned) if thoughts && reasoned.opaque.is_none() => {
                Some(reasoned.text.as_str())
            }
            _ => None,
        });
        texts.filter(|text| !text.is_empty()).collect()
    };
    let said = texts(false);
    let plan = if said.is_empty() { texts(true) } else { said };
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

/// Models that think do so unless told not to; a budget must be above zero.
fn thinking(ask: &ChatRequest) -> Option<Thinking> {
    let reasoning = &ask.reasoning;
    if reasoning.is_off() || reasoning.budget == Some(0) {
        return Some(Thinking {
            kind: "disabled",
            token_budget: None,
        });
    }
    (reasoning.adaptive || reasoning.budget.is_some()).then_some(Thinking {
        kind: "enabled",
        token_budget: reasoning.budget,
    })
}
