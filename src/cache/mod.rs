//! Cache of answers: which requests it may serve, the fingerprint under which an answer is kept, and the stored answer itself. Takes decoded
//! requests and complete responses; sends, books and records nothing. Must never serve an answer outside its scope.

pub mod answer;
mod canonical;
pub mod eligibility;
pub mod fingerprint;
mod response_cache;
mod semantic;

pub use response_cache::{AskedQuestion, FoundAnswer, ResponseCache, SimilarAnswer};
pub use semantic::Namespace;
