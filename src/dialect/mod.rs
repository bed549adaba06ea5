//! Wire formats: reads requests, streams and responses, edits a request without re-serializing it, writes the gateway's own errors.
//! Pure functions on bytes: must never do IO, decide by vendor, or re-serialize a body that is passed through.
//!
//! Each dialect has a folder with the same file names in each; `registry` leads from a `Dialect` to its folder.

mod answer_check;
mod chat;
mod client;
mod codec;
mod cohere;
mod converse;
mod decoded_response;
mod dispatch;
mod embeddings;
mod error;
mod gemini;
mod input_bound;
mod members;
mod messages;
mod models;
mod name;
mod ollama;
mod reasoning_tap;
mod registry;
mod replay;
mod request;
mod request_edits;
mod response_stream;
mod responses;
mod schema;
mod tap;
mod text_counter;
mod translate;
mod upstream;
mod usage_rules;
mod wire;

#[cfg(test)]
mod samples;

pub use chat::with_returned_reasoning;
pub use codec::{EncodeOptions, ResponseMeta};
pub use converse::{ModelFamily, base_model_id};
pub use decoded_response::{DecodedResponse, IncompleteResponse};
pub use dispatch::{
    cost_comment, effective_status, error_body, is_error_body, ping, read, upstream_error,
};
pub use embeddings::{EmbeddedBatch, EmbeddingFormat, EmbeddingRequest};
pub use error::{UpstreamError, retry_after_s};
pub use members::{NESTED_OPTIONS, is_bound_alias, is_known_member};
pub use messages::without_foreign_reasoning;
pub use models::{
    ModelEntry, ModelPage, behind_alias, model_object, models_list, models_page, picker_alias,
};
pub use name::{Dialect, Operation};
pub use replay::{complete_response, replay};
pub use request::{OutputCap, Request};
pub use response_stream::{ForwardedEvent, ResponseStream, StreamOptions};
pub use tap::EventKind;
pub use text_counter::DeliveredText;
pub use translate::{decode_request, encode_request, field_names};
pub use usage_rules::UsageRules;
pub use wire::framing::{BadFrame, Framing};
pub use wire::splice::Edit;
