//! Windows of budgets, cut in the zone of the instance.

pub use crate::domain::zone::{Window, Zone};
