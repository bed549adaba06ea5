//! Ceiling: the maximum cost of a call before it is sent, from its input bound and its output cap.
//! It can be too high but must never be too low: all usage within bound and cap, at every tier that
//! could serve the call, costs at most the ceiling.

use super::card::Quote;
use super::context::PricingContext;
use super::cost::ToolUsage;
use super::pricing::{Price, PriceUnknown};
use super::row::Row;
use super::tier::ServiceLevel;
use crate::domain::input_bound::InputBound;
use crate::domain::money::Money;
use crate::domain::server_tool::ServerTool;

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

/// Highest rates of a token that can apply to a call.
#[derive(Clone, Copy, Default)]
struct HighestRates {
    input: u64,
    output: u64,
}

impl HighestRates {
    fn of(quote: &Quote, input: &InputBound) -> HighestRates {
        let has_media = input.images > 0 || input.documents > 0;
        let rates = &quote.rates;
        HighestRates {
            input: quote
                .factor
                .rate(rates.highest_input(input.audio, has_media)),
            output: quote.factor.rate(rates.highest_output()),
        }
    }

    fn max(self, other: HighestRates) -> HighestRates {
        HighestRates {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
        }
    }
}

impl Price {
    /// Maximum cost of a call with this input and at most `output_cap` tokens in each of `choices`
    /// responses.
    pub fn ceiling<'a>(
        &self,
        input: &InputBound,
        output_cap: u64,
        choices: u64,
        context: impl Into<PricingContext<'a>>,
    ) -> Result<Money, CeilingError> {
        let (input, output_rate) = self.input_ceiling_and_output_rate(input, &context.into())?;
        Ok(input.plus(output_rate.times(output_cap).times(choices)))
    }

    /// Maximum cost of the input alone.
    pub fn input_ceiling<'a>(
        &self,
        input: &InputBound,
        context: impl Into<PricingContext<'a>>,
    ) -> Result<Money, CeilingError> {
        self.input_ceiling_and_output_rate(input, &context.into())
            .map(|(input, _)| input)
    }

    /// Output tokens in each of `choices` responses that `remainder` buys after the input.
    pub fn affordable_output<'a>(
        &self,
        input: &InputBound,
        choices: u64,
        context: impl Into<PricingContext<'a>>,
        remainder: Money,
    ) -> Result<u64, CeilingError> {
        let (input, output_rate) = self.input_ceiling_and_output_rate(input, &context.into())?;
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
        context: &PricingContext<'_>,
    ) -> Result<(Money, Money), CeilingError> {
        if !self.is_known() {
            return Err(CeilingError::Unpriced);
        }
        if matches!(self, Price::Free) {
            return Ok((Money::ZERO, Money::ZERO));
        }
        let tokens = self.input_tokens(input)?;
        let rates = self.highest_rates(tokens, input, context)?;
        let fees = self.highest_fees(input, context)?;
        let cost = |rate: u64, count| Money::from_pico(i128::from(rate)).times(count);
        let fees = fees.plus(cost(self.per_request(), 1));
        Ok((cost(rates.input, tokens).plus(fees), cost(rates.output, 1)))
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
        let searches_each_call = self.searches_each_call();
        if input.search_options && !searches_each_call {
            return Err(CeilingError::Unbounded("hosted tool web_search".to_owned()));
        }
        let uses = input.hosted_uses.iter().map(|(_, uses)| *uses);
        let rounds = uses
            .chain([input.searches, input.tool_rounds])
            .fold(0, u64::saturating_add);
        if rounds > 0 || searches_each_call {
            // the results of each round are input again
            return Ok(
                context_window("a hosted tool")?.saturating_mul(rounds.saturating_add(prompts))
            );
        }
        if input.documents > 0 {
            return Ok(context_window("a document")?.saturating_mul(prompts));
        }
        let windows = self
            .context()
            .map(|context| context.saturating_mul(prompts));
        Ok(self.counted_tokens(input).min(windows.unwrap_or(u64::MAX)))
    }

    /// Returns true if the model searches for each request by itself.
    fn searches_each_call(&self) -> bool {
        let fee = |row: &Row| row.fee(ServerTool::WebSearchEachCall, None);
        self.row().and_then(fee).is_some()
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

    /// Highest rates over all service levels and context bands that can apply to the call. The base
    /// tier always can: a full tier falls back to it.
    fn highest_rates(
        &self,
        tokens: u64,
        input: &InputBound,
        context: &PricingContext<'_>,
    ) -> Result<HighestRates, CeilingError> {
        let base = self.highest_quote(tokens, context.place, &ServiceLevel::STANDARD);
        let base = HighestRates::of(&base.map_err(|_| no_rates())?, input);
        let Some(words) = context.tier.filter(|_| self.has_listed_rates()) else {
            return Ok(base);
        };
        let level = ServiceLevel::parse(words);
        let row = self.row();
        if row.is_some_and(|row| !row.has_rates_for(&level, context.place)) {
            let why = format!("the price sheet has no rates for {words}");
            return Err(CeilingError::Unbounded(why));
        }
        let requested = self.highest_quote(tokens, context.place, &level);
        let requested = requested.map_err(|_| CeilingError::Unpriced)?;
        Ok(base.max(HighestRates::of(&requested, input)))
    }

    /// Maximum fees of the tools that the call can use.
    fn highest_fees(
        &self,
        input: &InputBound,
        context: &PricingContext<'_>,
    ) -> Result<Money, CeilingError> {
        if self.row().is_none() {
            return Ok(Money::ZERO);
        }
        let tool = input.search_tool.or(context.search_tool);
        let searches = (input.searches > 0).then(|| self.search(input.searches, tool, context));
        let tools = input.hosted_uses.iter();
        let tools = tools.map(|(tool, uses)| self.tool_usage(*tool, *uses, context));
        let possible = self.each_call_search(context).into_iter().chain(searches);
        possible
            .chain(tools)
            .map(|usage| tool_ceiling(&usage))
            .sum()
    }
}

/// A known price without rates: only the vendor's report says it.
fn no_rates() -> CeilingError {
    CeilingError::Unbounded("the price is what the vendor reports after the call".to_owned())
}

fn tool_ceiling(usage: &ToolUsage) -> Result<Money, CeilingError> {
    if usage.fee.is_none() {
        let tool = usage.tool.name();
        let why = format!("the price sheet has no fee for {tool}");
        return Err(CeilingError::Unbounded(why));
    }
    Ok(usage.line(&None).amount())
}

#[cfg(test)]
mod tests;
