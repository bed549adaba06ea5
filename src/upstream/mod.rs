//! Upstream calls: the only folder that uses awc. Sends requests unchanged, follows no redirect, and bounds every wait
//! with a timeout.

mod client;
mod connection;
mod destination;
mod error;
mod fetch;
mod response;

pub use client::{Client, OutgoingRequest};
pub use connection::TlsRoots;
pub use error::{ConnectCause, TransportError};
pub use fetch::{FetchRules, Fetcher};
pub use response::IncomingResponse;
