//! Usage counts of the Messages dialect. They come in `message_start` and again, cumulative, in `message_delta`: the last value of each
//! field counts, never a sum and never the largest.

use serde::de::MapAccess;

use crate::dialect::wire::count::Count;
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, skip};
use crate::domain::usage::{INFERENCE_GEO_PREFIX, ReportedUsage, Usage};

/// Counts of `usage`: the last value of each field.
#[derive(Clone, Debug, Default)]
pub(super) struct MessagesUsage {
    input: Count,
    output: Count,
    cache_read: Count,
    cache_write: Count,
    cache_write_5m: Count,
    cache_write_1h: Count,
    thinking: Count,
    web_searches: Count,
    /// usage of server-side compactions, which the totals leave out
    compaction: Option<Box<MessagesUsage>>,
    service_tier: Option<String>,
    /// `input_tokens: null` is invalid in a full usage object, absent in an update
    input_required: bool,
}

impl MessagesUsage {
    /// Counts of a full usage object.
    pub(super) fn full() -> MessagesUsage {
        MessagesUsage {
            input_required: true,
            ..MessagesUsage::default()
        }
    }

    pub(super) fn then(&mut self, later: MessagesUsage) {
        self.input.then(later.input);
        self.output.then(later.output);
        self.cache_read.then(later.cache_read);
        self.cache_write.then(later.cache_write);
        self.cache_write_5m.then(later.cache_write_5m);
        self.cache_write_1h.then(later.cache_write_1h);
        self.thinking.then(later.thinking);
        self.web_searches.then(later.web_searches);
        self.compaction = later.compaction.or(self.compaction.take());
        self.service_tier = later.service_tier.or(self.service_tier.take());
    }

    /// Fills in counts that are absent.
    pub(super) fn or(&mut self, other: MessagesUsage) {
        let known = std::mem::replace(self, other);
        self.then(known);
    }

    pub(super) fn output_is_reported(&self) -> bool {
        self.output.is_reported()
    }

    pub(super) fn report(&self) -> ReportedUsage {
        if self.is_invalid() {
            return ReportedUsage::Invalid;
        }
        let mut usage = self.usage();
        if let Some(more) = &self.compaction {
            let more = more.usage();
            for (class, tokens) in [
                (&mut usage.uncached_in, more.uncached_in),
                (&mut usage.cache_read, more.cache_read),
                (&mut usage.cache_write_5m, more.cache_write_5m),
                (&mut usage.cache_write_1h, more.cache_write_1h),
                (&mut usage.cache_write_other, more.cache_write_other),
                (&mut usage.out_total, more.out_total),
            ] {
                *class = class.saturating_add(tokens);
            }
        }
        ReportedUsage::of(usage, self.input.is_reported(), self.output.is_reported())
    }

    fn is_invalid(&self) -> bool {
        let counts = [
            self.input,
            self.output,
            self.cache_read,
            self.cache_write,
            self.cache_write_5m,
            self.cache_write_1h,
            self.thinking,
            self.web_searches,
        ];
        counts.contains(&Count::Invalid)
            || self
                .compaction
                .as_ref()
                .is_some_and(|more| more.is_invalid())
    }

    fn usage(&self) -> Usage {
        let (cache_write_5m, cache_write_1h, cache_write_other) = self.cache_writes();
        Usage {
            uncached_in: self.input.tokens(),
            cache_read: self.cache_read.tokens(),
            cache_write_5m,
            cache_write_1h,
            cache_write_other,
            out_total: self.output.tokens(),
            reasoning: self.thinking.tokens().min(self.output.tokens()),
            web_searches: self.web_searches.tokens(),
            service_tier: self.service_tier.clone(),
            ..Usage::default()
        }
    }

    /// Cache writes of 5 minutes, of an hour, of an unknown lifetime. Without a split all are of 5 minutes, the default; a total
    /// later than the split overrides it, the hour's share last.
    fn cache_writes(&self) -> (u64, u64, u64) {
        let (five, hour) = (self.cache_write_5m.tokens(), self.cache_write_1h.tokens());
        match self.cache_write {
            Count::Value(total)
                if self.cache_write_5m == Count::Absent && self.cache_write_1h == Count::Absent =>
            {
                (total, 0, 0)
            }
            Count::Value(total) => {
                let hour = hour.min(total);
                let five = five.min(total - hour);
                (five, hour, total - hour - five)
            }
            Count::Absent | Count::Invalid => (five, hour, 0),
        }
    }
}

impl FieldVisitor for MessagesUsage {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "input_tokens" if self.input_required => self.input = Count::required(map)?,
            "input_tokens" => self.input.then(Count::optional(map)?),
            "output_tokens" => self.output = Count::required(map)?,
            "cache_read_input_tokens" => self.cache_read.then(Count::optional(map)?),
            "cache_creation_input_tokens" => self.cache_write.then(Count::optional(map)?),
            "cache_creation" | "output_tokens_details" | "server_tool_use" => {
                map.next_value_seed(ObjectSeed(&mut Details(self)))?
            }
            "service_tier" | "speed" => self.tier(map)?,
            "inference_geo" => self.region(map)?,
            "iterations" => {
                let mut iterations = Iterations::default();
                map.next_value_seed(ElementsSeed(&mut iterations))?;
                self.compaction = iterations.compaction;
            }
            _ => skip(map)?,
        }
        Ok(())
    }

    fn other(&mut self) {
        self.input = Count::Invalid;
    }
}

impl MessagesUsage {
    /// A nonstandard speed has prices of its own: it counts as the tier.
    fn tier<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        match map.next_value()? {
            Leaf::Text(tier) if tier == "standard" => {
                self.service_tier.get_or_insert_with(|| tier.into_owned());
            }
            Leaf::Text(tier) => self.service_tier = Some(tier.into_owned()),
            _ => {}
        }
        Ok(())
    }

    /// A region with prices of its own counts as the tier, unless the tier has prices of its own too.
    fn region<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        if let Leaf::Text(region) = map.next_value()?
            && !["", "global", "not_available"].contains(&&*region)
            && self
                .service_tier
                .as_ref()
                .is_none_or(|tier| tier == "standard")
        {
            self.service_tier = Some(format!("{INFERENCE_GEO_PREFIX}{region}"));
        }
        Ok(())
    }
}

struct Details<'u>(&'u mut MessagesUsage);

impl FieldVisitor for Details<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let count = match name {
            "ephemeral_5m_input_tokens" => &mut self.0.cache_write_5m,
            "ephemeral_1h_input_tokens" => &mut self.0.cache_write_1h,
            "thinking_tokens" => &mut self.0.thinking,
            "web_search_requests" => &mut self.0.web_searches,
            _ => return skip(map),
        };
        count.then(Count::optional(map)?);
        Ok(())
    }

    fn other(&mut self) {
        self.0.cache_write = Count::Invalid;
    }
}

/// `iterations`: only compactions are missing in the totals.
#[derive(Default)]
struct Iterations {
    compaction: Option<Box<MessagesUsage>>,
    current: MessagesUsage,
    is_compaction: bool,
}

impl FieldVisitor for Iterations {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                self.is_compaction = map.next_value::<Leaf<'_>>()?.text() == Some("compaction");
                Ok(())
            }
            // iterations are not nested
            "iterations" => skip(map),
            _ => self.current.member(name, map),
        }
    }

    fn end(&mut self) {
        let current = std::mem::take(&mut self.current);
        if !std::mem::take(&mut self.is_compaction) {
            return;
        }
        let sum = self.compaction.get_or_insert_default();
        sum.input = plus(sum.input, current.input);
        sum.output = plus(sum.output, current.output);
        sum.cache_read = plus(sum.cache_read, current.cache_read);
        sum.cache_write = plus(sum.cache_write, current.cache_write);
        sum.cache_write_5m = plus(sum.cache_write_5m, current.cache_write_5m);
        sum.cache_write_1h = plus(sum.cache_write_1h, current.cache_write_1h);
    }
}

fn plus(sum: Count, more: Count) -> Count {
    match (sum, more) {
        (Count::Invalid, _) | (_, Count::Invalid) => Count::Invalid,
        (Count::Absent, more) => more,
        (sum, more) => Count::Value(sum.tokens().saturating_add(more.tokens())),
    }
}

/// Counts by Bedrock, in the last event of a stream.
pub(super) struct BedrockMetrics<'u>(pub(super) &'u mut MessagesUsage);

impl FieldVisitor for BedrockMetrics<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let count = match name {
            "inputTokenCount" => &mut self.0.input,
            "outputTokenCount" => &mut self.0.output,
            "cacheReadInputTokenCount" => &mut self.0.cache_read,
            "cacheWriteInputTokenCount" => &mut self.0.cache_write,
            _ => return skip(map),
        };
        count.then(Count::optional(map)?);
        Ok(())
    }
}
