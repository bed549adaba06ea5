//! Lines of a bill as an operator reads them: card, class, count, listed rate, factor. Each amount
//! equals that of the cost line which the record keeps.

use std::fmt;
use std::sync::Arc;

use super::factor::Factor;
use super::fees::FeeUnit;
use crate::domain::event::CostLine;
use crate::domain::money::Money;

/// Card that a line was priced with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardLabel {
    /// model of the row; empty for rates set by the operator
    pub model: String,
    /// tier as priced; `unlisted` if the dearest tier stands in
    pub tier: &'static str,
    /// place of the deployment, if the configuration names one
    pub place: Option<String>,
    /// the band holds for prompts of more tokens than this
    pub above_input_tokens: u64,
}

/// Unit of a line's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineUnit {
    Token,
    Fee(FeeUnit),
}

/// Line of a bill: count × listed rate × factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricedLine {
    pub card: Arc<CardLabel>,
    /// one of `CostLine::CLASSES`
    pub class: &'static str,
    pub count: u64,
    pub unit: LineUnit,
    /// pico-USD per unit before the factor
    pub listed_pico: u64,
    /// 1 for a fee
    pub factor: Factor,
}

impl PricedLine {
    /// Line as a record keeps it: the factor is part of the rate.
    pub fn cost_line(&self) -> CostLine {
        CostLine {
            class: self.class,
            count: self.count,
            rate_pico: self.factor.rate(self.listed_pico),
        }
    }

    pub fn amount(&self) -> Money {
        self.cost_line().amount()
    }
}

/// `standard tier of gpt-5.4 in eu above 272000 tokens`
impl fmt::Display for CardLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tier", self.tier)?;
        if !self.model.is_empty() {
            write!(f, " of {}", self.model)?;
        }
        if let Some(place) = &self.place {
            write!(f, " in {place}")?;
        }
        if self.above_input_tokens > 0 {
            write!(f, " above {} tokens", self.above_input_tokens)?;
        }
        Ok(())
    }
}

/// `1000 input: $0.00000125 per token × 1.1 = $0.001375 (standard tier of gpt-5.4 in eu)`
impl fmt::Display for PricedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = Money::from_pico(i128::from(self.listed_pico));
        let unit = match self.unit {
            LineUnit::Token => "token",
            LineUnit::Fee(FeeUnit::Call) => "call",
            LineUnit::Fee(FeeUnit::Query) => "query",
            LineUnit::Fee(FeeUnit::Prompt) => "prompt",
            LineUnit::Fee(FeeUnit::Session) => "session",
        };
        write!(f, "{} {}: ${rate} per {unit}", self.count, self.class)?;
        if self.factor != Factor::ONE {
            write!(f, " × {}", self.factor)?;
        }
        write!(f, " = ${} ({})", self.amount(), self.card)
    }
}

#[cfg(test)]
mod tests;
