//! Events and unary responses of the Responses dialect, as far as pass-through and usage need them. The usage is in the response object,
//! which the last event carries; text is counted in deltas, never once more in events that repeat it.

use std::borrow::Cow;

use serde::de::MapAccess;

use crate::dialect::error::ErrorReader;
use crate::dialect::responses::hosted_tools::{self, AuthorUsage, ItemTools, ToolUsage};
use crate::dialect::responses::usage::ResponsesUsage;
use crate::dialect::text_counter::TextCounter;
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, skip};
use crate::dialect::wire::template::{EventNumber, TextPlace, VariableParts};

/// Longer ids are ignored; an id is kept for the gateway's own errors.
const ID_BYTES_MAX: usize = 200;

/// The response object: a unary response, or the state that the events of a stream carry.
#[derive(Clone, Debug, Default)]
pub(super) struct ResponseBody {
    pub(super) usage: ResponsesUsage,
    pub(super) items: Items,
    pub(super) error: ErrorReader,
    pub(super) id: Option<String>,
    /// `status: failed`, whatever `error` says
    pub(super) failed: bool,
}

impl FieldVisitor for ResponseBody {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "usage" => map.next_value_seed(ObjectSeed(&mut self.usage)),
            "tool_usage" => map.next_value_seed(ObjectSeed(&mut ToolUsage(&mut self.usage.tools))),
            "tools" => hosted_tools::read_declared(&mut self.usage.tools, map),
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
        self.usage.tools.items = self.items.tools.clone();
    }
}

/// Items of a response.
#[derive(Clone, Debug, Default)]
pub(super) struct Items {
    pub(super) output: TextCounter,
    pub(super) tools: ItemTools,
    kind: ItemKind,
    is_page_view: bool,
    container: Option<String>,
}

/// Item of a tool that the vendor ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ItemKind {
    #[default]
    Other,
    Search,
    FileSearch,
    Container,
}

impl ItemKind {
    fn of(name: Option<&str>) -> ItemKind {
        match name {
            Some("web_search_call") => ItemKind::Search,
            Some("file_search_call") => ItemKind::FileSearch,
            Some("code_interpreter_call") => ItemKind::Container,
            _ => ItemKind::Other,
        }
    }
}

impl FieldVisitor for Items {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                self.kind = ItemKind::of(map.next_value::<Leaf<'_>>()?.text());
                Ok(())
            }
            "container_id" => {
                self.container = hosted_tools::short_text(&map.next_value()?);
                Ok(())
            }
            "svg_usage" => map.next_value_seed(ObjectSeed(&mut AuthorUsage::of(&mut self.tools))),
            "action" => map.next_value_seed(ObjectSeed(&mut Action(self))),
            // results of a hosted tool reach the client, but the model did not write them
            "results" | "result" | "outputs" | "tools" => {
                self.output.has_content = true;
                skip(map)
            }
            _ => self.output.member(name, map),
        }
    }

    fn end(&mut self) {
        let is_page_view = std::mem::take(&mut self.is_page_view);
        let container = self.container.take();
        match std::mem::take(&mut self.kind) {
            ItemKind::Search => self.tools.searches += u64::from(!is_page_view),
            ItemKind::FileSearch => self.tools.file_searches += 1,
            ItemKind::Container => self.tools.add_container(container.unwrap_or_default()),
            ItemKind::Other => {}
        }
    }
}

/// Action of a search call; opening a page, or searching in one, is no search.
struct Action<'i>(&'i mut Items);

impl FieldVisitor for Action<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                self.0.is_page_view = matches!(
                    map.next_value::<Leaf<'_>>()?.text(),
                    Some("open_page" | "find" | "find_in_page")
                );
                Ok(())
            }
            _ => self.0.output.member(name, map),
        }
    }
}

/// Kind of an event, by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ResponsesEventKind {
    #[default]
    Other,
    /// start of an item: its name and id only
    ItemAdded,
    /// end of an item, which repeats it
    ItemDone,
    Delta,
    /// `response.completed` or `response.incomplete`: both are complete responses
    Stop,
    /// `error` or `response.failed`
    Error,
}

impl ResponsesEventKind {
    pub(super) fn of(name: &[u8]) -> ResponsesEventKind {
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
pub(super) struct ResponsesEvent {
    pub(super) kind: Option<ResponsesEventKind>,
    pub(super) answered: ResponseBody,
    pub(super) item: Items,
    pub(super) delta: TextCounter,
    pub(super) sequence: Option<u64>,
    /// it carries the response or an item
    has_object: bool,
    /// OpenAI's filler, of random length
    obfuscation: Option<TextPlace>,
}

impl ResponsesEvent {
    /// Parts that the next event may have otherwise without changing more than count and number.
    pub(super) fn variable_parts(&self, kind: ResponsesEventKind) -> Option<VariableParts> {
        let is_plain = kind == ResponsesEventKind::Delta && !self.has_object;
        let counted = self.delta.only_text().filter(|_| is_plain)?;
        let number = |value| EventNumber {
            member: "\"sequence_number\":",
            value,
        };
        Some(VariableParts {
            counted,
            ignored: self.obfuscation,
            number: self.sequence.map(number),
        })
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
            "response" => {
                self.has_object = true;
                map.next_value_seed(ObjectSeed(&mut self.answered))
            }
            "item" => {
                self.has_object = true;
                map.next_value_seed(ObjectSeed(&mut self.item))
            }
            "obfuscation" => {
                if let Leaf::Text(Cow::Borrowed(text)) = map.next_value()? {
                    self.obfuscation = Some(TextPlace::of(text));
                }
                Ok(())
            }
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
    use crate::domain::usage::{ReportedUsage, Usage};

    fn answered(json: &str) -> ResponseBody {
        read(&ResponseBody::default(), json.as_bytes()).expect("JSON")
    }

    #[test]
    fn cached_and_written_tokens_are_not_uncached_input() {
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
    fn page_views_are_not_counted_as_searches() {
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
