//! TODO-HEADER

pub(crate) mod compat;
pub(crate) mod inline_images;
pub(crate) mod reasoning_memory;
pub(crate) mod translate;
