//! Vendor responses with a chosen usage report: one short text in every upstream dialect, unary and streamed, and the client
//! requests for them.

use serde_json::{Value, json};

use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

/// Output text: 15 bytes, estimated as 5 tokens.
pub const TEXT: &str = "Nothing at all.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Chat,
    Messages,
    Responses,
    Embeddings,
}

pub const CONVERSATIONS: [Client; 3] = [Client::Chat, Client::Messages, Client::Responses];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    Chat,
    /// chat dialect of an unknown server
    Compatible,
    Messages,
    Responses,
    Gemini,
    Cohere,
    Ollama,
    Converse,
    Embeddings,
}

use Vendor::{Chat, Cohere, Compatible, Converse, Embeddings, Gemini, Messages, Ollama, Responses};

pub const VENDORS: [Vendor; 9] = [
    Chat, Compatible, Messages, Responses, Gemini, Cohere, Ollama, Converse, Embeddings,
];

impl Client {
    pub fn path(self) -> &'static str {
        match self {
            Client::Chat => "/v1/chat/completions",
            Client::Messages => "/v1/messages",
            Client::Responses => "/v1/responses",
            Client::Embeddings => "/v1/embeddings",
        }
    }

    pub fn request(self, vendor: Vendor, streamed: bool) -> Value {
        let model = vendor.model();
        let messages = json!([{"role": "user", "content": "What does it cost?"}]);
        let mut body = match self {
            Client::Chat | Client::Messages => {
                json!({"model": model, "messages": messages, "max_tokens": 40})
            }
            Client::Responses => {
                json!({"model": model, "input": "What does it cost?", "max_output_tokens": 40})
            }
            Client::Embeddings => json!({"model": model, "input": "What does it cost?"}),
        };
        if streamed {
            body["stream"] = json!(true);
        }
        body
    }
}

impl Vendor {
    pub fn clients(self) -> &'static [Client] {
        match self {
            Responses => &[Client::Responses],
            Embeddings => &[Client::Embeddings],
            _ => &CONVERSATIONS,
        }
    }

    /// Supported values of `stream`.
    pub fn stream_modes(self) -> &'static [bool] {
        if self == Embeddings {
            &[false]
        } else {
            &[false, true]
        }
    }

    fn model(self) -> &'static str {
        match self {
            Chat => "chat-only",
            Compatible => "compatible",
            Messages => "messages",
            Responses => "responses",
            Gemini => "gemini-3.8-flash",
            Cohere => "command-a-plus-05-2026",
            Ollama => "qwen3:8b",
            Converse => "eu.amazon.nova-2-lite-v1:0",
            Embeddings => "vectors",
        }
    }

    /// Provider at 1 and 5 dollars per million tokens.
    pub fn provider(self, upstream: &Upstream) -> Provider {
        let name = format!("{self:?}").to_lowercase();
        let provider = Provider::openai(&name, upstream).models(&[self.model()]);
        let at_root = |provider: Provider| provider.base_url(&upstream.url());
        match self {
            Chat => provider.preset("groq"),
            Compatible => provider,
            Messages => provider.preset("anthropic"),
            Responses | Embeddings => provider.preset("openai"),
            Gemini => at_root(provider.preset("gemini")),
            Cohere => at_root(provider.preset("cohere")),
            Ollama => at_root(provider.preset("ollama_native")),
            Converse => at_root(provider.preset("bedrock")).line("region = \"eu-west-1\""),
        }
    }

    /// Usage fields with these counts; a missing count is left out.
    pub fn usage(self, input: Option<&str>, output: Option<&str>) -> String {
        let (input_name, output_name) = match self {
            Chat | Compatible | Embeddings => ("prompt_tokens", "completion_tokens"),
            Messages | Responses | Cohere => ("input_tokens", "output_tokens"),
            Gemini => ("promptTokenCount", "candidatesTokenCount"),
            Ollama => ("prompt_eval_count", "eval_count"),
            Converse => ("inputTokens", "outputTokens"),
        };
        let counts: Vec<String> = [(input_name, input), (output_name, output)]
            .into_iter()
            .filter_map(|(name, count)| Some(format!("{name:?}:{}", count?)))
            .collect();
        let counts = counts.join(",");
        match self {
            Ollama => format!(",{counts}").trim_end_matches(',').to_owned(),
            Cohere => self.usage_member(&format!("{{\"billed_units\":{{{counts}}}}}")),
            _ => self.usage_member(&format!("{{{counts}}}")),
        }
    }

    /// Usage field with this value.
    pub fn usage_member(self, value: &str) -> String {
        format!(
            ",{:?}:{value}",
            if self == Gemini {
                "usageMetadata"
            } else {
                "usage"
            }
        )
    }

    /// Response script; `usage` is a field with a leading comma, or empty.
    pub fn respond(self, streamed: bool, usage: &str) -> Script {
        if streamed {
            self.stream("", usage)
        } else {
            Script::unary(200, self.unary(usage))
        }
    }

    fn unary(self, usage: &str) -> String {
        match self {
            Chat | Compatible => format!(
                r#"{{"id":"a","object":"chat.completion","model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{TEXT}"}},"finish_reason":"stop"}}]{usage}}}"#
            ),
            Messages => format!(
                r#"{{"id":"a","type":"message","role":"assistant","model":"c","content":[{{"type":"text","text":"{TEXT}"}}],"stop_reason":"end_turn"{usage}}}"#
            ),
            Responses => response("completed", usage),
            Gemini => gemini(usage),
            Cohere => format!(
                r#"{{"id":"a","finish_reason":"COMPLETE","message":{{"role":"assistant","content":[{{"type":"text","text":"{TEXT}"}}]}}{usage}}}"#
            ),
            Ollama => ollama(TEXT, "true", usage),
            Converse => format!(
                r#"{{"output":{{"message":{{"role":"assistant","content":[{{"text":"{TEXT}"}}]}}}},"stopReason":"end_turn"{usage}}}"#
            ),
            Embeddings => format!(
                r#"{{"object":"list","data":[{{"object":"embedding","index":0,"embedding":[0.5,0.25]}}],"model":"e"{usage}}}"#
            ),
        }
    }

    /// Streamed response with one usage report beside the text and another at the end.
    pub fn stream(self, early: &str, usage: &str) -> Script {
        match self {
            Chat | Compatible => chat_stream(early, usage),
            Messages => messages_stream(early, usage),
            Responses => responses_stream(early, usage),
            Gemini => gemini_stream(early, usage),
            Cohere => cohere_stream(usage),
            Ollama => ollama_stream(early, usage),
            Converse => converse_stream(usage),
            Embeddings => unreachable!("embeddings are not streamed"),
        }
    }
}

fn chat_stream(early: &str, usage: &str) -> Script {
    Script::stream([
        data(&format!(
            r#"{{"id":"a","choices":[{{"index":0,"delta":{{"content":"{TEXT}"}},"finish_reason":null}}]{early}}}"#
        )),
        data(r#"{"id":"a","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#),
        data(&format!(r#"{{"id":"a","choices":[]{usage}}}"#)),
        data("[DONE]"),
    ])
}

fn messages_stream(early: &str, usage: &str) -> Script {
    Script::stream([
        named(
            "message_start",
            r#","message":{"id":"a","type":"message","role":"assistant","content":[],"model":"c"}"#,
        ),
        named(
            "content_block_start",
            r#","index":0,"content_block":{"type":"text","text":""}"#,
        ),
        named(
            "content_block_delta",
            &format!(r#","index":0,"delta":{{"type":"text_delta","text":"{TEXT}"}}"#),
        ),
        named("message_delta", &format!(r#","delta":{{}}{early}"#)),
        named("content_block_stop", r#","index":0"#),
        named(
            "message_delta",
            &format!(r#","delta":{{"stop_reason":"end_turn"}}{usage}"#),
        ),
        named("message_stop", ""),
    ])
}

fn responses_stream(early: &str, usage: &str) -> Script {
    Script::stream([
        named(
            "response.output_text.delta",
            &format!(r#","item_id":"i","output_index":0,"content_index":0,"delta":"{TEXT}""#),
        ),
        named(
            "response.in_progress",
            &format!(r#","response":{}"#, response("in_progress", early)),
        ),
        named(
            "response.completed",
            &format!(r#","response":{}"#, response("completed", usage)),
        ),
    ])
}

fn gemini_stream(early: &str, usage: &str) -> Script {
    Script::stream([
        data(&gemini(early).replace(r#","finishReason":"STOP""#, "")),
        data(&gemini(usage).replace(TEXT, "")),
    ])
}

fn cohere_stream(usage: &str) -> Script {
    Script::stream([
        named(
            "content-start",
            r#","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}"#,
        ),
        named(
            "content-delta",
            &format!(r#","index":0,"delta":{{"message":{{"content":{{"text":"{TEXT}"}}}}}}"#),
        ),
        named(
            "message-end",
            &format!(r#","delta":{{"finish_reason":"COMPLETE"{usage}}}"#),
        ),
    ])
}

fn ollama_stream(early: &str, usage: &str) -> Script {
    Script::stream([
        ollama(TEXT, "false", early),
        "\n".to_owned(),
        ollama("", "true", usage),
        "\n".to_owned(),
    ])
    .header("content-type", "application/x-ndjson")
}

fn converse_stream(usage: &str) -> Script {
    Script::stream([
        frame(
            "contentBlockDelta",
            &format!(r#"{{"contentBlockIndex":0,"delta":{{"text":"{TEXT}"}}}}"#),
        ),
        frame("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        frame("messageStop", r#"{"stopReason":"end_turn"}"#),
        frame(
            "metadata",
            &format!(r#"{{"metrics":{{"latencyMs":9}}{usage}}}"#),
        ),
    ])
    .header("content-type", "application/vnd.amazon.eventstream")
}

fn response(status: &str, usage: &str) -> String {
    format!(
        r#"{{"id":"resp_a","object":"response","status":"{status}","model":"m","output":[{{"type":"message","id":"i","role":"assistant","status":"completed","content":[{{"type":"output_text","text":"{TEXT}","annotations":[]}}]}}]{usage}}}"#
    )
}

fn gemini(usage: &str) -> String {
    format!(
        r#"{{"candidates":[{{"index":0,"content":{{"role":"model","parts":[{{"text":"{TEXT}"}}]}},"finishReason":"STOP"}}]{usage}}}"#
    )
}

fn ollama(text: &str, done: &str, usage: &str) -> String {
    format!(
        r#"{{"model":"q","message":{{"role":"assistant","content":"{text}"}},"done":{done}{usage}}}"#
    )
}

fn data(json: &str) -> String {
    format!("data: {json}\n\n")
}

/// Server-sent event with its name as `type`.
pub fn named(name: &str, rest: &str) -> String {
    format!("event: {name}\ndata: {{\"type\":\"{name}\"{rest}}}\n\n")
}

/// Frame of an AWS event stream.
pub fn frame(event: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [
        (":event-type", event),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ] {
        headers.push(name.len() as u8);
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let mut frame = ((headers.len() + payload.len() + 16) as u32)
        .to_be_bytes()
        .to_vec();
    frame.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(payload.as_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}
