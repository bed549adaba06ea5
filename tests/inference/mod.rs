//! Model calls as clients make them: through the listener of the real process, in front of a scripted upstream, in both
//! dialects. After every house the harness checks that no hold is open and that all books have one sum.

mod house;

mod attribution;
mod bad_body;
mod bad_key;
mod bad_model;
mod bedrock;
mod broken_answer;
mod broken_stream;
mod claude_code;
mod drain;
mod embeddings;
mod endings;
mod endpoints;
mod foreign;
mod hang_up;
mod headers;
mod images;
mod matrix;
mod messages_hub;
mod models;
mod panics;
mod relay_chat;
mod relay_messages;
mod request_bytes;
mod responses;
mod secrets;
mod sockets;
mod stop;
mod token_count;
mod told;
mod traps;
mod upstream_refusal;
mod vendors;
mod waiting;
