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
                Kind::Call(index)
            }
        };
        self.blocks.push((block, kind));
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
                let call = Call {
                    index: Some(index),
                    id: None,
                    kind: None,
                    function: Function {
                        name: None,
                        arguments: text,
                    },
                };
                Delta {
                    tool_calls: Some([call]),
                    ..Delta::default()
                }
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
            OutputEvent::State { .. } | OutputEvent::Close { .. } | OutputEvent::Stop(_) => {}
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
mod tests {
    use super::*;
    use crate::conversation::{ResponseBuilder, StateSealer};
    use crate::dialect::{Dialect, Operation, read};
    use serde_json::{Value, json};

    const USAGE: Usage = Usage {
        uncached_in: 10,
        cache_read: 20,
        cache_write_5m: 3,
        cache_write_1h: 4,
        cache_write_12h: 0,
        cache_write_other: 0,
        out_total: 8,
        reasoning: 5,
        audio_in: 0,
        audio_cached: 0,
        audio_out: 0,
        image_out: 0,
        image_in: 0,
        image_cached: 0,
        web_searches: 0,
        search_tool: None,
        tools: Vec::new(),
        service_tier: None,
        second_models: Vec::new(),
        is_clamped: false,
        reported_cost: None,
    };

    fn encoder(more: &str) -> ChatEncoder {
        let body = format!(r#"{{"model":"m","messages":[]{more}}}"#);
        let request = read(Dialect::Chat, Operation::Conversation, body.into()).expect("a request");
        let sealer = StateSealer::new([0; 32]);
        ChatEncoder::new(
            &request,
            ResponseMeta {
                request_id: "req_1".into(),
                model: "their-m".into(),
                created_s: 9,
                sealer,
            },
        )
    }

    fn events() -> Vec<OutputEvent> {
        let delta = |block, text: &str| OutputEvent::Delta {
            block,
            text: text.into(),
        };
        vec![
            OutputEvent::Open {
                block: 0,
                block_kind: BlockKind::Reasoning,
            },
            delta(0, "hm"),
            OutputEvent::Open {
                block: 1,
                block_kind: BlockKind::Text,
            },
            delta(1, "so"),
            OutputEvent::Open {
                block: 2,
                block_kind: BlockKind::Call {
                    id: "a".into(),
                    name: "f".into(),
                },
            },
            delta(2, "{}"),
            OutputEvent::Stop(StopReason::Tool),
        ]
    }

    #[test]
    fn stream_has_one_role_its_deltas_and_one_end() {
        let mut encoder = encoder(r#","stream":true,"stream_options":{"include_usage":true}"#);
        let mut out = Vec::new();
        events()
            .iter()
            .for_each(|event| encoder.event(event, &mut out));
        encoder.end(&StopReason::Tool, &USAGE, &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        let (chunks, end) = text.trim_end().rsplit_once("\n\n").expect("events");
        assert_eq!(end, "data: [DONE]");
        let chunks: Vec<Value> = chunks
            .split("\n\n")
            .map(|event| {
                serde_json::from_str(event.strip_prefix("data: ").expect("data")).expect("JSON")
            })
            .collect();
        assert_eq!(
            chunks[0]["choices"][0]["delta"],
            json!({"role": "assistant", "reasoning_content": "hm"})
        );
        assert_eq!(chunks[1]["choices"][0]["delta"], json!({"content": "so"}));
        assert_eq!(chunks[2]["choices"][0]["delta"]["tool_calls"][0]["id"], "a");
        assert_eq!(chunks[4]["choices"][0]["finish_reason"], "tool_calls");
        let usage = &chunks[5];
        assert_eq!(
            (&usage["choices"], &usage["usage"]["prompt_tokens"]),
            (&json!([]), &json!(37))
        );
        assert_eq!(chunks.len(), 6);
        assert!(
            chunks
                .iter()
                .all(|chunk| chunk["id"] == "chatcmpl-req_1" && chunk["model"] == "their-m")
        );
    }

    #[test]
    fn c01_unary_prompt_tokens_include_cache_reads_and_writes() {
        let mut builder = ResponseBuilder::default();
        events().iter().for_each(|event| builder.add(event));
        let answer: Value =
            serde_json::from_str(&encoder("").encode_unary(&builder.build(), &USAGE))
                .expect("JSON");
        let message = &answer["choices"][0]["message"];
        assert_eq!(
            (&message["content"], &message["reasoning_content"]),
            (&json!("so"), &json!("hm"))
        );
        assert_eq!(
            message["tool_calls"][0]["function"],
            json!({"name": "f", "arguments": "{}"})
        );
        let usage = &answer["usage"];
        assert_eq!(
            (
                &usage["prompt_tokens"],
                &usage["completion_tokens"],
                &usage["total_tokens"]
            ),
            (&json!(37), &json!(8), &json!(45))
        );
        assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 20);
    }
}
