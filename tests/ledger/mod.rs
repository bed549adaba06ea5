//! Ledger commands and request reports: books behind the log, orphans, corrections, verification, retention, refusals, filters, explanations.

mod behind;
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
