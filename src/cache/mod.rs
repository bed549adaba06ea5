//! Cache of answers: which requests it may serve, the fingerprint under which an answer is kept, the stored answer itself, and the semantic
//! step: embedder, search of its vectors, and the guards that judge a candidate. Takes decoded requests and complete responses; sends, books
//! and records nothing. Must never serve an answer outside its scope.

pub mod answer;
mod canonical;
mod cell;
pub mod eligibility;
pub mod embedder;
pub mod fingerprint;
pub mod guards;
mod response_cache;
pub mod search;
mod semantic;
mod simd;
mod spelling;

pub use cell::CacheCell;
pub use response_cache::{AskedQuestion, FoundAnswer, ResponseCache, SimilarAnswer};
pub use semantic::Namespace;
