//! Policy checks of a call: pure functions of their arguments, one file per policy. They change nothing.

pub mod access;
pub mod similar_names;
