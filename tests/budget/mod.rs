//! Budgets, rate limits, alerts and the adopted clock, tested over HTTP: no overspending, fair queueing, exact messages.

mod alerts;
mod backups;
pub mod call;
mod child_keys;
mod clock;
mod clock_fixture;
mod clock_jumps;
mod invalid_usage;
mod levels;
mod media;
mod money;
mod oversized;
mod queue;
mod queue_admission;
mod race;
mod rate_limit_concurrency;
mod rate_limits;
mod remaining_headers;
mod sampler;
mod unpriced_models;
mod usage_reports;
pub mod vendor_responses;
mod webhook;
mod webhook_delivery;
mod windows;
