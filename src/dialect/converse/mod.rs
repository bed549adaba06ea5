//! Bedrock's Converse, the upstream's side: requests are written and answers read. One shape for the models of many makers, who keep
//! a few members of their own.

mod additional;
mod maker;
mod media;
mod read_answer;
mod tools;
mod usage;
mod write_request;

pub use maker::{Maker, plain_id};
pub(super) use read_answer::ConverseDecoder;
pub(super) use encode_request::write_request;
