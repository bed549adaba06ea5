//! Model calls as clients make them: through the listener of the gateway process, in front of a scripted upstream, in all
//! dialects. Each fixture's `Drop` asserts that no hold is open and that the books agree.

pub mod fixture;

mod attribution;
mod bad_body;
mod bad_key;
mod bad_model;
mod bedrock;
mod broken_answer;
mod broken_stream;
mod claude_code;
mod compressed;
mod disconnect;
mod drain;
mod egress;
mod embeddings;
mod endings;
mod endpoints;
mod headers;
mod images;
mod log_lines;
mod matrix;
mod models;
mod native_embeddings;
mod native_vendors;
mod odd_recordings;
mod panics;
mod parsed_response;
mod real_vendors;
mod relay_chat;
mod relay_messages;
mod request_bytes;
mod responses;
mod secrets;
mod sockets;
mod stop;
mod token_count;
mod traces;
mod translation;
mod traps;
mod upstream_refusal;
mod vendor_limits;
mod vendors;
mod waiting;
