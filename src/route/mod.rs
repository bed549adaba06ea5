//! Where a call goes: the name that a client asked for in, the deployment that serves it out.

pub mod table;

pub use table::{Deployment, RouteError, RouteTable};
