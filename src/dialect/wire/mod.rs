//! TODO-HEADER

pub(crate) mod count;
pub(crate) mod eventstream;
pub(crate) mod framing;
pub(crate) mod json;
pub(crate) mod raw_object;
pub(crate) mod splice;
pub(crate) mod sse;
