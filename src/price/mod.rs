//! Cost of a call and its ceiling, from usage or input bound and the rates of a model. Pure
//! arithmetic: must never do IO, read a clock or use floats.

mod ceiling;
mod cost;
mod pricing;
mod rates;
mod row;
pub mod sheet;
mod snapshot;

pub use ceiling::CeilingError;
pub use cost::Bill;
pub use pricing::{Price, PriceUnknown};
pub use row::{Mode, Row};
pub use sheet::{Sheet, SheetError};
