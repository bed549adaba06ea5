//! Request side of an attempt: capability rules, translation, images by URL and reasoning state. Turns a decoded request into
//! what one deployment receives; sends nothing and holds nothing.

pub(super) mod compat;
pub(super) mod embeddings;
pub(super) mod fitting;
mod inline_images;
pub(super) mod known_members;
mod media_types;
pub(super) mod passthrough;
pub(super) mod reasoning_memory;
pub(super) mod route_params;
pub(super) mod translate;

/// Longest answer assumed of a model whose price sheet row does not state one.
pub(super) const UNKNOWN_MODEL_TOKENS: u64 = 4_096;
