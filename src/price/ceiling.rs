//! Ceiling: the maximum cost of a call before it is sent, from its input bound and its output cap.
//! It can be too high but must never be too low: all usage within bound and cap, at every tier that
//! could serve the call, costs at most the ceiling.

use super::pricing::{Price, PriceUnknown};
use super::rates::{Rates, Tier};
use crate::domain::input_bound::InputBound;
use crate::domain::money::Money;

/// Maximum tokens of an image: 10,000 patches of 32 × 32 pixels at full detail, plus a quarter for
/// the model's multiplier. The sheet lists models with a higher maximum (`image_tokens`).
const IMAGE_TOKENS: u64 = 12_500;

/// Tokens that a model's template adds once for tools (346 to 804 where published).
const TOOL_PREAMBLE_TOKENS: u64 = 1_000;

/// Tokens that the template adds for each tool besides the bytes of its declaration: a
/// vendor-defined tool (computer, editor, shell) is only a name in the body and takes at most 735
/// tokens where published.
const TOOL_TOKENS: u64 = 800;

/// Reason for the lack of a ceiling.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CeilingError {
    /// no price is known for the model
    #[error("{PriceUnknown}")]
    Unpriced,
    /// the input has no bound; the reason, such as `remote image URL`
    #[error("nothing bounds what this request can cost: {0}")]
    Unbounded(String),
}

/// Highest rates that can apply to a call.
#[derive(Default)]
struct HighestRates {
    input: u64,
    output: u64,
    search: u64,
}

impl HighestRates {
    fn include(&mut self, rates: &Rates, has_audio: bool) {
        self.input = self.input.max(rates.highest_input(has_audio));
        self.output = self.output.max(rates.highest_output());
        self.search = self.search.max(rates.search);
    }
}

impl Price {
    /// Maximum cost of a call with this input and at most `output_cap` tokens in each of `choices`
    /// responses.
    pub fn ceiling(
        &self,
        input: &InputBound,
        output_cap: u64,
        choices: u64,
        requested_tier: Option<&str>,
    ) -> Result<Money, CeilingError> {
        let (input, output_rate) = self.input_ceiling_and_output_rate(input, requested_tier)?;
        Ok(input.plus(output_rate.times(output_cap).times(choices)))
    }

    /// Maximum cost of the input alone.
    pub fn input_ceiling(
        &self,
        input: &InputBound,
        requested_tier: Option<&str>,
    ) -> Result<Money, CeilingError> {
        self.input_ceiling_and_output_rate(input, requested_tier)
            .map(|(input, _)| input)
    }

    /// Output tokens in each of `choices` responses that `remainder` buys after the input.
    pub fn affordable_output(
        &self,
        input: &InputBound,
        choices: u64,
        requested_tier: Option<&str>,
        remainder: Money,
    ) -> Result<u64, CeilingError> {
        let (input, output_rate) = self.input_ceiling_and_output_rate(input, requested_tier)?;
        let left = remainder.minus(input).pico();
        let per_token = output_rate.times(choices.max(1)).pico();
        Ok(match (left, per_token) {
            (..0, _) => 0,
            (_, 0) => u64::MAX,
            _ => u64::try_from(left / per_token).unwrap_or(u64::MAX),
        })
    }

    /// Maximum cost of the input, and the highest rate of an output token.
    fn input_ceiling_and_output_rate(
        &self,
        input: &InputBound,
        requested_tier: Option<&str>,
    ) -> Result<(Money, Money), CeilingError> {
        if !self.is_known() {
            return Err(CeilingError::Unpriced);
        }
        if matches!(self, Price::Free) {
            return Ok((Money::ZERO, Money::ZERO));
        }
        if let Some(tier) = requested_tier.filter(|tier| !self.has_rates_for(Tier::parse(tier))) {
            return Err(CeilingError::Unbounded(format!(
                "the price sheet has no rates for {tier}"
            )));
        }
        let tokens = self.input_tokens(input)?;
        let rates = self.highest_rates(tokens, input.audio, requested_tier);
        let cost = |rate: u64, count| Money::from_pico(i128::from(rate)).times(count);
        Ok((
            cost(rates.input, tokens).plus(cost(rates.search, input.searches)),
            cost(rates.output, 1),
        ))
    }

    /// Maximum tokens of the input.
    fn input_tokens(&self, input: &InputBound) -> Result<u64, CeilingError> {
        let context_window = |what: &str| {
            self.context().ok_or_else(|| {
                CeilingError::Unbounded(format!(
                    "{what} for a model whose context window is not known"
                ))
            })
        };
        if let Some(reason) = &input.unbounded {
            return Err(CeilingError::Unbounded(reason.clone()));
        }
        let prompts = input.prompts.max(1);
        if input.searches > 0 {
            // the results of each search are input again
            return Ok(context_window("a web search")?
                .saturating_mul(input.searches.saturating_add(prompts)));
        }
        if input.documents > 0 {
            return Ok(context_window("a document")?.saturating_mul(prompts));
        }
        let windows = self
            .context()
            .map(|context| context.saturating_mul(prompts));
        Ok(self.counted_tokens(input).min(windows.unwrap_or(u64::MAX)))
    }

    fn counted_tokens(&self, input: &InputBound) -> u64 {
        let image_tokens = self
            .row()
            .and_then(|row| row.image_tokens)
            .unwrap_or(IMAGE_TOKENS);
        let tools = if input.tools > 0 {
            input
                .tools
                .saturating_mul(TOOL_TOKENS)
                .saturating_add(TOOL_PREAMBLE_TOKENS)
        } else {
            0
        };
        input
            .text_bytes
            .saturating_add(input.images.saturating_mul(image_tokens))
            .saturating_add(tools)
    }

    /// Highest rates over all tiers and context bands that can apply to the call.
    fn highest_rates(
        &self,
        tokens: u64,
        has_audio: bool,
        requested_tier: Option<&str>,
    ) -> HighestRates {
        let mut highest = HighestRates::default();
        match self {
            Price::Sheet(row) => row
                .reachable(tokens)
                .flat_map(|card| Tier::possible(requested_tier).map(|tier| card.at(tier)))
                .for_each(|rates| highest.include(rates, has_audio)),
            Price::Fixed { input, output } => {
                highest.include(&Rates::fixed(*input, *output), has_audio)
            }
            Price::Free | Price::Unknown => {}
        }
        highest
    }
}

#[cfg(test)]
mod tests;
