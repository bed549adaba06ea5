//! Upstream calls: an HTTP/1.1 client with a pool per worker. Sends requests unchanged, follows no redirect, and bounds every wait
//! with a timeout.

mod address;
mod body;
mod chunked;
mod client;
mod connect;
mod connection;
mod destination;
mod error;
mod exchange;
mod fetch;
mod pools;
mod request_head;
mod request_url;
mod response;
mod response_head;
mod script;
mod shelf;
mod socket;
#[cfg(test)]
mod tests;
mod tls;

pub use client::{Client, Egress, OutgoingRequest};
pub use destination::look_up;
pub use error::{ConnectCause, TransportError};
pub use fetch::{FetchRules, Fetcher};
pub use response::IncomingResponse;
pub use script::{Script, ScriptedResponse};
pub use tls::{TlsFileError, connect_tls};
