//! Bedrock's Converse, the upstream's side: requests are written and answers read. One shape for the models of many makers, who keep
//! a few members of their own.

mod additional;
mod decode_response;
mod encode_request;
mod maker;
mod media;
mod tools;
mod usage;

pub(super) use crate::dialect::converse::decode_response::ConverseDecoder;
pub(super) use encode_request::write_request;
pub use maker::{Maker, plain_id};
