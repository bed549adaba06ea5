//! The neutral hub between two dialects: what a client asks and what an upstream answers, in the richest shape that any of
//! them has (ordered blocks). Plain values; the dialects read and write them. Never bytes of a wire format, never a decision by vendor.

mod answer;
mod ask;
mod block;
mod capabilities;
mod envelope;
mod event;
mod fit;
mod fold;
mod names;
mod order;
mod stop;

pub use answer::{ChatResponse, RetainedReasoning};
pub use ask::{
    ChatRequest, Effort, Format, Number, RawJson, ReasoningOptions, Role, Sampling, Summary, Tool, ToolChoice, Turn,
    FieldNames, raw,
};
pub use block::{
    ContentBlock, Cache, Content, Media, ProviderState, ProviderStateKind, Origin, ReasoningBlock, Source, ToolCall,
    ToolResult,
};
pub use capabilities::{Capabilities, IdRule, NameRule, ReasoningStyle, SystemTurns};
pub use envelope::StateSealer;
pub use event::{OutputEvent, BlockKind};
pub use fit::ANSWER_TOKENS_AFTER_THINKING;
pub use fold::ResponseBuilder;
pub use names::{ToolNames, fitting_id};
pub use stop::StopReason;
