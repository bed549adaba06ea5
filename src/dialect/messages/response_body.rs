//! JSON of a messages response and of the events of its stream.

use serde::Serialize;

use crate::conversation::RawJson;
use crate::domain::usage::Usage;

#[derive(Serialize)]
pub(super) struct MessageStart<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) message: Message<'a>,
}

#[derive(Serialize)]
pub(super) struct Message<'a> {
    pub(super) id: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) role: &'static str,
    pub(super) model: &'a str,
    pub(super) content: Vec<Part<'a>>,
    pub(super) stop_reason: Option<&'static str>,
    pub(super) stop_sequence: Option<&'a str>,
    pub(super) usage: Counts,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part<'a> {
    Text {
        text: &'a str,
    },
    Thinking {
        thinking: &'a str,
        signature: String,
    },
    RedactedThinking {
        data: String,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: RawJson,
    },
}

#[derive(Serialize)]
pub(super) struct BlockStart<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) index: u64,
    pub(super) content_block: &'a Part<'a>,
}

#[derive(Serialize)]
pub(super) struct BlockDelta<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) index: u64,
    pub(super) delta: &'a Delta<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

#[derive(Serialize)]
pub(super) struct BlockStop {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) index: u64,
}

#[derive(Serialize)]
pub(super) struct MessageDelta<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) delta: MessageEnd<'a>,
    pub(super) usage: Counts,
}

#[derive(Serialize)]
pub(super) struct MessageEnd<'a> {
    pub(super) stop_reason: &'static str,
    pub(super) stop_sequence: Option<&'a str>,
    pub(super) stop_details: Option<()>,
}

/// Usage of this dialect: the input excludes cache reads and writes.
#[derive(Serialize)]
pub(super) struct Counts {
    pub(super) input_tokens: u64,
    pub(super) cache_creation_input_tokens: u64,
    pub(super) cache_read_input_tokens: u64,
    pub(super) cache_creation: CacheWrites,
    pub(super) output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_tokens_details: Option<OutputDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_tool_use: Option<ServerTools>,
}

#[derive(Serialize)]
pub(super) struct CacheWrites {
    pub(super) ephemeral_5m_input_tokens: u64,
    pub(super) ephemeral_1h_input_tokens: u64,
}

#[derive(Serialize)]
pub(super) struct OutputDetails {
    pub(super) thinking_tokens: u64,
}

#[derive(Serialize)]
pub(super) struct ServerTools {
    pub(super) web_search_requests: u64,
}

impl Counts {
    pub(super) fn of(usage: &Usage) -> Counts {
        let hour = usage.cache_write_1h;
        Counts {
            input_tokens: usage.uncached_in,
            cache_creation_input_tokens: usage.cache_writes(),
            cache_read_input_tokens: usage.cache_read,
            cache_creation: CacheWrites {
                // an unknown lifetime counts as the default
                ephemeral_5m_input_tokens: usage.cache_writes().saturating_sub(hour),
                ephemeral_1h_input_tokens: hour,
            },
            output_tokens: usage.out_total,
            output_tokens_details: (usage.reasoning > 0).then_some(OutputDetails {
                thinking_tokens: usage.reasoning,
            }),
            server_tool_use: (usage.web_searches > 0).then_some(ServerTools {
                web_search_requests: usage.web_searches,
            }),
        }
    }
}
