//! Usage counts of the Responses dialect.

use serde::de::MapAccess;

use crate::dialect::responses::hosted_tools::HostedTools;
use crate::dialect::wire::count::Count;
use crate::dialect::wire::json::{FieldVisitor, ObjectSeed, skip};
use crate::domain::usage::{ReportedUsage, Usage};

/// Counts of `usage`: the last value of each field.
#[derive(Clone, Debug, Default)]
pub(super) struct ResponsesUsage {
    input: Count,
    output: Count,
    cached: Count,
    cache_write: Count,
    reasoning: Count,
    total: Count,
    cache_write_short: Count,
    cache_write_12h: Count,
    /// tools that the vendor ran
    pub(super) tools: HostedTools,
    pub(super) service_tier: Option<String>,
}

impl ResponsesUsage {
    pub(super) fn then(&mut self, later: ResponsesUsage) {
        self.input.then(later.input);
        self.output.then(later.output);
        self.cached.then(later.cached);
        self.cache_write.then(later.cache_write);
        self.cache_write_short.then(later.cache_write_short);
        self.cache_write_12h.then(later.cache_write_12h);
        self.reasoning.then(later.reasoning);
        self.total.then(later.total);
        self.tools.merge(later.tools);
        self.service_tier = later.service_tier.or(self.service_tier.take());
    }

    pub(super) fn output_is_reported(&self) -> bool {
        self.output.is_reported()
    }

    pub(super) fn report(&self) -> ReportedUsage {
        if [
            self.input,
            self.output,
            self.cached,
            self.cache_write,
            self.cache_write_short,
            self.cache_write_12h,
            self.reasoning,
        ]
        .contains(&Count::Invalid)
        {
            return ReportedUsage::Invalid;
        }
        if self.tools.is_invalid() {
            return ReportedUsage::Invalid;
        }
        let (short, half_day) = (
            self.cache_write_short.tokens(),
            self.cache_write_12h.tokens(),
        );
        let out_total = self.out_total();
        let mut usage = Usage {
            cache_read: self.cached.tokens(),
            cache_write_5m: short,
            cache_write_12h: half_day,
            cache_write_other: self.cache_write.beyond(&[short, half_day]),
            out_total,
            reasoning: self.reasoning.tokens().min(out_total),
            web_searches: self.tools.searches(),
            search_tool: self.tools.search_tool,
            tools: self.tools.uses(),
            service_tier: self.service_tier.clone(),
            ..Usage::default()
        };
        if self.input.is_reported() {
            usage.clamp_to_prompt(self.input.tokens());
        }
        self.tools.add_second_models(&mut usage);
        ReportedUsage::of(usage, self.input.is_reported(), self.output.is_reported())
    }
}

impl ResponsesUsage {
    /// Output tokens; those of a total that exceeds its parts are output.
    fn out_total(&self) -> u64 {
        let (input, output) = (self.input.tokens(), self.output.tokens());
        if self.input.is_reported() && self.output.is_reported() {
            output + self.total.beyond(&[input, output])
        } else {
            output
        }
    }
}

impl FieldVisitor for ResponsesUsage {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "input_tokens" => self.input = Count::required(map)?,
            "output_tokens" => self.output = Count::required(map)?,
            "total_tokens" => self.total.then(Count::optional(map)?),
            "input_tokens_details" | "output_tokens_details" => {
                map.next_value_seed(ObjectSeed(&mut Details(self)))?
            }
            _ => skip(map)?,
        }
        Ok(())
    }

    fn other(&mut self) {
        self.input = Count::Invalid;
    }
}

struct Details<'u>(&'u mut ResponsesUsage);

impl FieldVisitor for Details<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let count = match name {
            "cached_tokens" => &mut self.0.cached,
            "cache_write_tokens" => &mut self.0.cache_write,
            "cache_write_tokens_details" => return map.next_value_seed(ObjectSeed(self)),
            "ttl_30m_tokens" => &mut self.0.cache_write_short,
            "ttl_12h_tokens" => &mut self.0.cache_write_12h,
            "reasoning_tokens" => &mut self.0.reasoning,
            _ => return skip(map),
        };
        count.then(Count::optional(map)?);
        Ok(())
    }

    fn other(&mut self) {
        self.0.cached = Count::Invalid;
    }
}
