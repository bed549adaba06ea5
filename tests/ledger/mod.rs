//! The ledger's commands and the request reports: orphans and their correction, verification, filters, explanations.

mod corrections;
mod explain;
mod orphans;
mod refusals;
mod requests;
mod retention;
mod usage;
mod verify;
