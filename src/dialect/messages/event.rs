//! What an event (or whole answer) of Anthropic's Messages says: usage, output, the end, an error. Usage comes in
//! `message_start` and again in `message_delta`, where it is cumulative: per field the last value counts, never a sum
//! and never the largest (WIRE.md 2.12, E12).

use serde::de::MapAccess;

use crate::dialect::fault::FaultReader;
use crate::dialect::output::TextCounter;
use crate::dialect::wire::count::Count;
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, skip};
use crate::domain::usage::{INFERENCE_GEO_PREFIX, ReportedUsage, Usage};

/// The counts of `usage`, per field the last one given.
#[derive(Clone, Debug, Default)]
pub(in crate::dialect) struct MessagesUsage {
    input: Count,
    output: Count,
    cache_read: Count,
    cache_write: Count,
    cache_write_5m: Count,
    cache_write_1h: Count,
    thinking: Count,
    web_searches: Count,
    /// what server-side compactions used, which the totals leave out
    compaction: Option<Box<MessagesUsage>>,
    service_tier: Option<String>,
    /// `input_tokens: null` is a lie where the whole usage is told, absence where it is only brought up to date
    input_required: bool,
}

impl MessagesUsage {
    pub(in crate::dialect) fn whole() -> MessagesUsage {
        MessagesUsage {
            input_required: true,
            ..MessagesUsage::default()
        }
    }

    pub(in crate::dialect) fn then(&mut self, later: MessagesUsage) {
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

    /// Takes only what was not said before.
    pub(in crate::dialect) fn or(&mut self, other: MessagesUsage) {
        let said = std::mem::replace(self, other);
        self.then(said);
    }

    pub(in crate::dialect) fn output_said(&self) -> bool {
        self.output.is_said()
    }

    pub(in crate::dialect) fn report(&self) -> ReportedUsage {
        if self.lies() {
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
        ReportedUsage::of(usage, self.input.is_said(), self.output.is_said())
    }

    fn lies(&self) -> bool {
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
        counts.contains(&Count::Invalid) || self.compaction.as_ref().is_some_and(|more| more.lies())
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

    /// Writes of 5 minutes, of an hour, of a lifetime not said. Without a split all are of 5 minutes, which is the
    /// default; a total later than the split overrules it, the hour's share last.
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
            "inference_geo" => self.place(map)?,
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
    /// A speed other than the standard one has prices of its own: it counts as the tier that served.
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
}

impl MessagesUsage {
    /// Where the model ran, if that has a price of its own; a tier that has one too is told instead.
    fn place<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        if let Leaf::Text(place) = map.next_value()?
            && !["", "global", "not_available"].contains(&&*place)
            && self
                .service_tier
                .as_ref()
                .is_none_or(|tier| tier == "standard")
        {
            self.service_tier = Some(format!("{PLACE_OF_INFERENCE}{place}"));
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

/// `iterations`: of these only compactions are not in the totals.
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
            // one level: an iteration has no iterations
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

/// One content block, at its start in a stream or whole in an answer.
#[derive(Clone, Debug, Default)]
pub(in crate::dialect) struct Block {
    pub(in crate::dialect) output: TextCounter,
    is_hosted_result: bool,
}

impl FieldVisitor for Block {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                self.is_hosted_result = map
                    .next_value::<Leaf<'_>>()?
                    .text()
                    .is_some_and(|kind| kind.ends_with("_tool_result"));
                Ok(())
            }
            // what a hosted tool found is seen by the client, but the model did not write it
            "content" if self.is_hosted_result => {
                self.output.has_content = true;
                skip(map)
            }
            _ => self.output.member(name, map),
        }
    }

    fn text(&mut self, text: &str) {
        self.output.text(text);
    }

    fn end(&mut self) {
        self.is_hosted_result = false;
    }
}

/// What a stream's event is, by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::dialect) enum MessagesEventKind {
    #[default]
    Other,
    Stop,
    Error,
}

impl MessagesEventKind {
    pub(in crate::dialect) fn of(name: &[u8]) -> MessagesEventKind {
        match name {
            b"message_stop" => MessagesEventKind::Stop,
            b"error" => MessagesEventKind::Error,
            _ => MessagesEventKind::Other,
        }
    }
}

/// One event of a stream.
#[derive(Clone, Debug, Default)]
pub(in crate::dialect) struct MessagesEvent {
    pub(in crate::dialect) kind: Option<MessagesEventKind>,
    pub(in crate::dialect) usage: MessagesUsage,
    /// the output was counted up to here, as in `message_delta`: the last word, if a stop was said
    pub(in crate::dialect) has_final_usage: bool,
    /// what Bedrock counted beside the model
    pub(in crate::dialect) metrics: Option<MessagesUsage>,
    pub(in crate::dialect) block: Block,
    pub(in crate::dialect) stopped: bool,
    pub(in crate::dialect) error: FaultReader,
}

impl FieldVisitor for MessagesEvent {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                self.kind = map
                    .next_value::<Leaf<'_>>()?
                    .text()
                    .map(|name| MessagesEventKind::of(name.as_bytes()));
                Ok(())
            }
            "message" => map.next_value_seed(ObjectSeed(&mut MessageStart(self))),
            "content_block" => map.next_value_seed(ObjectSeed(&mut self.block)),
            "delta" => map.next_value_seed(ObjectSeed(&mut Delta(self))),
            "usage" => {
                let mut usage = MessagesUsage::default();
                map.next_value_seed(ObjectSeed(&mut usage))?;
                self.has_final_usage |= usage.output_said();
                self.usage.then(usage);
                Ok(())
            }
            "error" => map.next_value_seed(ObjectSeed(&mut self.error)),
            "amazon-bedrock-invocationMetrics" => map.next_value_seed(ObjectSeed(&mut Metrics(
                self.metrics.get_or_insert_default(),
            ))),
            _ => skip(map),
        }
    }
}

/// What Bedrock has counted itself, in the last event of a stream.
struct Metrics<'u>(&'u mut MessagesUsage);

impl FieldVisitor for Metrics<'_> {
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

/// The message that `message_start` opens.
struct MessageStart<'e>(&'e mut MessagesEvent);

impl FieldVisitor for MessageStart<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if name != "usage" {
            return skip(map);
        }
        let mut usage = MessagesUsage::whole();
        map.next_value_seed(ObjectSeed(&mut usage))?;
        self.0.usage.then(usage);
        Ok(())
    }
}

struct Delta<'e>(&'e mut MessagesEvent);

impl FieldVisitor for Delta<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "stop_reason" => {
                self.0.stopped |= map.next_value::<Leaf<'_>>()?.text().is_some();
                Ok(())
            }
            "stop_sequence" | "stop_details" | "container" => skip(map),
            _ => self.0.block.output.member(name, map),
        }
    }
}

/// One whole answer.
#[derive(Clone, Debug)]
pub(in crate::dialect) struct Message {
    pub(in crate::dialect) usage: MessagesUsage,
    pub(in crate::dialect) block: Block,
    pub(in crate::dialect) error: FaultReader,
}

impl Message {
    pub(in crate::dialect) fn new() -> Message {
        Message {
            usage: MessagesUsage::whole(),
            block: Block::default(),
            error: FaultReader::default(),
        }
    }
}

impl FieldVisitor for Message {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "content" => map.next_value_seed(ElementsSeed(&mut self.block)),
            "usage" => map.next_value_seed(ObjectSeed(&mut self.usage)),
            "error" => map.next_value_seed(ObjectSeed(&mut self.error)),
            _ => skip(map),
        }
    }
}
