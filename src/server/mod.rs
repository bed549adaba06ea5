//! The listener: HTTP in, HTTP out. Serves the API on TCP sockets and the local admin socket with the parts that it is given.
//! Decides nothing about a request; besides the simulator, the only folder that names actix-web.

mod api;
mod app;
mod certificates;
mod connection;
mod cookie;
mod dashboard;
mod endpoint_row;
mod extract;
mod headers;
mod health;
mod inference;
mod listener;
mod oidc;
mod public_url;
mod respond;
mod surface;
#[cfg(test)]
mod test_worker;
mod worker;

pub use crate::server::api::requests::request_table;
pub use crate::server::app::endpoints;
pub use crate::server::certificates::{CertificateError, Certificates, Reload};
pub use crate::server::endpoint_row::{EndpointAccess, EndpointRow};
pub use crate::server::listener::{Listener, Sockets, bind, listen};
pub use crate::server::public_url::{OIDC_CALLBACK, PublicUrl};
pub use crate::server::worker::Worker;

/// Runs a future on the runtime that the listener needs.
pub fn block_on<F: Future>(future: F) -> F::Output {
    actix_web::rt::System::new().block_on(future)
}
