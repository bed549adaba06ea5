//! Everything that is held: the ledger takes the worst case in every budget above the caller before a call, and puts the
//! actual cost in its place afterwards.

mod alerts;
pub mod estimates;
mod ledger;
mod rate_limits;
mod state;
#[cfg(test)]
mod tests;

pub use crate::meter::alerts::THRESHOLD_PERCENT;
pub use crate::meter::rate_limits::{Measure, RateLimitHit, RateLimitStatus, Tokens};
pub use ledger::{Claim, HoldError, HoldGrant, Ledger, Receipt};
pub use state::{BudgetStatus, HoldDenial, TightestBudget};
