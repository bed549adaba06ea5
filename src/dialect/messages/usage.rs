//! Usage counts of the Messages dialect. They come in `message_start` and again, cumulative, in `message_delta`: the last value of each
//! field counts, never a sum and never the largest.

use serde::de::MapAccess;

use crate::dialect::wire::count::Count;
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, skip};
use crate::domain::usage::{INFERENCE_GEO_PREFIX, ReportedUsage, Usage};

/// Longer names are ignored, as in requests.
const MODEL_BYTES_MAX: usize = 256;

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
    /// runs of models inside the call
    iterations: Vec<Iteration>,
    service_tier: Option<String>,
    speed: Option<String>,
    inference_geo: Option<String>,
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
        if !later.iterations.is_empty() {
            self.iterations = later.iterations;
        }
        self.service_tier = later.service_tier.or(self.service_tier.take());
        self.speed = later.speed.or(self.speed.take());
        self.inference_geo = later.inference_geo.or(self.inference_geo.take());
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
        self.add_iterations(&mut usage);
        ReportedUsage::of(usage, self.input.is_reported(), self.output.is_reported())
    }

    /// Sums the iterations by kind. Of a substitute model's tokens the totals are free; the rest of the totals is the model's own.
    fn add_iterations(&self, usage: &mut Usage) {
        let sum = |kind: IterationKind| {
            let mut sum = Usage::default();
            let entries = self.iterations.iter();
            let of_kind = entries.filter(|entry| entry.kind == kind);
            of_kind.for_each(|entry| sum.add(&entry.usage.usage()));
            sum
        };
        let substitutes = self.entries_of_other_models(IterationKind::Fallback);
        if !substitutes.is_empty() {
            *usage = without_substitutes(usage, &sum(IterationKind::Message), &substitutes);
        }
        usage.add(&sum(IterationKind::Compaction));
        let advisors = self.entries_of_other_models(IterationKind::Advisor);
        for (model, second) in substitutes.iter().chain(&advisors) {
            usage.add_second_model(model, second);
        }
    }

    fn entries_of_other_models(&self, kind: IterationKind) -> Vec<(String, Usage)> {
        let of_kind = self.iterations.iter().filter(|entry| entry.kind == kind);
        let named = |entry: &Iteration| Some((entry.model.clone()?, entry.usage.usage()));
        of_kind.filter_map(named).collect()
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
        let mut iterations = self.iterations.iter();
        counts.contains(&Count::Invalid) || iterations.any(|entry| entry.usage.is_invalid())
    }

    fn usage(&self) -> Usage {
        let (cache_write_5m, cache_write_1h, cache_write_other) = self.cache_writes();
        let split = self
            .cache_write_5m
            .tokens()
            .saturating_add(self.cache_write_1h.tokens());
        Usage {
            is_clamped: split > cache_write_5m + cache_write_1h + cache_write_other,
            uncached_in: self.input.tokens(),
            cache_read: self.cache_read.tokens(),
            cache_write_5m,
            cache_write_1h,
            cache_write_other,
            out_total: self.output.tokens(),
            reasoning: self.thinking.tokens().min(self.output.tokens()),
            web_searches: self.web_searches.tokens(),
            service_tier: self.service_level(),
            ..Usage::default()
        }
    }

    /// Tier, speed and region that have prices of their own, joined by `+`; else the base tier, if the vendor names one.
    fn service_level(&self) -> Option<String> {
        let is_apart = |word: &&String| *word != "standard";
        let region = self.inference_geo.as_ref();
        let region =
            region.filter(|region| !["", "global", "not_available"].contains(&region.as_str()));
        let words =
            [self.service_tier.as_ref(), self.speed.as_ref()].map(|word| word.filter(is_apart));
        let apart: Vec<String> = words
            .into_iter()
            .flatten()
            .cloned()
            .chain(region.map(|region| format!("{INFERENCE_GEO_PREFIX}{region}")))
            .collect();
        if apart.is_empty() {
            return self.service_tier.clone().or(self.speed.clone());
        }
        Some(apart.join("+"))
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
            "service_tier" => self.service_tier = text(map)?.or(self.service_tier.take()),
            "speed" => self.speed = text(map)?.or(self.speed.take()),
            "inference_geo" => self.inference_geo = text(map)?.or(self.inference_geo.take()),
            "iterations" => {
                let mut iterations = Iterations::default();
                map.next_value_seed(ElementsSeed(&mut iterations))?;
                self.iterations = iterations.entries;
            }
            _ => skip(map)?,
        }
        Ok(())
    }

    fn other(&mut self) {
        self.input = Count::Invalid;
    }
}

/// A text; null and anything else leave what was known.
fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<String>, A::Error> {
    Ok(map.next_value::<Leaf<'_>>()?.text().map(str::to_owned))
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

/// Kind of an entry of `iterations`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum IterationKind {
    /// in the totals
    #[default]
    Message,
    /// beside the totals, of the same model
    Compaction,
    /// beside the totals, of another model
    Advisor,
    /// in the totals, of another model
    Fallback,
}

/// One entry of `iterations`.
#[derive(Clone, Debug, Default)]
struct Iteration {
    kind: IterationKind,
    model: Option<String>,
    usage: MessagesUsage,
}

/// `iterations`, each with its kind.
#[derive(Default)]
struct Iterations {
    entries: Vec<Iteration>,
    current: Iteration,
}

/// More entries than any response has.
const ITERATIONS_MAX: usize = 1_000;

impl FieldVisitor for Iterations {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                self.current.kind = match map.next_value::<Leaf<'_>>()?.text() {
                    Some("compaction") => IterationKind::Compaction,
                    Some("advisor_message") => IterationKind::Advisor,
                    Some("fallback_message") => IterationKind::Fallback,
                    _ => IterationKind::Message,
                };
                Ok(())
            }
            "model" => {
                self.current.model = text(map)?.filter(|model| model.len() <= MODEL_BYTES_MAX);
                Ok(())
            }
            // iterations are not nested
            "iterations" => skip(map),
            _ => self.current.usage.member(name, map),
        }
    }

    fn end(&mut self) {
        let current = std::mem::take(&mut self.current);
        if self.entries.len() < ITERATIONS_MAX {
            self.entries.push(current);
        }
    }
}

/// Totals without the tokens of substitute models, which they contain. A total below its iterations is replaced by them.
fn without_substitutes(totals: &Usage, own: &Usage, substitutes: &[(String, Usage)]) -> Usage {
    let mut contained = Usage::default();
    substitutes
        .iter()
        .for_each(|(_, usage)| contained.add(usage));
    let rest = |total: u64, substituted: u64, own: u64| total.saturating_sub(substituted).max(own);
    Usage {
        uncached_in: rest(totals.uncached_in, contained.uncached_in, own.uncached_in),
        cache_read: rest(totals.cache_read, contained.cache_read, own.cache_read),
        cache_write_5m: rest(
            totals.cache_write_5m,
            contained.cache_write_5m,
            own.cache_write_5m,
        ),
        cache_write_1h: rest(
            totals.cache_write_1h,
            contained.cache_write_1h,
            own.cache_write_1h,
        ),
        cache_write_other: rest(
            totals.cache_write_other,
            contained.cache_write_other,
            own.cache_write_other,
        ),
        out_total: rest(totals.out_total, contained.out_total, own.out_total),
        reasoning: totals
            .reasoning
            .min(rest(totals.out_total, contained.out_total, own.out_total)),
        ..totals.clone()
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
