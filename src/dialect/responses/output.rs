//! JSON of a response: items, the response object, and the events of a stream, with the fields that the SDKs' types require.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::conversation::StopReason;
use crate::dialect::responses::echo::{Echo, one_line};
use crate::dialect::responses::tools::{Form, FunctionCall, custom_input};
use crate::dialect::wire::json::to_json;
use crate::domain::usage::Usage;

/// One item of a response, finished or not.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item<'a> {
    Message {
        id: &'a str,
        status: &'static str,
        role: &'static str,
        content: Vec<Part<'a>>,
    },
    Reasoning {
        id: &'a str,
        summary: Vec<Part<'a>>,
        encrypted_content: Option<&'a str>,
    },
    FunctionCall {
        id: &'a str,
        status: &'static str,
        arguments: &'a str,
        call_id: &'a str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
    },
    CustomToolCall {
        id: &'a str,
        status: &'static str,
        call_id: &'a str,
        input: String,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
    },
    ToolSearchCall {
        id: &'a str,
        status: &'static str,
        call_id: &'a str,
        execution: &'static str,
        arguments: Box<RawValue>,
    },
}

/// One part of a message, or of a reasoning summary.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part<'a> {
    OutputText {
        annotations: [(); 0],
        logprobs: [(); 0],
        text: &'a str,
    },
    SummaryText {
        text: &'a str,
    },
}

impl<'a> Part<'a> {
    pub(super) fn text(text: &'a str) -> Part<'a> {
        Part::OutputText {
            annotations: [],
            logprobs: [],
            text,
        }
    }
}

/// Type of an item, with its call id.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Message,
    Reasoning,
    Call { call_id: String, form: Form },
}

impl Kind {
    /// Prefix of the item's id.
    pub(super) const fn prefix(&self) -> &'static str {
        match self {
            Kind::Message => "msg",
            Kind::Reasoning => "rs",
            Kind::Call {
                form: Form::Function(_),
                ..
            } => "fc",
            Kind::Call {
                form: Form::Custom(_),
                ..
            } => "ctc",
            Kind::Call {
                form: Form::ToolSearch,
                ..
            } => "tsc",
        }
    }

    /// Name of the called tool, as the client declared it.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Kind::Call {
                form: Form::Function(called) | Form::Custom(called),
                ..
            } => Some(&called.name),
            _ => None,
        }
    }

    /// The item with its text: of a message, of reasoning, or the arguments of a call.
    pub(super) fn item<'a>(
        &'a self,
        id: &'a str,
        status: &'static str,
        text: &'a str,
        sealed: Option<&'a str>,
    ) -> Item<'a> {
        match self {
            Kind::Message => {
                let content = if status == BEGUN {
                    Vec::new()
                } else {
                    vec![Part::text(text)]
                };
                Item::Message {
                    id,
                    status,
                    role: "assistant",
                    content,
                }
            }
            Kind::Reasoning => {
                let summary = if text.is_empty() {
                    Vec::new()
                } else {
                    vec![Part::SummaryText { text }]
                };
                Item::Reasoning {
                    id,
                    summary,
                    encrypted_content: sealed,
                }
            }
            Kind::Call { call_id, form } => call(form, id, call_id, status, text),
        }
    }
}

/// Status of an unfinished item.
pub(super) const BEGUN: &str = "in_progress";

fn call<'a>(
    form: &'a Form,
    id: &'a str,
    call_id: &'a str,
    status: &'static str,
    text: &'a str,
) -> Item<'a> {
    match form {
        Form::Function(FunctionCall { namespace, name }) => {
            let arguments = if status == BEGUN { "" } else { arguments(text) };
            Item::FunctionCall {
                id,
                status,
                arguments,
                call_id,
                name,
                namespace: namespace.as_deref(),
            }
        }
        Form::Custom(FunctionCall { namespace, name }) => {
            let input = if text.is_empty() {
                String::new()
            } else {
                custom_input(text)
            };
            Item::CustomToolCall {
                id,
                status,
                call_id,
                input,
                name,
                namespace: namespace.as_deref(),
            }
        }
        Form::ToolSearch => Item::ToolSearchCall {
            id,
            status,
            call_id,
            execution: "client",
            arguments: object(text),
        },
    }
}

/// A call without arguments has an empty object.
pub(super) fn arguments(text: &str) -> &str {
    if text.trim().is_empty() { "{}" } else { text }
}

/// Arguments as an object instead of a text.
fn object(text: &str) -> Box<RawValue> {
    let whole = serde_json::from_str::<Box<RawValue>>(text).ok();
    let one_line = whole.map(|json| one_line(json.get()));
    one_line
        .and_then(|json| RawValue::from_string(json).ok())
        .unwrap_or_else(|| RawValue::from_string("{}".to_owned()).expect("an empty object is JSON"))
}

/// One event of a stream; its fields depend on its type.
#[derive(Debug, Default, Serialize)]
pub(super) struct EventOut<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) sequence_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<ResponseOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) summary_index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<Item<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<[(); 0]>,
}

/// The response object.
#[derive(Debug, Serialize)]
pub(super) struct ResponseOut<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created_at: u64,
    pub(super) status: &'static str,
    pub(super) error: Option<()>,
    pub(super) incomplete_details: Option<Incomplete>,
    pub(super) model: &'a str,
    pub(super) output: Vec<Item<'a>>,
    pub(super) usage: Option<UsageOut>,
    pub(super) service_tier: Option<&'a str>,
    /// repeated request fields
    #[serde(flatten)]
    pub(super) echo: &'a Echo,
}

#[derive(Debug, Serialize)]
pub(super) struct Incomplete {
    pub(super) reason: &'static str,
}

/// Usage of this dialect: the input includes cache reads and writes.
#[derive(Debug, Serialize)]
pub(super) struct UsageOut {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Debug, Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Debug, Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl From<&Usage> for UsageOut {
    fn from(usage: &Usage) -> UsageOut {
        let input_tokens = usage.in_total();
        UsageOut {
            input_tokens,
            input_tokens_details: InputDetails {
                cached_tokens: usage.cache_read,
                cache_write_tokens: usage.cache_writes(),
            },
            output_tokens: usage.out_total,
            output_tokens_details: OutputDetails {
                reasoning_tokens: usage.reasoning,
            },
            total_tokens: input_tokens.saturating_add(usage.out_total),
        }
    }
}

/// `incomplete_details.reason` of a stop reason; `None` for a complete response.
pub(super) fn incomplete_reason(stop: &StopReason) -> Option<&'static str> {
    match stop {
        StopReason::End | StopReason::Sequence(_) | StopReason::Tool | StopReason::Pause => None,
        StopReason::Length | StopReason::ContextWindow => Some("max_output_tokens"),
        StopReason::Filtered => Some("content_filter"),
    }
}

/// The tier that served, if the SDKs know its name.
pub(super) fn known_tier(served: &str) -> &str {
    if ["auto", "default", "flex", "scale", "priority", "fast"].contains(&served) {
        served
    } else {
        "default"
    }
}

pub(super) fn put_event(event: &EventOut<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event.kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(to_json(event).as_bytes());
    out.extend_from_slice(b"\n\n");
}
