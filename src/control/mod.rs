//! The control plane: every change is authorized by a `Grant`, stored and audited in one transaction, applied to the ledger and
//! the directory, and only then answered. Inputs are typed values; JSON, query strings and HTTP are `server/api/`'s. Nothing
//! here touches a model call.

pub mod alerts;
pub mod audit;
mod background;
mod budgets;
mod call_origin;
mod change;
pub mod clock;
pub mod corrections;
mod error;
pub mod input;
pub mod key_status;
pub mod keys;
pub mod limits;
pub mod organizations;
mod owner_limits;
mod plane;
mod reasoning_memory;
pub mod reports;
pub mod requests;
mod retention;
pub mod teams;
#[cfg(test)]
pub(crate) mod test_control;
mod unlogged_endings;

pub use crate::control::background::BackgroundTasks;
pub use crate::control::call_origin::CallOrigin;
pub use crate::control::owner_limits::{BudgetWithStatus, LimitWithStatus, WithLimits};
pub use crate::control::plane::{Catalogue, Control};
