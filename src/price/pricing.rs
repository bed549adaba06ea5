//! Price of a deployment: a row of a sheet, the operator's rates, free or unknown. Gives limits and
//! rates of a model; must never take an unknown price for zero.

use std::sync::Arc;

use super::card::Quote;
use super::class::TokenClass;
use super::factor::Factor;
use super::own::{OwnPrice, OwnRates};
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
    /// set by the operator
    Own(Arc<OwnPrice>),
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
            Price::Own(own) => {
                let is_listed = || own.row.as_ref().is_some_and(|row| row.is_priced());
                own.is_reported || own.rates.is_some() || is_listed()
            }
            Price::Free => true,
            Price::Unknown => false,
        }
    }

    /// Base rates per token at a place, with factors: input, cached input, output, in pico-USD. `None`: not priced.
    pub fn base_rates(&self, place: Option<&str>) -> Option<[u64; 3]> {
        let quote = self.quote(1, place, &ServiceLevel::STANDARD).ok()?;
        let classes = [TokenClass::Input, TokenClass::CacheRead, TokenClass::Output];
        Some(classes.map(|class| quote.factor.rate(quote.rates.rate(class))))
    }

    /// One rate for all input and one for all output, in pico-USD per token.
    pub fn fixed(input: u64, output: u64) -> Price {
        Price::Own(Arc::new(OwnPrice {
            rates: Some(OwnRates::fixed(input, output)),
            factor: Factor::ONE,
            row: None,
            is_reported: false,
        }))
    }

    /// Returns true if the vendor's reported cost is the cost.
    pub fn is_reported(&self) -> bool {
        matches!(self, Price::Own(own) if own.is_reported)
    }

    /// Returns true if the token rates are those of the sheet.
    pub(super) fn has_listed_rates(&self) -> bool {
        match self {
            Price::Sheet(_) => true,
            Price::Own(own) => own.rates.is_none() && own.row.is_some(),
            Price::Free | Price::Unknown => false,
        }
    }

    /// Fee of the operator for each request, in pico-USD.
    pub(super) fn per_request(&self) -> u64 {
        match self {
            Price::Own(own) => own.rates.map_or(0, |rates| rates.per_request),
            Price::Sheet(_) | Price::Free | Price::Unknown => 0,
        }
    }

    /// Row of the price sheet: limits and fees, and rates unless the operator sets them.
    pub fn row(&self) -> Option<&Row> {
        self.shared_row().map(Arc::as_ref)
    }

    /// `row`, to be kept.
    pub fn shared_row(&self) -> Option<&Arc<Row>> {
        match self {
            Price::Sheet(row) => Some(row),
            Price::Own(own) => own.row.as_ref(),
            Price::Free | Price::Unknown => None,
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
            Price::Own(own) => match (&own.rates, &own.row) {
                (Some(own_rates), _) => Ok(own.factored(Quote::of(own_rates.rates))),
                (None, Some(row)) if row.is_priced() => {
                    Ok(own.factored(row.quote(in_total, place, level)))
                }
                (None, _) => Err(PriceUnknown),
            },
            Price::Sheet(_) | Price::Unknown => Err(PriceUnknown),
        }
    }

    /// Highest rates for a prompt of at most `in_total` tokens.
    pub(super) fn highest_quote(
        &self,
        in_total: u64,
        place: Option<&str>,
        level: &ServiceLevel,
    ) -> Result<Quote, PriceUnknown> {
        match self {
            Price::Sheet(row) => Ok(row.highest_quote(in_total, place, level)),
            Price::Own(own) if own.rates.is_none() && self.is_known() => {
                let quote = |row: &Arc<Row>| row.highest_quote(in_total, place, level);
                let quote = own.row.as_ref().map(quote).ok_or(PriceUnknown)?;
                Ok(own.factored(quote))
            }
            other => other.quote(in_total, place, level),
        }
    }
}

impl OwnPrice {
    fn factored(&self, quote: Quote) -> Quote {
        Quote {
            factor: quote.factor.and(self.factor),
            ..quote
        }
    }
}

/// No price is known for the model, or the sheet lacks a rate that the call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no price is known for this model; give its provider a price in the configuration")]
pub struct PriceUnknown;
