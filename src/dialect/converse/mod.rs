//! Upstream side of Bedrock's Converse: request encoder, response decoder, usage. Converse has one
//! format for many model families; fields specific to a family go to `model_fields`. Pure bytes, no
//! IO.

mod decode_response;
mod encode_request;
mod media;
mod model_family;
mod model_fields;
mod response_body;
mod tools;
mod usage;

pub(super) use crate::dialect::converse::decode_response::ConverseDecoder;
pub(super) use encode_request::encode_request;
pub use model_family::{ModelFamily, base_model_id};
