//! Calls to vendors: the only folder that knows awc. It sends what it is given, follows no redirect, changes no byte, and
//! every wait in it has a deadline.

mod client;
mod destination;
mod fetch;

pub use client::{Client, IncomingResponse, OutgoingRequest, TlsRoots, TransportError};
pub use fetch::{FetchRules, Fetcher};
