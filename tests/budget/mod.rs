//! Budgets through the door: nothing is overspent, what fits is served, and every refusal says why.

mod alerts;
pub mod call;
mod children;
mod clock;
mod fits;
mod levels;
mod lying;
mod media;
mod money;
mod oversized;
mod priceless;
mod race;
mod rates;
mod refused;
mod reports;
mod sampler;
mod vendors;
mod waiting;
mod windows;
