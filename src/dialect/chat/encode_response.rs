//! Encoder of chat responses. Reasoning is sent as `reasoning_content`, which clients show or skip; provider state is not sent,
//! because chat clients do not return it.

use bytes::Bytes;
use serde::Serialize;

use crate::conversation::{BlockKind, ChatResponse, Content, OutputEvent, StopReason};
use crate::dialect::chat::error;
use crate::dialect::codec::{ResponseEncoder, ResponseMeta};
use crate::dialect::request::Request;
use crate::dialect::wire::json::to_json;
use crate::domain::api_error::ApiError;
use crate::domain::usage::Usage;

/// Encoder of one response.
pub(in crate::dialect) struct ChatEncoder {
    id: String,
    head: ResponseMeta,
    usage_asked: bool,
    begun: bool,
    /// blocks by number: text, reasoning, or a call with the client's index
    blocks: Vec<(u32, Kind)>,
    calls: u64,
    /// calls without arguments so far: block and the client's index
    empty_calls: Vec<(u32, u64)>,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Reasoning,
    Call(u64),
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageOut>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<Delta<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Call<'a>; 1]>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

#[derive(Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

/// Usage of this dialect: the prompt includes cache reads and writes.
#[derive(Serialize)]
struct UsageOut {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
    audio_tokens: u64,
}

#[derive(Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
}

impl From<&Usage> for UsageOut {
    fn from(usage: &Usage) -> UsageOut {
        let prompt_tokens = usage.in_total();
        UsageOut {
            prompt_tokens,
            completion_tokens: usage.out_total,
            total_tokens: prompt_tokens.saturating_add(usage.out_total),
            prompt_tokens_details: PromptDetails {
                cached_tokens: usage.cache_read,
                cache_write_tokens: usage.cache_writes(),
                audio_tokens: usage.audio_in,
            },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: usage.reasoning,
                audio_tokens: usage.audio_out,
            },
        }
    }
}

impl ChatEncoder {
    pub(in crate::dialect) fn new(request: &Request, head: ResponseMeta) -> ChatEncoder {
        let id = format!("chatcmpl-{}", head.request_id);
        ChatEncoder {
            id,
            head,
            usage_asked: request.usage_asked,
            begun: false,
            blocks: Vec::new(),
            calls: 0,
            empty_calls: Vec::new(),
        }
    }

    fn chunk(&mut self, mut delta: Delta<'_>, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            delta.role = Some("assistant");
        }
        self.put(
            &[Choice {
                index: 0,
                delta: Some(delta),
                message: None,
                logprobs: None,
                finish_reason: None,
            }],
            None,
            out,
        );
    }

    fn put(&self, choices: &[Choice<'_>], usage: Option<UsageOut>, out: &mut Vec<u8>) {
        let chunk = Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.head.created_s,
            model: &self.head.model,
            choices,
            usage,
        };
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(to_json(&chunk).as_bytes());
        out.extend_from_slice(b"\n\n");
    }

    fn open(&mut self, block: u32, block_kind: &BlockKind, out: &mut Vec<u8>) {
        let kind = match block_kind {
            BlockKind::Text => Kind::Text,
            BlockKind::Reasoning => Kind::Reasoning,
            BlockKind::Call { id, name } => {
                let index = self.calls;
                self.calls += 1;
                let function = Function {
                    name: Some(name),
                    arguments: "",
                };
                let call = Call {
                    index: Some(index),
                    id: Some(id),
                    kind: Some("function"),
                    function,
                };
                self.chunk(
                    Delta {
                        tool_calls: Some([call]),
                        ..Delta::default()
                    },
                    out,
                );
                self.empty_calls.push((block, index));
                Kind::Call(index)
            }
        };
        self.blocks.push((block, kind));
    }

    /// Ends calls without arguments as an empty object: the SDKs parse what the pieces add up to.
    fn complete_calls(&mut self, of_block: Option<u32>, out: &mut Vec<u8>) {
        let is_ended = |block: u32| of_block.is_none_or(|of| of == block);
        let ended: Vec<u64> = self
            .empty_calls
            .extract_if(.., |(block, _)| is_ended(*block))
            .map(|(_, index)| index)
            .collect();
        for index in ended {
            self.arguments(index, "{}", out);
        }
    }

    fn arguments(&mut self, index: u64, text: &str, out: &mut Vec<u8>) {
        let call = Call {
            index: Some(index),
            id: None,
            kind: None,
            function: Function {
                name: None,
                arguments: text,
            },
        };
        self.chunk(
            Delta {
                tool_calls: Some([call]),
                ..Delta::default()
            },
            out,
        );
    }

    fn delta(&mut self, block: u32, text: &str, out: &mut Vec<u8>) {
        let Some((_, kind)) = self
            .blocks
            .iter()
            .rev()
            .find(|(number, _)| *number == block)
            .copied()
        else {
            return;
        };
        let delta = match kind {
            Kind::Text => Delta {
                content: Some(text),
                ..Delta::default()
            },
            Kind::Reasoning => Delta {
                reasoning_content: Some(text),
                ..Delta::default()
            },
            Kind::Call(index) => {
                self.empty_calls.retain(|(empty, _)| *empty != block);
                return self.arguments(index, text, out);
            }
        };
        self.chunk(delta, out);
    }
}

impl ResponseEncoder for ChatEncoder {
    fn event(&mut self, event: &OutputEvent, out: &mut Vec<u8>) {
        match event {
            OutputEvent::Open { block, block_kind } => self.open(*block, block_kind, out),
            OutputEvent::Delta { block, text } => self.delta(*block, text, out),
            OutputEvent::Close { block } => self.complete_calls(Some(*block), out),
            OutputEvent::State { .. } | OutputEvent::Stop(_) => {}
        }
    }

    fn end(&mut self, stop: &StopReason, usage: &Usage, out: &mut Vec<u8>) {
        if !self.begun {
            self.chunk(
                Delta {
                    content: Some(""),
                    ..Delta::default()
                },
                out,
            );
        }
        self.complete_calls(None, out);
        let last = Choice {
            index: 0,
            delta: Some(Delta::default()),
            message: None,
            logprobs: None,
            finish_reason: Some(reason(stop)),
        };
        self.put(&[last], None, out);
        if self.usage_asked {
            self.put(&[], Some(usage.into()), out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn error_events(&mut self, error: &ApiError, _request_id: &str) -> Bytes {
        error::error_event(error)
    }

    fn encode_unary(&self, answer: &ChatResponse, usage: &Usage) -> String {
        let (mut text, mut reasoning, mut tool_calls) =
            (None::<String>, None::<String>, Vec::new());
        for block in &answer.blocks {
            match &block.content {
                Content::Text(more) => text.get_or_insert_default().push_str(more),
                Content::Reasoning(reasoned) if !reasoned.text.is_empty() => {
                    reasoning.get_or_insert_default().push_str(&reasoned.text);
                }
                Content::ToolCall(call) => {
                    let arguments = if call.arguments.trim().is_empty() {
                        "{}"
                    } else {
                        &call.arguments
                    };
                    let function = Function {
                        name: Some(&call.name),
                        arguments,
                    };
                    tool_calls.push(Call {
                        index: None,
                        id: Some(&call.id),
                        kind: Some("function"),
                        function,
                    });
                }
                _ => {}
            }
        }
        let content = text.or_else(|| tool_calls.is_empty().then(String::new));
        let message = Message {
            role: "assistant",
            content,
            refusal: None,
            reasoning_content: reasoning,
            tool_calls,
        };
        let choice = Choice {
            index: 0,
            delta: None,
            message: Some(message),
            logprobs: None,
            finish_reason: Some(reason(&answer.stop)),
        };
        to_json(&Chunk {
            id: &self.id,
            object: "chat.completion",
            created: self.head.created_s,
            model: &self.head.model,
            choices: &[choice],
            usage: Some(usage.into()),
        })
    }
}

fn reason(stop: &StopReason) -> &'static str {
    match stop {
        StopReason::End | StopReason::Sequence(_) | StopReason::Pause => "stop",
        StopReason::Length | StopReason::ContextWindow => "length",
        StopReason::Tool => "tool_calls",
        StopReason::Filtered => "content_filter",
    }
}

#[cfg(test)]
mod tests;
