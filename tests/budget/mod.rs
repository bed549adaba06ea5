//! Budgets through the door: nothing is overspent, what fits is served, and every refusal says why.

pub mod call;
mod fits;
mod lying;
mod oversized;
mod priceless;
mod race;
mod waiting;
mod windows;
