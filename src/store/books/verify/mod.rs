//! Verification of the books: `recount` computes balances, roll-ups (`periods`) and days of tags and users (`stated`) again from the records, `wal_check` reads the active
//! segment of the log, `verification` runs both and `report` holds the result. It changes nothing.

mod periods;
mod recount;
pub(in crate::store) mod report;
mod stated;
pub(in crate::store) mod verification;
mod wal_check;
