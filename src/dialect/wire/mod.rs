//! Framings of streams (server-sent events, lines, AWS frames) and tools for JSON in bytes: visitors, raw objects, splices. Knows no
//! dialect; must never decode more than its caller asks for.

pub(crate) mod amount;
pub(crate) mod count;
pub(crate) mod eventstream;
pub(crate) mod framing;
pub(crate) mod json;
pub(crate) mod raw_object;
mod reader;
mod scanner;
pub(crate) mod shape;
pub(crate) mod splice;
pub(crate) mod sse;
pub(crate) mod template;
