//! Money arithmetic: what a call cost, and the most it can cost. Pure: no IO, no clock, never a float.

mod ceiling;
mod cost;
mod rates;
mod row;
pub mod sheet;
mod snapshot;

use std::sync::Arc;

pub use ceiling::CeilingError;
pub use cost::{Bill, PriceUnknown};
pub use row::{Mode, Row};
pub use sheet::{Sheet, SheetError};

use rates::{Rates, Tier};

/// Where a deployment's rates come from.
#[derive(Clone, Debug)]
pub enum Price {
    /// a row of a price sheet
    Sheet(Arc<Row>),
    /// the operator says that it costs nothing
    Free,
    /// the operator's own rates in pico-USD per token: `input` for every class of input, `output` for all output
    Fixed { input: u64, output: u64 },
    /// nobody said: refused where a budget blocks
    Unknown,
}

impl Price {
    /// The context window in tokens, if known.
    pub fn context(&self) -> Option<u64> {
        self.row().and_then(|row| row.context)
    }

    /// The most output tokens that the model writes, if known.
    pub fn max_output(&self) -> Option<u64> {
        self.row().and_then(|row| row.max_output)
    }

    /// Whether the model is known to spend output tokens on reasoning.
    pub fn supports_reasoning(&self) -> bool {
        self.row().is_some_and(Row::reasons)
    }

    /// What the sheet says that the model is for, if it says so.
    pub fn mode(&self) -> Option<Mode> {
        self.row().map(|row| row.mode)
    }

    /// Whether it knows what this tier costs.
    fn lists(&self, tier: Tier) -> bool {
        self.row().is_none_or(|row| row.lists(tier))
    }

    /// Whether a call could be billed at all.
    pub fn is_known(&self) -> bool {
        match self {
            Price::Sheet(row) => row.is_priced(),
            Price::Free | Price::Fixed { .. } => true,
            Price::Unknown => false,
        }
    }

    fn row(&self) -> Option<&Row> {
        match self {
            Price::Sheet(row) => Some(row),
            Price::Free | Price::Fixed { .. } | Price::Unknown => None,
        }
    }

    /// The rates for a prompt of this many tokens at this tier.
    fn rates(&self, in_total: u64, tier: Tier) -> Result<Rates, PriceUnknown> {
        match self {
            Price::Sheet(row) if row.is_priced() => Ok(*row.card(in_total).at(tier)),
            Price::Free => Ok(Rates::default()),
            Price::Fixed { input, output } => Ok(Rates::fixed(*input, *output)),
            Price::Sheet(_) | Price::Unknown => Err(PriceUnknown),
        }
    }
}
