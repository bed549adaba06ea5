//! Routing: resolves the model name of a request to the deployments that may serve it, chooses among them, and decides after a failed
//! attempt. Sends nothing, and knows no caller.

mod plan;
mod progress;
mod retry;
mod routes;
pub mod table;
mod weighted;

pub use plan::{Candidate, Plan};
pub use progress::{FailedAttempt, RouteProgress, Step};
pub use routes::{Resolved, Route, Target, Unreachable};
pub use table::{Deployment, RouteError, RouteTable};
