//! Price of a deployment: a row of a sheet, the operator's rates, free or unknown. Gives limits and
//! rates of a model; must never take an unknown price for zero.

use std::sync::Arc;

use super::card::Quote;
use super::class::TokenClass;
use super::rates::Rates;
use super::row::{Mode, Row};
use super::tier::ServiceLevel;

/// Source of a deployment's rates.
#[derive(Clone, Debug)]
pub enum Price {
    /// a row of a price sheet
    Sheet(Arc<Row>),
    /// declared free by the operator
    Free,
    /// the operator's rates in pico-USD per token: `input` for all classes of input, `output` for
    /// all output
    Fixed { input: u64, output: u64 },
    /// no price known: refused under a `block` budget
    Unknown,
}

impl Price {
    /// Context window in tokens, if known.
    pub fn context(&self) -> Option<u64> {
        self.row().and_then(|row| row.context)
    }

    /// Output limit of the model in tokens, if known.
    pub fn max_output(&self) -> Option<u64> {
        self.row().and_then(|row| row.max_output)
    }

    /// True for a model that is known to spend output tokens on reasoning.
    pub fn supports_reasoning(&self) -> bool {
        self.row().is_some_and(Row::supports_reasoning)
    }

    /// Purpose of the model according to the sheet, if listed.
    pub fn mode(&self) -> Option<Mode> {
        self.row().map(|row| row.mode)
    }

    /// True if a call can be billed.
    pub fn is_known(&self) -> bool {
        match self {
            Price::Sheet(row) => row.is_priced(),
            Price::Free | Price::Fixed { .. } => true,
            Price::Unknown => false,
        }
    }

    /// Base rates per token: input, cached input, output, in pico-USD. `None`: not priced.
    pub fn base_rates(&self) -> Option<[u64; 3]> {
        let quote = self.quote(1, None, &ServiceLevel::STANDARD).ok()?;
        let classes = [TokenClass::Input, TokenClass::CacheRead, TokenClass::Output];
        Some(classes.map(|class| quote.rates.rate(class)))
    }

    pub(super) fn row(&self) -> Option<&Row> {
        match self {
            Price::Sheet(row) => Some(row),
            Price::Free | Price::Fixed { .. } | Price::Unknown => None,
        }
    }

    /// Rates for a prompt of `in_total` tokens at a place and service level.
    pub(super) fn quote(
        &self,
        in_total: u64,
        place: Option<&str>,
        level: &ServiceLevel,
    ) -> Result<Quote, PriceUnknown> {
        match self {
            Price::Sheet(row) if row.is_priced() => Ok(row.quote(in_total, place, level)),
            Price::Free => Ok(Quote::of(Rates::default())),
            Price::Fixed { input, output } => Ok(Quote::of(Rates::fixed(*input, *output))),
            Price::Sheet(_) | Price::Unknown => Err(PriceUnknown),
        }
    }
}

/// No price is known for the model, or the sheet lacks a rate that the call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no price is known for this model; give its provider a price in the configuration")]
pub struct PriceUnknown;
