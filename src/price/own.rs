//! Prices that the operator sets: rates by class, a fee for each request, a discount on listed rates, or the vendor's reported cost.
//! Must never take an absent rate for zero.

use std::sync::Arc;

use super::class::TokenClass;
use super::factor::Factor;
use super::rates::{Rates, SheetRates};
use super::row::Row;

/// Rates set by the operator. A class without a rate costs as much as the class that contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnRates {
    pub(super) rates: Rates,
    /// pico-USD for each request
    pub(super) per_request: u64,
}

impl OwnRates {
    /// Names of the rates in a configuration, and of the classes that they are for.
    const CLASSES: [(&'static str, &'static [TokenClass]); 13] = [
        ("input", &[TokenClass::Input]),
        ("output", &[TokenClass::Output]),
        ("cache_read", &[TokenClass::CacheRead]),
        ("cache_write", &[TokenClass::CacheWrite]),
        ("cache_write_1h", &[TokenClass::CacheWrite1h]),
        ("cache_write_12h", &[TokenClass::CacheWrite12h]),
        ("reasoning", &[TokenClass::OutputReasoning]),
        ("audio_in", &[TokenClass::InputAudio]),
        ("audio_cached", &[TokenClass::CacheReadAudio]),
        ("audio_out", &[TokenClass::OutputAudio]),
        ("image_in", &[TokenClass::InputImage]),
        ("image_cached", &[TokenClass::CacheReadImage]),
        ("image_out", &[TokenClass::OutputImage]),
    ];

    /// Names of the rates, in USD per million tokens.
    pub fn names() -> impl Iterator<Item = &'static str> {
        OwnRates::CLASSES.into_iter().map(|(name, _)| name)
    }

    /// Rates in pico-USD per token by name, and a fee for each request.
    pub fn new(rates: &[(&str, u64)], per_request: u64) -> OwnRates {
        let mut own = SheetRates::default();
        for (name, rate) in rates {
            let classes = OwnRates::CLASSES.iter().find(|(known, _)| known == name);
            for class in classes.into_iter().flat_map(|(_, classes)| *classes) {
                own = own.with(*class, Some(*rate));
            }
        }
        OwnRates {
            rates: Rates::own_rates(own),
            per_request,
        }
    }

    /// One rate for all input and one for all output.
    pub fn fixed(input: u64, output: u64) -> OwnRates {
        OwnRates::new(&[("input", input), ("output", output)], 0)
    }

    /// Rates of plain input and output, in pico-USD per token.
    pub fn input_and_output(&self) -> (u64, u64) {
        let rate = |class| self.rates.rate(class);
        (rate(TokenClass::Input), rate(TokenClass::Output))
    }

    /// Returns true if nothing has a price.
    pub fn is_zero(&self) -> bool {
        let highest = self.rates.highest_input(true, true) | self.rates.highest_output();
        highest | self.per_request == 0
    }
}

/// Price of a deployment that the operator sets, on top of what the sheet lists.
#[derive(Clone, Debug)]
pub struct OwnPrice {
    /// `None`: the rates of the row
    pub rates: Option<OwnRates>,
    /// factor on all token rates
    pub factor: Factor,
    /// row of the price sheet: limits of the model, and fees of the vendor's tools
    pub row: Option<Arc<Row>>,
    /// the vendor's reported cost is the cost; rates give the ceiling
    pub is_reported: bool,
}
