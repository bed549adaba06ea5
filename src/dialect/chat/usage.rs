//! Usage counts of the chat dialect, with the names that vendors which borrow it give them. A count that is negative, fractional or
//! not a number makes the usage invalid; null totals do too.

use serde::de::MapAccess;

use crate::dialect::wire::amount::reported_amount;
use crate::dialect::wire::count::Count;
use crate::dialect::wire::json::{FieldVisitor, ObjectSeed, skip};
use crate::domain::money::Money;
use crate::domain::server_tool::ServerTool;
use crate::domain::usage::{ReportedUsage, Usage};

/// Counts of `usage`: the last value of each field.
#[derive(Clone, Debug, Default)]
pub(super) struct ChatUsage {
    prompt: Count,
    completion: Count,
    cached: Count,
    cache_write: Count,
    /// of `cache_write`, for the shortest lifetime
    cache_write_short: Count,
    /// of `cache_write`
    cache_write_12h: Count,
    audio_in: Count,
    audio_out: Count,
    image_out: Count,
    reasoning: Count,
    total: Count,
    /// tools that the vendor ran, from the message
    pub(super) tools: Vec<(ServerTool, u64)>,
    /// OpenRouter's `cost`
    reported_cost: Option<Money>,
    pub(super) service_tier: Option<String>,
}

impl ChatUsage {
    /// Notes that the vendor ran a tool.
    pub(super) fn add_tools(&mut self, tools: &[(ServerTool, u64)]) {
        for (tool, uses) in tools {
            match self.tools.iter_mut().find(|(known, _)| known == tool) {
                Some((_, known)) => *known = known.saturating_add(*uses),
                None => self.tools.push((*tool, *uses)),
            }
        }
    }

    pub(super) fn then(&mut self, later: ChatUsage) {
        self.prompt.then(later.prompt);
        self.completion.then(later.completion);
        self.cached.then(later.cached);
        self.cache_write.then(later.cache_write);
        self.cache_write_short.then(later.cache_write_short);
        self.cache_write_12h.then(later.cache_write_12h);
        self.audio_in.then(later.audio_in);
        self.audio_out.then(later.audio_out);
        self.image_out.then(later.image_out);
        self.reasoning.then(later.reasoning);
        self.total.then(later.total);
        self.add_tools(&later.tools);
        self.reported_cost = later.reported_cost.or(self.reported_cost.take());
        self.service_tier = later.service_tier.or(self.service_tier.take());
    }

    pub(super) fn output_is_reported(&self) -> bool {
        self.completion.is_reported()
    }

    pub(super) fn report(&self) -> ReportedUsage {
        let totals = [self.prompt, self.completion, self.cached, self.cache_write];
        let shares = [
            self.cache_write_short,
            self.cache_write_12h,
            self.audio_in,
            self.audio_out,
            self.image_out,
            self.reasoning,
        ];
        if totals
            .iter()
            .chain(&shares)
            .any(|count| *count == Count::Invalid)
        {
            return ReportedUsage::Invalid;
        }
        let (out_total, unsettled_reasoning) = self.out_total();
        let (short, half_day) = (
            self.cache_write_short.tokens(),
            self.cache_write_12h.tokens(),
        );
        let mut usage = Usage {
            cache_read: self.cached.tokens(),
            cache_write_5m: short,
            cache_write_12h: half_day,
            cache_write_other: self.cache_write.beyond(&[short, half_day]),
            out_total,
            reasoning: self.reasoning.tokens().min(out_total),
            unsettled_reasoning,
            audio_out: self.audio_out.tokens().min(out_total),
            image_out: self.image_out.tokens().min(out_total),
            service_tier: self.service_tier.clone(),
            tools: self.tools.clone(),
            reported_cost: self.reported_cost,
            ..Usage::default()
        };
        if self.prompt.is_reported() {
            usage.clamp_to_prompt(self.prompt.tokens());
        }
        usage.audio_in = self.audio_in.tokens().min(usage.uncached_in);
        ReportedUsage::of(
            usage,
            self.prompt.is_reported(),
            self.completion.is_reported(),
        )
    }
}

impl ChatUsage {
    /// Output tokens, and reasoning that they may lack. Some vendors count reasoning beside `completion_tokens`: then the total
    /// exceeds its parts, or the reasoning exceeds the output that would contain it. Without a total the vendor's rules decide.
    fn out_total(&self) -> (u64, u64) {
        let (prompt, completion) = (self.prompt.tokens(), self.completion.tokens());
        let reasoning = self.reasoning.tokens();
        let has_total = matches!(self.total, Count::Value(_));
        let counted = match self.prompt.is_reported() && self.completion.is_reported() {
            true => completion + self.total.beyond(&[prompt, completion]),
            false => completion,
        };
        if reasoning > counted && self.completion.is_reported() {
            return (completion + reasoning, 0);
        }
        (counted, if has_total { 0 } else { reasoning })
    }
}

impl FieldVisitor for ChatUsage {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "prompt_tokens" => self.prompt = Count::required(map)?,
            "completion_tokens" => self.completion = Count::required(map)?,
            "total_tokens" => self.total.then(Count::optional(map)?),
            "cost" => self.reported_cost = reported_amount(map)?.or(self.reported_cost),
            "cached_tokens" | "num_cached_tokens" | "prompt_cache_hit_tokens" => {
                self.cached.then(Count::optional(map)?)
            }
            "prompt_tokens_details" | "prompt_token_details" => {
                map.next_value_seed(ObjectSeed(&mut PromptDetails(self)))?
            }
            "completion_tokens_details" => {
                map.next_value_seed(ObjectSeed(&mut CompletionDetails(self)))?
            }
            _ => skip(map)?,
        }
        Ok(())
    }

    fn other(&mut self) {
        self.prompt = Count::Invalid;
    }
}

struct PromptDetails<'u>(&'u mut ChatUsage);

impl FieldVisitor for PromptDetails<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "cached_tokens" => self.0.cached.then(Count::optional(map)?),
            "cache_write_tokens" => self.0.cache_write.then(Count::optional(map)?),
            "audio_tokens" => self.0.audio_in.then(Count::optional(map)?),
            "cache_write_tokens_details" => {
                map.next_value_seed(ObjectSeed(&mut WriteDetails(self.0)))?
            }
            _ => skip(map)?,
        }
        Ok(())
    }

    fn other(&mut self) {
        self.0.cached = Count::Invalid;
    }
}

/// Cache writes by lifetime.
struct WriteDetails<'u>(&'u mut ChatUsage);

impl FieldVisitor for WriteDetails<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "ttl_30m_tokens" => self.0.cache_write_short.then(Count::optional(map)?),
            "ttl_12h_tokens" => self.0.cache_write_12h.then(Count::optional(map)?),
            _ => skip(map)?,
        }
        Ok(())
    }

    fn other(&mut self) {
        self.0.cache_write = Count::Invalid;
    }
}

struct CompletionDetails<'u>(&'u mut ChatUsage);

impl FieldVisitor for CompletionDetails<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "reasoning_tokens" => self.0.reasoning.then(Count::optional(map)?),
            "audio_tokens" => self.0.audio_out.then(Count::optional(map)?),
            // OpenRouter's count for image models
            "image_tokens" => self.0.image_out.then(Count::optional(map)?),
            _ => skip(map)?,
        }
        Ok(())
    }

    fn other(&mut self) {
        self.0.reasoning = Count::Invalid;
    }
}

/// A usage object, distinguished from null.
#[derive(Default)]
pub(super) struct UsageObject {
    pub(super) usage: ChatUsage,
    pub(super) seen: bool,
}

impl FieldVisitor for UsageObject {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        self.usage.member(name, map)
    }

    fn other(&mut self) {
        self.usage.other();
    }

    fn end(&mut self) {
        self.seen = true;
    }
}
