//! Routing: resolves the model name of a request to the deployments that may serve it, chooses among them, and decides after a failed
//! attempt. Sends nothing, and knows no caller.

mod breaker;
mod cell;
mod deployment;
mod granting_names;
mod health;
mod minute;
mod models;
mod moment;
mod plan;
mod progress;
mod retry;
mod routes;
#[cfg(test)]
mod simulation;
mod strategy;
mod table;
mod turns;
mod weighted;

pub use breaker::BreakerState;
pub use cell::RouteCell;
pub use deployment::{Deployment, DeploymentNames, RouteError};
pub use health::{Health, HealthChange, HealthStatus, RunningCall};
pub use moment::{Moment, mix};
pub use plan::{Candidate, Plan};
pub use progress::{FailedAttempt, RouteProgress, Step};
pub use routes::{Resolution, Route, Target, Unreachable};
pub use strategy::by_chance;
pub use table::RouteTable;
