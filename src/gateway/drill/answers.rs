//! Bodies of the scripted upstreams of a drill: an answer of one word and an error, in each dialect.

use serde_json::{Value, json};

use crate::dialect::Dialect;
use crate::domain::attempt::FailureClass;

const INPUT_TOKENS: u64 = 12;
pub(super) const OUTPUT_TOKENS: u64 = 1;
pub(super) const WORD: &str = "drill";

/// Complete answer of an upstream.
pub(super) fn answer(dialect: Dialect) -> Value {
    let total = INPUT_TOKENS + OUTPUT_TOKENS;
    match dialect {
        Dialect::Chat => json!({
            "id": WORD, "object": "chat.completion", "created": 0, "model": WORD,
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": WORD }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": total },
        }),
        Dialect::Responses => json!({
            "id": WORD, "object": "response", "created_at": 0, "status": "completed", "model": WORD,
            "output": [{ "id": WORD, "type": "message", "status": "completed", "role": "assistant",
                "content": [{ "type": "output_text", "text": WORD, "annotations": [] }] }],
            "usage": { "input_tokens": INPUT_TOKENS, "input_tokens_details": { "cached_tokens": 0 },
                "output_tokens": OUTPUT_TOKENS, "output_tokens_details": { "reasoning_tokens": 0 },
                "total_tokens": total },
        }),
        Dialect::Messages => json!({
            "id": WORD, "type": "message", "role": "assistant", "model": WORD,
            "content": [{ "type": "text", "text": WORD }], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": { "input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS },
        }),
        Dialect::Gemini => json!({
            "candidates": [{ "content": { "role": "model", "parts": [{ "text": WORD }] }, "finishReason": "STOP", "index": 0 }],
            "usageMetadata": { "promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": OUTPUT_TOKENS, "totalTokenCount": total },
        }),
        Dialect::Converse => json!({
            "output": { "message": { "role": "assistant", "content": [{ "text": WORD }] } }, "stopReason": "end_turn",
            "usage": { "inputTokens": INPUT_TOKENS, "outputTokens": OUTPUT_TOKENS, "totalTokens": total },
        }),
        Dialect::Cohere => json!({
            "id": WORD, "finish_reason": "COMPLETE",
            "message": { "role": "assistant", "content": [{ "type": "text", "text": WORD }] },
            "usage": { "billed_units": { "input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS },
                "tokens": { "input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS } },
        }),
        Dialect::Ollama => json!({
            "model": WORD, "created_at": "2026-01-01T00:00:00Z", "message": { "role": "assistant", "content": WORD },
            "done": true, "done_reason": "stop", "prompt_eval_count": INPUT_TOKENS, "eval_count": OUTPUT_TOKENS,
        }),
    }
}

/// Error of an upstream. The status tells most classes, the vendors' own words the others.
pub(super) fn error(dialect: Dialect, class: FailureClass, status: u16) -> Value {
    let message = match class {
        FailureClass::ContentFiltered => "drill: output blocked by content filtering policy",
        _ => "drill: this target fails",
    };
    match dialect {
        Dialect::Chat | Dialect::Responses => {
            let code = (class == FailureClass::ContentFiltered).then_some("content_filter");
            json!({ "error": { "message": message, "type": WORD, "param": null, "code": code } })
        }
        Dialect::Messages => {
            json!({ "type": "error", "error": { "type": "invalid_request_error", "message": message } })
        }
        Dialect::Gemini => json!({ "error": { "code": status, "message": message } }),
        Dialect::Converse | Dialect::Cohere => json!({ "message": message }),
        Dialect::Ollama => json!({ "error": message }),
    }
}
