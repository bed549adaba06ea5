//! Ledger commands and request reports: orphans, corrections, verification, retention, refusals, filters, explanations.

mod corrections;
mod earlier_schema;
mod explain;
mod export;
mod failures;
mod latencies;
mod orphans;
mod refusals;
mod requests;
mod retention;
mod stated_usage;
mod tail;
mod usage;
mod verify;
