//! Everything that is held: the ledger takes the worst case in every budget above the caller before a call, and puts the
//! actual cost in its place afterwards.

mod alert;
pub mod estimate;
mod ledger;
mod rates;
mod state;
#[cfg(test)]
mod tests;
pub mod window;

pub use alert::THRESHOLD_PERCENT;
pub use ledger::{Claim, HoldGrant, Ledger, Receipt, HoldError};
pub use rates::{RateLimitHit, Measure, RateLimitStatus, Tokens};
pub use state::{HoldDenial, BudgetStatus, Tightest};
