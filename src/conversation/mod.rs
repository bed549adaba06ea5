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

pub use answer::{Answer, Remembered};
pub use ask::{
    Ask, Effort, Format, Number, Raw, Reasoning, Role, Sampling, Summary, Tool, ToolChoice, Turn,
    Words, raw,
};
pub use block::{
    Block, Cache, Content, Media, Opaque, OpaqueKind, Origin, Reasoned, Source, ToolCall,
    ToolResult,
};
pub use capabilities::{Capabilities, IdRule, NameRule, ReasoningStyle, SystemTurns};
pub use envelope::Envelope;
pub use event::{Event, Opened};
pub use fit::AFTER_THINKING_OF_OURS;
pub use fold::Fold;
pub use names::{Names, fitting_id};
pub use stop::Stop;
