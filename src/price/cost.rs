//! Cost of a call: takes its usage, returns a bill of lines (count × rate). The lines must sum to
//! the total exactly; amounts must never be rounded.

use std::sync::Arc;

use super::card::Quote;
use super::class::TokenClass;
use super::context::{CacheLifetime, PricingContext};
use super::factor::Factor;
use super::fees::{FeeUnit, ServerTool, ToolFee};
use super::line::{CardLabel, LineUnit, PricedLine};
use super::pricing::{Price, PriceUnknown};
use super::rates::Rates;
use super::tier::ServiceLevel;
use crate::domain::event::CostLine;
use crate::domain::money::Money;
use crate::domain::usage::Usage;

/// Stands in for a fee that the sheet lacks: the highest fee of a search in November 2026.
const UNLISTED_FEE: ToolFee = ToolFee {
    pico: 35_000_000_000,
    per: FeeUnit::Call,
};

/// Cost of one call, with the counts and rates it consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    pub total: Money,
    /// lines as the record keeps them
    pub lines: Vec<CostLine>,
    /// the same lines with card, listed rate and factor
    pub priced: Vec<PricedLine>,
    /// other rates stood in for a tier, place or fee that the sheet lacks
    pub rates_estimated: bool,
    /// more cached audio was reported than cached tokens; the excess is not billed
    pub is_clamped: bool,
}

impl Price {
    /// Cost of this usage, at the tier that the response names, in the context band of the complete
    /// prompt.
    pub fn cost<'a>(
        &self,
        usage: &Usage,
        context: impl Into<PricingContext<'a>>,
    ) -> Result<Bill, PriceUnknown> {
        let context = context.into();
        let level = ServiceLevel::billed(usage.service_tier.as_deref(), context.tier);
        let quote = self.quote(usage.in_total(), context.place, &level)?;
        let tools = self.tool_uses(usage, &context);
        let card = Arc::new(self.label(&quote, &context));
        let fees = tools.iter().map(|usage| usage.line(&card));
        let priced: Vec<PricedLine> = token_lines(&quote, usage, context.cache_lifetime, &card)
            .chain(fees)
            .filter(|line| line.count > 0 && line.listed_pico > 0)
            .collect();
        let lines: Vec<CostLine> = priced.iter().map(PricedLine::cost_line).collect();
        Ok(Bill {
            total: lines.iter().map(CostLine::amount).sum(),
            lines,
            priced,
            rates_estimated: !quote.is_known || tools.iter().any(|usage| usage.fee.is_none()),
            is_clamped: usage.audio_cached > usage.cache_read,
        })
    }

    fn label(&self, quote: &Quote, context: &PricingContext<'_>) -> CardLabel {
        let row = self.row();
        CardLabel {
            model: row.map(|row| row.model.clone()).unwrap_or_default(),
            tier: quote.tier,
            place: row.and(context.place).map(str::to_owned),
            above_input_tokens: quote.above,
        }
    }

    /// Uses of tools that are billed. Prices set by the operator have no fees.
    fn tool_uses(&self, usage: &Usage, context: &PricingContext<'_>) -> Vec<ToolUsage> {
        let mut uses = Vec::new();
        if self.row().is_none() {
            return uses;
        }
        if usage.in_total() > 0 || usage.out_total > 0 {
            uses.extend(self.each_call_search(context));
        }
        if usage.web_searches > 0 {
            uses.push(self.search(usage.web_searches, context));
        }
        let named = context.tools.iter().filter(|(_, uses)| *uses > 0);
        uses.extend(named.map(|(tool, count)| self.tool_usage(*tool, *count, context)));
        uses
    }

    /// Search that the model runs for each request by itself.
    pub(super) fn each_call_search(&self, context: &PricingContext<'_>) -> Option<ToolUsage> {
        let usage = self.tool_usage(ServerTool::WebSearchEachCall, 1, context);
        usage.fee.is_some().then_some(usage)
    }

    /// Searches of the tool that the context names, else of the dearest one.
    pub(super) fn search(&self, uses: u64, context: &PricingContext<'_>) -> ToolUsage {
        if let Some(tool) = context.search_tool {
            return self.tool_usage(tool, uses, context);
        }
        let dearest = self.row().and_then(|row| row.dearest_search(context.place));
        // the name in records does not depend on a guess
        ToolUsage {
            tool: ServerTool::WebSearch,
            uses,
            fee: dearest.map(|(_, fee)| fee),
        }
    }

    pub(super) fn tool_usage(
        &self,
        tool: ServerTool,
        uses: u64,
        context: &PricingContext<'_>,
    ) -> ToolUsage {
        let fee = self.row().and_then(|row| row.fee(tool, context.place));
        ToolUsage { tool, uses, fee }
    }
}

/// Uses of a tool with its fee.
pub(super) struct ToolUsage {
    pub(super) tool: ServerTool,
    uses: u64,
    /// `None` if the sheet lacks it
    pub(super) fee: Option<ToolFee>,
}

impl ToolUsage {
    pub(super) fn line(&self, card: &Arc<CardLabel>) -> PricedLine {
        let fee = self.fee.unwrap_or(UNLISTED_FEE);
        PricedLine {
            card: card.clone(),
            class: self.tool.cost_class(),
            count: fee.units(self.uses),
            unit: LineUnit::Fee(fee.per),
            listed_pico: fee.pico,
            factor: Factor::ONE,
        }
    }
}

fn token_lines(
    quote: &Quote,
    usage: &Usage,
    lifetime: CacheLifetime,
    card: &Arc<CardLabel>,
) -> impl Iterator<Item = PricedLine> {
    let input = input_counts(&quote.rates, usage, lifetime);
    let counts = input.into_iter().chain(output_counts(&quote.rates, usage));
    let line = |(class, count, rate)| PricedLine {
        card: card.clone(),
        class,
        count,
        unit: LineUnit::Token,
        listed_pico: rate,
        factor: quote.factor,
    };
    counts.map(line)
}

/// Class, count and rate.
type ClassCount = (&'static str, u64, u64);

fn input_counts(rates: &Rates, usage: &Usage, lifetime: CacheLifetime) -> [ClassCount; 7] {
    let rate = |class| rates.rate(class);
    let own = |class| rates.own(class);
    let (text, audio, audio_rate) = split_subset(
        usage.uncached_in,
        usage.audio_in,
        own(TokenClass::InputAudio),
    );
    let (cached, cached_audio, cached_audio_rate) = split_subset(
        usage.cache_read,
        usage.audio_cached,
        own(TokenClass::CacheReadAudio),
    );
    let unnamed_write = match lifetime {
        CacheLifetime::Shortest => TokenClass::CacheWrite,
        CacheLifetime::Hour => TokenClass::CacheWrite1h,
        CacheLifetime::HalfDay => TokenClass::CacheWrite12h,
    };
    let (write, write_1h) = (rate(TokenClass::CacheWrite), rate(TokenClass::CacheWrite1h));
    [
        ("input", text, rate(TokenClass::Input)),
        ("audio_in", audio, audio_rate),
        ("cache_read", cached, rate(TokenClass::CacheRead)),
        ("cache_read_audio", cached_audio, cached_audio_rate),
        ("cache_write_5m", usage.cache_write_5m, write),
        ("cache_write_1h", usage.cache_write_1h, write_1h),
        ("cache_write", usage.cache_write_other, rate(unnamed_write)),
    ]
}

fn output_counts(rates: &Rates, usage: &Usage) -> [ClassCount; 4] {
    let own = |class| rates.own(class);
    let (rest, audio, audio_rate) = split_subset(
        usage.out_total,
        usage.audio_out,
        own(TokenClass::OutputAudio),
    );
    let (rest, image, image_rate) =
        split_subset(rest, usage.image_out, own(TokenClass::OutputImage));
    let (plain, reasoning, reasoning_rate) =
        split_subset(rest, usage.reasoning, own(TokenClass::OutputReasoning));
    [
        ("output", plain, rates.rate(TokenClass::Output)),
        ("audio_out", audio, audio_rate),
        ("image_out", image, image_rate),
        ("reasoning", reasoning, reasoning_rate),
    ]
}

/// Remainder, subset and rate of a subset with a rate of its own. A subset reported larger than its
/// total is cut to the total, so that no token is billed twice.
fn split_subset(total: u64, subset: u64, rate: Option<u64>) -> (u64, u64, u64) {
    match rate {
        Some(rate) => (total.saturating_sub(subset), subset.min(total), rate),
        None => (total, 0, 0),
    }
}

#[cfg(test)]
mod tests;
