//! Cost of a call and its ceiling, from usage or input bound and the rates of a model. Pure
//! arithmetic: must never do IO, read a clock or use floats.

mod card;
mod ceiling;
mod class;
mod context;
mod cost;
mod factor;
mod fees;
mod own;
mod pricing;
#[cfg(test)]
mod properties;
mod rates;
mod row;
pub mod sheet;
pub mod sheet_difference;
mod tier;
#[cfg(test)]
mod words;

pub use ceiling::CeilingError;
pub use context::PricingContext;
pub use cost::Bill;
pub use factor::Factor;
pub use own::{OwnPrice, OwnRates};
pub use pricing::{Price, PriceUnknown};
pub use row::{Mode, Row, Support};
pub use sheet::{Sheet, SheetError};
