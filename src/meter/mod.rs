//! Ledger: reserves the maximum cost of a call in every budget of its caller before the call, and replaces the reservation by
//! the actual cost afterwards. Also enforces rate limits and raises budget alerts. It logs to the WAL, never writes the books,
//! and never waits.

mod alerts;
mod balance;
mod ceilings;
pub mod estimates;
mod free_call;
mod ledger;
mod rate_limits;
mod retries;
mod sent_alerts;
mod state;
#[cfg(test)]
mod tests;
mod used_up;
mod would_refuse;

pub use crate::meter::balance::WouldRefuse;
pub use crate::meter::ceilings::{Ceilings, ReportedBill};
pub use crate::meter::rate_limits::{Measure, RateLimitHit, RateLimitStatus, Tokens};
pub use crate::meter::retries::RunningRetry;
pub use crate::meter::sent_alerts::THRESHOLD_PERCENT;
pub use ledger::{Claim, HoldError, HoldGrant, Ledger, Receipt};
pub use state::{BudgetStatus, HoldDenial, TightestBudget};
