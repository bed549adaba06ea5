//! Canonical model between dialects: requests, ordered content blocks, output events, responses and
//! the capabilities of a model. Plain values that the dialects decode and encode. Must never
//! contain bytes of a wire format, nor decide by vendor.

mod answer_tool;
mod block;
mod capabilities;
mod capability_filter;
mod event;
mod json_answer;
mod request;
mod response;
mod response_builder;
mod state_sealer;
mod stop_reason;
mod tool_names;
mod turn_order;

pub use crate::conversation::capability_filter::ANSWER_TOKENS_AFTER_THINKING;
pub use crate::conversation::request::{
    AnswerForm, ChatRequest, Effort, FieldNames, Format, Number, RawJson, ReasoningOptions, Role,
    Sampling, Summary, Tool, ToolChoice, Turn, raw,
};
pub use crate::conversation::response::{ChatResponse, RetainedReasoning};
pub use crate::conversation::response_builder::ResponseBuilder;
pub use crate::conversation::state_sealer::StateSealer;
pub use crate::conversation::stop_reason::StopReason;
pub use crate::conversation::tool_names::{ToolNames, fit_call_id};
pub use answer_tool::{ANSWER_TOOL, AnswerTool};
pub use block::{
    Cache, Content, ContentBlock, Media, Origin, ProviderState, ProviderStateKind, ReasoningBlock,
    Source, ToolCall, ToolResult,
};
pub use capabilities::{Capabilities, IdRule, NameRule, ReasoningStyle, SystemTurns};
pub use event::{BlockKind, OutputEvent};
pub use json_answer::JsonAnswer;
