//! The control plane: every change is authorized by a `Grant`, stored and audited in one transaction, applied to the ledger and
//! the directory, and only then answered. Inputs are typed values; JSON, query strings and HTTP are `server/api/`'s. Nothing
//! here touches a model call.

pub mod admin_keys;
pub mod alerts;
pub mod audit;
mod background;
mod backup;
pub mod budget_list;
mod budgets;
pub mod cache;
mod call_origin;
mod ceilings;
mod certificates;
mod change;
pub mod clock;
pub mod corrections;
mod deletion;
mod error;
mod follower;
mod idempotency;
pub mod input;
pub mod instance;
pub mod issuer;
mod key_deletion;
pub mod key_status;
mod key_uses;
pub mod keys;
pub mod labels;
pub mod limits;
pub mod me;
mod member_keys;
pub mod memberships;
mod names;
pub mod oidc;
pub mod organizations;
mod owner_limits;
pub mod page;
mod plane;
mod price_board;
pub mod prices;
mod reasoning_memory;
pub mod reports;
pub mod requests;
mod retention;
pub mod rotation;
mod run_facts;
mod session_times;
pub mod settings;
pub mod sign_in;
mod sign_in_state;
pub mod state;
pub mod teams;
#[cfg(test)]
pub(crate) mod test_control;
mod unlogged_endings;
pub mod users;
mod verification_job;
mod version;
mod webhook;

pub use crate::control::background::BackgroundTasks;
pub use crate::control::call_origin::CallOrigin;
pub use crate::control::idempotency::IdempotencyKey;
pub use crate::control::owner_limits::{BudgetWithStatus, LimitWithStatus, WithLimits};
pub use crate::control::plane::{Catalogue, Control};
pub use crate::control::price_board::{PricesError, StoredPrices};
pub use crate::control::verification_job::VerificationStatus;
