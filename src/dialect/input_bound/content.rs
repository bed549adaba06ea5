//! Bound of the content of a request: walks messages and items, counts media, and names the first thing that nothing bounds. Reads
//! parsed fields, never greps, so that no spelling hides a URL; must never take an unknown reference for text.

use serde::de::MapAccess;

use crate::dialect::input_bound::tools::{AddedTool, ToolRules, ToolVisitor, printable, unbounded};
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, skip};
use crate::domain::input_bound::InputBound;

/// Content in content: a tool result in a message is 2, a document in it 3.
const DEPTH_MAX: u8 = 8;

/// Content of one dialect.
#[derive(Debug)]
pub(in crate::dialect) struct InputRules {
    pub(in crate::dialect) tools: &'static ToolRules,
    /// Responses: content consists of items, which may refer to what the vendor stores and bring tools along
    pub(in crate::dialect) has_items: bool,
}

/// Items of Responses for calls that the vendor ran.
const HOSTED_CALLS: [&str; 5] = [
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_call",
];

/// Reads messages and the parts in them alike: what a member means does not hang on the declared `type`, which a
/// lenient upstream may not look at.
#[derive(Clone)]
pub(super) struct ContentParts {
    rules: &'static InputRules,
    pub(super) bound: InputBound,
    pub(super) media_bytes: u64,
    depth: u8,
    part: Part,
}

/// Facts of the content part being read.
#[derive(Clone, Default)]
struct Part {
    is_image: bool,
    is_other: bool,
    source: Source,
    item: Item,
}

/// Facts of a Responses item: they tell whether the vendor would fetch it from its own store.
#[derive(Clone, Default)]
struct Item {
    has_id: bool,
    has_kind: bool,
    is_reference: bool,
    is_reasoning: bool,
    /// a hosted tool's call, whose results the vendor remembers
    is_hosted: bool,
    is_sealed: bool,
    /// a message, a call, an output: nothing is fetched
    has_body: bool,
}

impl Item {
    fn kind(&mut self, kind: Option<&str>) {
        self.has_kind |= kind.is_some();
        self.is_reference |= kind == Some("item_reference");
        self.is_reasoning |= kind == Some("reasoning");
        self.is_hosted |= kind.is_some_and(|kind| HOSTED_CALLS.contains(&kind));
    }

    /// Returns `true` if the vendor fills the item in from its store: a reference, or reasoning that is not sent along.
    fn is_stored(&self) -> bool {
        let is_short_reference = self.has_id && !self.has_kind && !self.has_body;
        self.is_reference
            || is_short_reference
            || (self.is_hosted && self.has_id)
            || (self.is_reasoning && self.has_id && !self.is_sealed)
    }
}

impl ContentParts {
    pub(super) fn new(rules: &'static InputRules) -> ContentParts {
        ContentParts {
            rules,
            bound: InputBound::default(),
            media_bytes: 0,
            depth: 0,
            part: Part::default(),
        }
    }

    fn nested<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        if self.depth == DEPTH_MAX {
            let value: Leaf<'_> = map.next_value()?;
            if value == Leaf::Nested {
                unbounded(&mut self.bound, "content nested too deep");
            }
            return Ok(());
        }
        let outer = std::mem::take(&mut self.part);
        self.depth += 1;
        map.next_value_seed(ElementsSeed(self))?;
        self.depth -= 1;
        self.part = outer;
        Ok(())
    }

    fn source<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let mut reader = SourceReader {
            parts: self,
            seen: Source::default(),
        };
        map.next_value_seed(ObjectSeed(&mut reader))?;
        let seen = reader.seen;
        self.part.source.add(seen);
        Ok(())
    }

    fn reference<'de, A: MapAccess<'de>>(
        &mut self,
        what: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        map.next_value_seed(ObjectSeed(&mut Reference { parts: self, what }))
    }

    fn url(&mut self, what: &str, url: &str) {
        let Some(payload) = strip_prefix_ignoring_case(url, "data:") else {
            return unbounded(&mut self.bound, &format!("remote {what} URL"));
        };
        let payload_bytes = payload
            .split_once(',')
            .map_or(0, |(_, payload)| payload.len() as u64);
        if what == "audio" {
            self.bound.audio = true;
        } else if strip_prefix_ignoring_case(payload, "image/").is_some() {
            self.bound.images += 1;
            self.media_bytes += payload_bytes;
        } else {
            self.bound.documents += 1;
            self.media_bytes += payload_bytes;
        }
    }

    fn file_data(&mut self, data: &str) {
        match strip_prefix_ignoring_case(data, "http") {
            Some(_) => unbounded(&mut self.bound, "remote file URL"),
            None => {
                self.bound.documents += 1;
                self.media_bytes += data.len() as u64;
            }
        }
    }
}

impl FieldVisitor for ContentParts {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            // the bulk of every body: passed over without decoding
            "text" | "role" | "cache_control" | "input" | "tool_calls" => skip(map),
            "content" => {
                self.part.item.has_body = true;
                self.nested(map)
            }
            "output" | "id" | "encrypted_content" | "tools" if self.rules.has_items => {
                self.item(name, map)
            }
            "type" => {
                let value: Leaf<'_> = map.next_value()?;
                self.part.item.kind(value.text());
                if value.text() == Some("compaction_trigger") {
                    unbounded(&mut self.bound, "server-side compaction");
                }
                let is_image = value.text() == Some("image");
                self.part.is_image |= is_image;
                self.part.is_other |= !is_image;
                Ok(())
            }
            "source" => self.source(map),
            "file" => self.reference("file", map),
            "file_id" => self.reference_id(map),
            "file_data" => self.inline_file(map),
            "input_audio" => {
                self.bound.audio = true;
                skip(map)
            }
            "audio" => map.next_value_seed(ObjectSeed(&mut StoredAudio(self))),
            "tool" => {
                let mut added = AddedTool(ToolVisitor::new(self.rules.tools, None));
                map.next_value_seed(ObjectSeed(&mut added))?;
                self.bound.add(added.0.bound);
                Ok(())
            }
            name => match name.strip_suffix("_url") {
                Some(what) => self.reference(printable(what), map),
                None => skip(map),
            },
        }
    }

    fn end(&mut self) {
        let part = std::mem::take(&mut self.part);
        if self.rules.has_items && part.item.is_stored() {
            self.bound.documents += 1;
        }
        let is_image = part.is_image && !part.is_other;
        if part.source.is_remote {
            unbounded(
                &mut self.bound,
                if is_image {
                    "remote image URL"
                } else {
                    "remote document URL"
                },
            );
        }
        let media = if is_image {
            &mut self.bound.images
        } else {
            &mut self.bound.documents
        };
        *media += part.source.media;
        self.media_bytes += part.source.media_bytes;
    }
}

impl ContentParts {
    /// Fields that only Responses items have.
    fn item<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "output" => {
                self.part.item.has_body = true;
                self.nested(map)
            }
            "tools" => {
                let mut tools = ToolVisitor::new(self.rules.tools, None);
                map.next_value_seed(ElementsSeed(&mut tools))?;
                self.bound.add(tools.bound);
                Ok(())
            }
            _ => {
                let says_something = map.next_value::<Leaf<'_>>()?.says_something();
                let seen = if name == "id" {
                    &mut self.part.item.has_id
                } else {
                    &mut self.part.item.is_sealed
                };
                *seen |= says_something;
                Ok(())
            }
        }
    }

    fn reference_id<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let value: Leaf<'_> = map.next_value()?;
        if value.says_something() {
            unbounded(&mut self.bound, "file id");
        }
        Ok(())
    }

    fn inline_file<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let value: Leaf<'_> = map.next_value()?;
        if let Some(data) = value.text() {
            self.file_data(data);
        }
        Ok(())
    }
}

/// `image_url`, `file` and their like: a URL as text, or an object that has one, or the id of a stored file.
struct Reference<'p, 'w> {
    parts: &'p mut ContentParts,
    what: &'w str,
}

impl FieldVisitor for Reference<'_, '_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "file_id" => self.parts.reference_id(map),
            "file_data" => self.parts.inline_file(map),
            name if name == "url" || name.ends_with("_url") => {
                let value: Leaf<'_> = map.next_value()?;
                if let Some(url) = value.text() {
                    self.parts.url(self.what, url);
                }
                Ok(())
            }
            _ => skip(map),
        }
    }

    fn text(&mut self, url: &str) {
        self.parts.url(self.what, url);
    }
}

/// `audio: {"id": …}` of an earlier answer: its tokens come back from the vendor's store.
struct StoredAudio<'p>(&'p mut ContentParts);

impl FieldVisitor for StoredAudio<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let value: Leaf<'_> = map.next_value()?;
        if name == "id" && value.says_something() {
            unbounded(&mut self.0.bound, "stored audio");
        }
        Ok(())
    }
}

/// The `source` of an image or document block.
#[derive(Clone, Default)]
struct Source {
    is_text: bool,
    is_other: bool,
    is_remote: bool,
    media: u64,
    media_bytes: u64,
}

impl Source {
    fn add(&mut self, more: Source) {
        self.is_remote |= more.is_remote;
        self.media += more.media;
        self.media_bytes += more.media_bytes;
    }
}

struct SourceReader<'p> {
    parts: &'p mut ContentParts,
    seen: Source,
}

impl FieldVisitor for SourceReader<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                let value: Leaf<'_> = map.next_value()?;
                let is_text = value.text() == Some("text");
                self.seen.is_text |= is_text;
                self.seen.is_other |= !is_text;
            }
            "data" => {
                let value: Leaf<'_> = map.next_value()?;
                self.seen.media += 1;
                self.seen.media_bytes += value.text().map_or(0, |data| data.len() as u64);
            }
            "url" => self.seen.is_remote |= map.next_value::<Leaf<'_>>()?.says_something(),
            "file_id" => self.parts.reference_id(map)?,
            "content" => self.parts.nested(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn end(&mut self) {
        if self.seen.is_text && !self.seen.is_other {
            (self.seen.media, self.seen.media_bytes) = (0, 0);
        }
    }
}

fn strip_prefix_ignoring_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

#[cfg(test)]
mod tests;
