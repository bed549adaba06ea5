//! Cost of a call: takes its usage, returns a bill of lines (count × rate). The lines must sum to
//! the total exactly; amounts must never be rounded.

use std::sync::Arc;

use super::card::Quote;
use super::class::TokenClass;
use super::context::PricingContext;
use super::fees::{FeeUnit, ToolFee};
use super::pricing::{Price, PriceUnknown};
use super::rates::Rates;
use super::tier::ServiceLevel;
use crate::domain::cost_line::{CostLine, LineUnit, PriceCard};
use crate::domain::money::Money;
use crate::domain::server_tool::ServerTool;
use crate::domain::usage::{CacheLifetime, Usage};

/// Stands in for a fee that the sheet lacks: the highest fee of a search in November 2026.
const UNLISTED_FEE: ToolFee = ToolFee {
    pico: 35_000_000_000,
    per: FeeUnit::Call,
};

/// Cost of one call, with the counts and rates it consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    pub total: Money,
    pub lines: Vec<CostLine>,
    /// other rates stood in for a tier, place or fee that the sheet lacks
    pub rates_estimated: bool,
    /// impossible counts were reported; the excess is not billed
    pub is_clamped: bool,
}

impl Bill {
    /// Adds the bill of a model that ran inside the call.
    pub fn add(&mut self, more: Bill) {
        self.total = self.total.plus(more.total);
        self.lines.extend(more.lines);
        self.rates_estimated |= more.rates_estimated;
        self.is_clamped |= more.is_clamped;
    }

    /// Returns true if the vendor's reported cost is the bill, which includes everything.
    pub fn is_reported(&self) -> bool {
        self.lines.iter().any(|line| line.class == "reported")
    }
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
        if let Some(bill) = self.reported_bill(usage) {
            return Ok(bill);
        }
        let level = ServiceLevel::billed(usage.service_tier.as_deref(), context.tier);
        let quote = self.quote(usage.in_total(), context.place, &level)?;
        let tools = self.tool_uses(usage, &context);
        let card = Some(Arc::new(self.card(&quote, &context)));
        let priced = (&quote, &tools[..]);
        let lines: Vec<CostLine> = self
            .lines(usage, context.cache_lifetime, priced, &card)
            .collect();
        Ok(Bill {
            total: lines.iter().map(CostLine::amount).sum(),
            lines,
            rates_estimated: !quote.is_known || tools.iter().any(|usage| usage.fee.is_none()),
            is_clamped: usage.is_clamped || usage.audio_cached > usage.cache_read,
        })
    }

    /// Total of the bill of this usage.
    pub fn total<'a>(
        &self,
        usage: &Usage,
        context: impl Into<PricingContext<'a>>,
    ) -> Result<Money, PriceUnknown> {
        let context = context.into();
        if let Some(bill) = self.reported_bill(usage) {
            return Ok(bill.total);
        }
        let level = ServiceLevel::billed(usage.service_tier.as_deref(), context.tier);
        let quote = self.quote(usage.in_total(), context.place, &level)?;
        let tools = self.tool_uses(usage, &context);
        let lines = self.lines(usage, context.cache_lifetime, (&quote, &tools[..]), &None);
        Ok(lines.map(|line| line.amount()).sum())
    }

    /// Lines with an amount: of tokens, of tools, of the request.
    fn lines<'l>(
        &self,
        usage: &'l Usage,
        lifetime: CacheLifetime,
        (quote, tools): (&'l Quote, &'l [ToolUsage]),
        card: &'l Option<Arc<PriceCard>>,
    ) -> impl Iterator<Item = CostLine> + use<'l> {
        let fees = tools.iter().map(|usage| usage.line(card));
        token_lines(quote, usage, lifetime, card)
            .chain(fees)
            .chain(self.request_fee(usage, card))
            .filter(|line| line.count > 0 && line.listed_pico > 0)
    }

    /// Bill of the cost that the vendor reports, where the operator takes it.
    fn reported_bill(&self, usage: &Usage) -> Option<Bill> {
        let cost = usage.reported_cost.filter(|_| self.is_reported())?;
        let rate_pico = u64::try_from(cost.pico()).unwrap_or(u64::MAX);
        let line = CostLine {
            class: "reported",
            count: 1,
            rate_pico,
            unit: LineUnit::Request,
            listed_pico: rate_pico,
            card: None,
        };
        Some(Bill {
            total: line.amount(),
            lines: vec![line],
            is_clamped: usage.is_clamped,
            ..Bill::default()
        })
    }

    /// Fee of the operator for a request that the vendor has worked on.
    fn request_fee(&self, usage: &Usage, card: &Option<Arc<PriceCard>>) -> Option<CostLine> {
        let has_tokens = usage.in_total() > 0 || usage.out_total > 0;
        has_tokens.then(|| CostLine {
            class: "request",
            count: 1,
            rate_pico: self.per_request(),
            unit: LineUnit::Request,
            listed_pico: self.per_request(),
            card: card.clone(),
        })
    }

    fn card(&self, quote: &Quote, context: &PricingContext<'_>) -> PriceCard {
        let row = self.row();
        PriceCard {
            model: row.map(|row| row.model.clone()).unwrap_or_default(),
            tier: quote.tier.into(),
            place: context.place.map(str::to_owned),
            above_input_tokens: quote.above,
            factor_millionths: quote.factor.millionths(),
            is_own: !self.has_listed_rates(),
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
            let tool = usage.search_tool.or(context.search_tool);
            uses.push(self.search(usage.web_searches, tool, context));
        }
        let named = usage.tools.iter().filter(|(_, uses)| *uses > 0);
        uses.extend(named.map(|(tool, count)| self.tool_usage(*tool, *count, context)));
        uses
    }

    /// Search that the model runs for each request by itself.
    pub(super) fn each_call_search(&self, context: &PricingContext<'_>) -> Option<ToolUsage> {
        let usage = self.tool_usage(ServerTool::WebSearchEachCall, 1, context);
        usage.fee.is_some().then_some(usage)
    }

    /// Searches of this tool, else of the dearest one.
    pub(super) fn search(
        &self,
        uses: u64,
        tool: Option<ServerTool>,
        context: &PricingContext<'_>,
    ) -> ToolUsage {
        if let Some(tool) = tool {
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
    /// Fee of all uses, which no factor changes.
    pub(super) fn line(&self, card: &Option<Arc<PriceCard>>) -> CostLine {
        let fee = self.fee.unwrap_or(UNLISTED_FEE);
        CostLine {
            class: self.tool.cost_class(),
            count: fee.units(self.uses),
            rate_pico: fee.pico,
            unit: fee.per.line_unit(),
            listed_pico: fee.pico,
            card: card.clone(),
        }
    }
}

fn token_lines<'l>(
    quote: &'l Quote,
    usage: &Usage,
    lifetime: CacheLifetime,
    card: &'l Option<Arc<PriceCard>>,
) -> impl Iterator<Item = CostLine> + use<'l> {
    let input = input_counts(&quote.rates, usage, lifetime);
    let counts = input.into_iter().chain(output_counts(&quote.rates, usage));
    let line = |(class, count, rate)| CostLine {
        class,
        count,
        rate_pico: quote.factor.rate(rate),
        unit: LineUnit::Token,
        listed_pico: rate,
        card: card.clone(),
    };
    counts
        .filter(|(_, count, rate)| *count > 0 && *rate > 0)
        .map(line)
}

/// Class, count and rate.
type ClassCount = (&'static str, u64, u64);

fn input_counts(rates: &Rates, usage: &Usage, lifetime: CacheLifetime) -> [ClassCount; 10] {
    let rate = |class| rates.rate(class);
    let own = |class| rates.own(class);
    let plain = usage.uncached_in;
    let (plain, audio, audio_rate) =
        split_subset(plain, usage.audio_in, own(TokenClass::InputAudio));
    let (plain, image, image_rate) =
        split_subset(plain, usage.image_in, own(TokenClass::InputImage));
    let cached = usage.cache_read;
    let (cached, cached_audio, cached_audio_rate) =
        split_subset(cached, usage.audio_cached, own(TokenClass::CacheReadAudio));
    let (cached, cached_image, cached_image_rate) =
        split_subset(cached, usage.image_cached, own(TokenClass::CacheReadImage));
    let unnamed_write = match lifetime {
        CacheLifetime::Shortest => TokenClass::CacheWrite,
        CacheLifetime::Hour => TokenClass::CacheWrite1h,
        CacheLifetime::HalfDay => TokenClass::CacheWrite12h,
    };
    let (write, write_1h) = (rate(TokenClass::CacheWrite), rate(TokenClass::CacheWrite1h));
    let write_12h = rate(TokenClass::CacheWrite12h);
    [
        ("input", plain, rate(TokenClass::Input)),
        ("audio_in", audio, audio_rate),
        ("image_in", image, image_rate),
        ("cache_read", cached, rate(TokenClass::CacheRead)),
        ("cache_read_audio", cached_audio, cached_audio_rate),
        ("cache_read_image", cached_image, cached_image_rate),
        ("cache_write_5m", usage.cache_write_5m, write),
        ("cache_write_1h", usage.cache_write_1h, write_1h),
        ("cache_write_12h", usage.cache_write_12h, write_12h),
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
