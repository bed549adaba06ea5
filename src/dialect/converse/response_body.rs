//! Wire types of a Converse response: the events of a stream and the unary body. Named after AWS's
//! types; usage is read apart, see `usage`.

use serde::Deserialize;

use crate::conversation::RawJson;
use crate::dialect::wire::json;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContentBlockStartEvent {
    #[serde(default)]
    pub(super) content_block_index: u64,
    #[serde(default)]
    pub(super) start: ContentBlockStart,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContentBlockStart {
    #[serde(default)]
    pub(super) tool_use: Option<ToolUseStart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolUseStart {
    pub(super) tool_use_id: String,
    pub(super) name: String,
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
    /// only in unary responses
    #[serde(default)]
    pub(super) input: Option<RawJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContentBlockDeltaEvent {
    #[serde(default)]
    pub(super) content_block_index: u64,
    #[serde(default)]
    pub(super) delta: ContentBlockDelta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContentBlockDelta {
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) tool_use: Option<ToolUseInputDelta>,
    #[serde(default)]
    pub(super) reasoning_content: Option<ReasoningContentDelta>,
}

#[derive(Deserialize)]
pub(super) struct ToolUseInputDelta {
    #[serde(default)]
    pub(super) input: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReasoningContentDelta {
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) signature: Option<String>,
    #[serde(default)]
    pub(super) redacted_content: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContentBlockStopEvent {
    #[serde(default)]
    pub(super) content_block_index: u64,
}

/// `messageStop`, or the end of a unary response.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageStopEvent {
    pub(super) stop_reason: String,
    #[serde(default, deserialize_with = "json::if_it_fits")]
    pub(super) additional_model_response_fields: Option<ResponseModelFields>,
}

/// Field requested by `additionalModelResponseFieldPaths`.
#[derive(Deserialize)]
pub(super) struct ResponseModelFields {
    #[serde(default)]
    pub(super) stop_sequence: Option<String>,
}

/// Unary response without its stop reason and its usage, which are read separately.
#[derive(Deserialize)]
pub(super) struct ConverseResponse {
    pub(super) output: ConverseOutput,
}

#[derive(Deserialize)]
pub(super) struct ConverseOutput {
    pub(super) message: ResponseMessage,
}

#[derive(Deserialize)]
pub(super) struct ResponseMessage {
    pub(super) content: Vec<ResponseBlock>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResponseBlock {
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) tool_use: Option<ToolUseStart>,
    #[serde(default)]
    pub(super) reasoning_content: Option<ResponseReasoning>,
    #[serde(default)]
    pub(super) citations_content: Option<CitationsContent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResponseReasoning {
    #[serde(default)]
    pub(super) reasoning_text: Option<ReasoningContentDelta>,
    #[serde(default)]
    pub(super) redacted_content: Option<String>,
}

/// Text with citations; the citations are dropped, because no client dialect has a field for them.
#[derive(Deserialize)]
pub(super) struct CitationsContent {
    #[serde(default)]
    pub(super) content: Vec<CitationText>,
}

#[derive(Deserialize)]
pub(super) struct CitationText {
    #[serde(default)]
    pub(super) text: String,
}
