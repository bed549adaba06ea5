//! Upstream calls: the only folder that uses awc. Sends requests unchanged, follows no redirect, and bounds every wait
//! with a timeout.

mod address;
mod client;
mod connection;
mod destination;
mod error;
mod fetch;
mod pools;
mod request_body;
mod response;
mod script;

pub use client::{Client, Egress, OutgoingRequest};
pub use connection::{TlsFileError, connect_tls};
pub use destination::look_up;
pub use error::{ConnectCause, TransportError};
pub use fetch::{FetchRules, Fetcher};
pub use response::IncomingResponse;
pub use script::{Script, ScriptedResponse};
