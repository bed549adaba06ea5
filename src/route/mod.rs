//! Routing: resolves the model name of a request to the deployment that serves it.

pub mod table;

pub use table::{Deployment, RouteError, RouteTable};
