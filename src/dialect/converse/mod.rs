//! Bedrock's Converse, the upstream's side: requests are written and answers read. One shape for the models of many makers, who keep
//! a few members of their own.

mod maker;
mod read_answer;
mod usage;
mod write_request;

pub use maker::Maker;
pub(super) use read_answer::ConverseReader;
pub(super) use write_request::write_request;
