//! Answers given again: the embedder of the semantic step, the search of its vectors and the guards that judge a candidate.

pub mod embedder;
pub mod guards;
pub mod search;
mod simd;
mod spelling;
