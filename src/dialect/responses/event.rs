//! What an event (or whole answer) of OpenAI's Responses says: usage, output, the end, an error. The usage stands in the answer
//! object, which the last event brings whole; output is counted from the deltas, never once more from what repeats them.

use serde::de::MapAccess;

use crate::dialect::fault::FaultReader;
use crate::dialect::output::TextCounter;
use crate::dialect::wire::count::Count;
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, skip};
use crate::domain::usage::{ReportedUsage, Usage};

/// An id is kept to be told again in an error; a longer one is no id.
const ID_BYTES_MAX: usize = 200;

/// The counts of `usage`, per field the last one given.
#[derive(Clone, Debug, Default)]
pub(in crate::dialect) struct ResponsesUsage {
    input: Count,
    output: Count,
    cached: Count,
    cache_write: Count,
    reasoning: Count,
    /// searches that the vendor ran, from the items of the answer
    searches: u64,
    service_tier: Option<String>,
}

impl ResponsesUsage {
    pub(in crate::dialect) fn then(&mut self, later: ResponsesUsage) {
        self.input.then(later.input);
        self.output.then(later.output);
        self.cached.then(later.cached);
        self.cache_write.then(later.cache_write);
        self.reasoning.then(later.reasoning);
        self.searches = self.searches.max(later.searches);
        self.service_tier = later.service_tier.or(self.service_tier.take());
    }

    /// So many more searches are over.
    pub(in crate::dialect) fn searched(&mut self, searches: u64) {
        self.searches = self.searches.saturating_add(searches);
    }

    pub(in crate::dialect) fn output_said(&self) -> bool {
        self.output.is_said()
    }

    pub(in crate::dialect) fn report(&self) -> ReportedUsage {
        if [
            self.input,
            self.output,
            self.cached,
            self.cache_write,
            self.reasoning,
        ]
        .contains(&Count::Invalid)
        {
            return ReportedUsage::Invalid;
        }
        let (cache_read, cache_write_other) = (self.cached.tokens(), self.cache_write.tokens());
        let out_total = self.output.tokens();
        let usage = Usage {
            uncached_in: self
                .input
                .tokens()
                .saturating_sub(cache_read)
                .saturating_sub(cache_write_other),
            cache_read,
            cache_write_other,
            out_total,
            reasoning: self.reasoning.tokens().min(out_total),
            web_searches: self.searches,
            service_tier: self.service_tier.clone(),
            ..Usage::default()
        };
        ReportedUsage::of(usage, self.input.is_said(), self.output.is_said())
    }
}

impl FieldVisitor for ResponsesUsage {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "input_tokens" => self.input = Count::required(map)?,
            "output_tokens" => self.output = Count::required(map)?,
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

/// The answer object: a whole answer, or what the events of a stream bring along.
#[derive(Clone, Debug, Default)]
pub(in crate::dialect) struct ResponseBody {
    pub(in crate::dialect) usage: ResponsesUsage,
    pub(in crate::dialect) items: Items,
    pub(in crate::dialect) error: FaultReader,
    pub(in crate::dialect) id: Option<String>,
    /// `status: failed`, whatever `error` says
    pub(in crate::dialect) failed: bool,
}

impl FieldVisitor for ResponseBody {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "usage" => map.next_value_seed(ObjectSeed(&mut self.usage)),
            "output" => map.next_value_seed(ElementsSeed(&mut self.items)),
            "error" => map.next_value_seed(ObjectSeed(&mut self.error)),
            "service_tier" => {
                if let Leaf::Text(tier) = map.next_value()? {
                    self.usage.service_tier = Some(tier.into_owned());
                }
                Ok(())
            }
            "status" => {
                self.failed |= map.next_value::<Leaf<'_>>()?.text() == Some("failed");
                Ok(())
            }
            "id" => {
                self.id = map
                    .next_value::<Leaf<'_>>()?
                    .text()
                    .filter(|id| id.len() <= ID_BYTES_MAX)
                    .map(str::to_owned);
                Ok(())
            }
            _ => skip(map),
        }
    }

    fn end(&mut self) {
        self.usage.searches = self.usage.searches.max(self.items.searches);
    }
}

/// The items of an answer.
#[derive(Clone, Debug, Default)]
pub(in crate::dialect) struct Items {
    pub(in crate::dialect) output: TextCounter,
    searches: u64,
    is_search: bool,
    is_look: bool,
}

impl FieldVisitor for Items {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                self.is_search = map.next_value::<Leaf<'_>>()?.text() == Some("web_search_call");
                Ok(())
            }
            "action" => map.next_value_seed(ObjectSeed(&mut Action(self))),
            // what a hosted tool found or made is seen by the client, but the model did not write it
            "results" | "result" | "outputs" | "tools" => {
                self.output.has_content = true;
                skip(map)
            }
            _ => self.output.member(name, map),
        }
    }

    fn end(&mut self) {
        let (is_search, is_look) = (
            std::mem::take(&mut self.is_search),
            std::mem::take(&mut self.is_look),
        );
        self.searches += u64::from(is_search && !is_look);
    }
}

/// What a search call did: pages that it only opened, or looked through, are no searches.
struct Action<'i>(&'i mut Items);

impl FieldVisitor for Action<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                self.0.is_look = matches!(
                    map.next_value::<Leaf<'_>>()?.text(),
                    Some("open_page" | "find" | "find_in_page")
                );
                Ok(())
            }
            _ => self.0.output.member(name, map),
        }
    }
}

/// What an event of a stream is, by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::dialect) enum ResponsesEventKind {
    #[default]
    Other,
    /// an item begins: its name and id only
    ItemAdded,
    /// an item is over, and told once more
    ItemDone,
    Delta,
    /// completed or incomplete: both are whole
    Stop,
    /// `error` or `response.failed`
    Error,
}

impl ResponsesEventKind {
    pub(in crate::dialect) fn of(name: &[u8]) -> ResponsesEventKind {
        match name {
            b"response.completed" | b"response.incomplete" => ResponsesEventKind::Stop,
            b"response.failed" | b"error" => ResponsesEventKind::Error,
            b"response.output_item.added" => ResponsesEventKind::ItemAdded,
            b"response.output_item.done" => ResponsesEventKind::ItemDone,
            _ if name.ends_with(b".delta") => ResponsesEventKind::Delta,
            _ => ResponsesEventKind::Other,
        }
    }
}

/// One event of a stream.
#[derive(Clone, Debug, Default)]
pub(in crate::dialect) struct ResponsesEvent {
    pub(in crate::dialect) kind: Option<ResponsesEventKind>,
    pub(in crate::dialect) answered: ResponseBody,
    pub(in crate::dialect) item: Items,
    pub(in crate::dialect) delta: TextCounter,
    pub(in crate::dialect) sequence: Option<u64>,
}

impl ResponsesEvent {
    /// How many searches the finished item was.
    pub(in crate::dialect) fn item_searches(&self, kind: ResponsesEventKind) -> u64 {
        if kind == ResponsesEventKind::ItemDone {
            self.item.searches
        } else {
            0
        }
    }
}

impl FieldVisitor for ResponsesEvent {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                self.kind = map
                    .next_value::<Leaf<'_>>()?
                    .text()
                    .map(|name| ResponsesEventKind::of(name.as_bytes()));
                Ok(())
            }
            "response" => map.next_value_seed(ObjectSeed(&mut self.answered)),
            "item" => map.next_value_seed(ObjectSeed(&mut self.item)),
            "delta" => map.next_value_seed(ElementsSeed(&mut self.delta)),
            "sequence_number" => {
                if let Leaf::Whole(sequence) = map.next_value()? {
                    self.sequence = Some(sequence);
                }
                Ok(())
            }
            _ => skip(map),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::wire::json::read;

    fn answered(json: &str) -> ResponseBody {
        read(&ResponseBody::default(), json.as_bytes()).expect("JSON")
    }

    #[test]
    fn cached_and_written_tokens_are_taken_out_of_the_input() {
        let usage = |usage: &str| {
            answered(&format!(r#"{{"usage":{usage},"service_tier":"flex"}}"#))
                .usage
                .report()
        };
        let read = Usage {
            cache_read: 1_500,
            cache_write_other: 300,
            service_tier: Some("flex".into()),
            ..Usage::default()
        };
        assert_eq!(
            usage(
                r#"{"input_tokens":2000,"input_tokens_details":{"cached_tokens":1500,"cache_write_tokens":300},
                "output_tokens":120,"output_tokens_details":{"reasoning_tokens":64},"total_tokens":2120}"#
            ),
            ReportedUsage::Complete(Usage {
                uncached_in: 200,
                out_total: 120,
                reasoning: 64,
                ..read.clone()
            })
        );
        assert_eq!(usage("null"), ReportedUsage::Missing);
        assert_eq!(
            usage(r#"{"input_tokens":-1,"output_tokens":1}"#),
            ReportedUsage::Invalid
        );
        assert_eq!(
            usage(r#"{"input_tokens":5,"output_tokens":null}"#),
            ReportedUsage::Invalid
        );
    }

    #[test]
    fn only_searches_that_searched_are_counted() {
        let answer = answered(
            r#"{"output":[{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"q"}},
            {"action":{"type":"open_page","url":"u"},"type":"web_search_call"},{"type":"web_search_call"},
            {"type":"message","content":[{"type":"output_text","text":"four"}]}],"usage":{"input_tokens":1,"output_tokens":1}}"#,
        );
        let ReportedUsage::Complete(usage) = answer.usage.report() else {
            panic!("{answer:?}")
        };
        assert_eq!(usage.web_searches, 2);
    }
}
