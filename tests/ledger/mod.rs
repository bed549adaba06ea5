//! Ledger commands and request reports: orphans, corrections, verification, retention, refusals, filters, explanations.

mod corrections;
mod earlier_schema;
mod explain;
mod export;
mod orphans;
mod refusals;
mod requests;
mod retention;
mod usage;
mod verify;
