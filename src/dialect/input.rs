//! What bounds a request's input: walks messages and tools, counts media, and names the first thing that nothing
//! bounds. Reads parsed members, never greps, so that no spelling hides a URL; must never take an unknown reference for text.

use serde::de::MapAccess;

use crate::dialect::Dialect;
use crate::dialect::tools::{AddedTool, Tools, unbounded, word};
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, read, skip};
use crate::domain::input_bound::InputBound;

/// Content in content: a tool result in a message is 2, a document in it 3.
const DEPTH_MAX: u8 = 8;

/// Items of Responses that tell of a call which the vendor ran.
const HOSTED_CALLS: [&str; 5] = [
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_call",
];

/// Gathers the bound of one request, member by member.
#[derive(Debug)]
pub(super) struct Input {
    dialect: Dialect,
    bound: InputBound,
    media_bytes: u64,
}

impl Input {
    pub(super) fn new(dialect: Dialect) -> Input {
        Input {
            dialect,
            bound: InputBound::default(),
            media_bytes: 0,
        }
    }

    /// Reads `messages`, `system` or anything else that holds content.
    pub(super) fn content(&mut self, json: &str) -> Result<(), serde_json::Error> {
        let parts = read(&ContentParts::new(self.dialect), json.as_bytes())?;
        self.media_bytes += parts.media_bytes;
        add(&mut self.bound, parts.bound);
        Ok(())
    }

    /// Reads `tools`.
    pub(super) fn tools(
        &mut self,
        json: &str,
        hosted_calls_max: Option<u64>,
    ) -> Result<(), serde_json::Error> {
        let tools = Tools::new(self.dialect).with_calls_max(hosted_calls_max);
        add(&mut self.bound, read(&tools, json.as_bytes())?.bound);
        Ok(())
    }

    pub(super) fn audio(&mut self) {
        self.bound.audio = true;
    }

    /// Something that the vendor keeps and that the model's context window bounds, as it does a document.
    pub(super) fn stored(&mut self) {
        self.bound.documents += 1;
    }

    pub(super) fn unbounded(&mut self, why: &str) {
        unbounded(&mut self.bound, why);
    }

    /// The bound of a body of that many bytes.
    pub(super) fn finish(mut self, body_bytes: usize) -> InputBound {
        self.bound.text_bytes = (body_bytes as u64).saturating_sub(self.media_bytes);
        self.bound
    }
}

fn add(bound: &mut InputBound, more: InputBound) {
    bound.images += more.images;
    bound.documents += more.documents;
    bound.audio |= more.audio;
    bound.searches = bound.searches.saturating_add(more.searches);
    bound.tools += more.tools;
    if bound.unbounded.is_none() {
        bound.unbounded = more.unbounded;
    }
}

/// Whether a `context_management` asks for a compaction. What cannot be read may ask for anything.
pub(super) fn compacts(json: &str) -> bool {
    read(&Edits::default(), json.as_bytes()).map_or(true, |edits| edits.compacts)
}

#[derive(Clone, Default)]
struct Edits {
    compacts: bool,
}

impl FieldVisitor for Edits {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "edits" => map.next_value_seed(ElementsSeed(self)),
            "type" => {
                self.compacts |= map
                    .next_value::<Leaf<'_>>()?
                    .text()
                    .is_some_and(|kind| kind.starts_with("compact"));
                Ok(())
            }
            _ => skip(map),
        }
    }
}

/// Reads messages and the parts in them alike: what a member means does not hang on the declared `type`, which a
/// lenient upstream may not look at.
#[derive(Clone)]
struct ContentParts {
    dialect: Dialect,
    bound: InputBound,
    media_bytes: u64,
    depth: u8,
    part: Part,
}

/// What was seen of the part being read.
#[derive(Clone, Default)]
struct Part {
    is_image: bool,
    is_other: bool,
    source: Source,
    item: Item,
}

/// What was seen of an item of Responses, to tell what the vendor would fetch from its own store.
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

    /// Whether the vendor fills it in from what it keeps: a reference, and thoughts that do not come along.
    fn is_stored(&self) -> bool {
        let is_short_reference = self.has_id && !self.has_kind && !self.has_body;
        self.is_reference
            || is_short_reference
            || (self.is_hosted && self.has_id)
            || (self.is_reasoning && self.has_id && !self.is_sealed)
    }
}

impl ContentParts {
    fn new(dialect: Dialect) -> ContentParts {
        ContentParts {
            dialect,
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
            "output" | "id" | "encrypted_content" | "tools"
                if self.dialect == Dialect::Responses =>
            {
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
                let mut added = AddedTool(Tools::new(self.dialect));
                map.next_value_seed(ObjectSeed(&mut added))?;
                add(&mut self.bound, added.0.bound);
                Ok(())
            }
            name => match name.strip_suffix("_url") {
                Some(what) => self.reference(word(what), map),
                None => skip(map),
            },
        }
    }

    fn end(&mut self) {
        let part = std::mem::take(&mut self.part);
        if self.dialect == Dialect::Responses && part.item.is_stored() {
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
    /// What only items of Responses have.
    fn item<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "output" => {
                self.part.item.has_body = true;
                self.nested(map)
            }
            "tools" => {
                let mut tools = Tools::new(self.dialect);
                map.next_value_seed(ElementsSeed(&mut tools))?;
                add(&mut self.bound, tools.bound);
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
mod tests {
    use super::*;

    fn content(dialect: Dialect, json: &str) -> InputBound {
        let mut input = Input::new(dialect);
        input.content(json).expect("readable");
        input.finish(json.len())
    }

    fn why(dialect: Dialect, json: &str) -> Option<String> {
        content(dialect, json).unbounded
    }

    #[test]
    fn text_counts_its_bytes_and_needs_nothing_else() {
        let json = r#"[{"role":"user","content":"see https://x.y and {\"type\":\"image_url\"}"},{"role":"user","content":[{"type":"text","text":"file_id"}]}]"#;
        for dialect in [Dialect::Chat, Dialect::Messages] {
            let expected = InputBound {
                text_bytes: json.len() as u64,
                ..InputBound::default()
            };
            assert_eq!(content(dialect, json), expected);
        }
    }

    #[test]
    fn chat_images_are_counted_and_their_payload_is_not() {
        let json = r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAABBBB"}},
            {"type":"image_url","image_url":"DATA:Image/png;base64,CCCC"}]}]"#;
        let bound = content(Dialect::Chat, json);
        assert_eq!(
            (bound.images, bound.documents, bound.unbounded),
            (2, 0, None)
        );
        assert_eq!(bound.text_bytes, json.len() as u64 - 12);
    }

    #[test]
    fn chat_files_and_sounds_are_told_apart() {
        let json = r#"[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AAAA"}},
            {"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]}]"#;
        let bound = content(Dialect::Chat, json);
        assert_eq!(
            (bound.images, bound.documents, bound.audio, bound.unbounded),
            (0, 1, true, None)
        );
        assert_eq!(bound.text_bytes, json.len() as u64 - 32);
    }

    #[test]
    fn what_lies_elsewhere_is_unbounded() {
        for (part, expected) in [
            (
                r#"{"type":"image_url","image_url":{"url":"https://x.y/z.png"}}"#,
                "remote image URL",
            ),
            (
                r#"{"type":"image_url","image_url":{"\u0075rl":"https:\/\/x.y"}}"#,
                "remote image URL",
            ),
            (
                r#"{"type":"text","image\u005furl":"gs://x"}"#,
                "remote image URL",
            ),
            (
                r#"{"type":"document_url","document_url":"https://x.y"}"#,
                "remote document URL",
            ),
            (r#"{"type":"file","file":{"file_id":"file-1"}}"#, "file id"),
            (
                r#"{"type":"file","file":{"file_data":"https://x.y"}}"#,
                "remote file URL",
            ),
        ] {
            let json =
                format!(r#"[{{"role":"user","content":[{{"type":"text","text":"a"}},{part}]}}]"#);
            assert_eq!(
                why(Dialect::Chat, &json).as_deref(),
                Some(expected),
                "{part}"
            );
        }
        assert_eq!(
            why(
                Dialect::Chat,
                r#"[{"role":"assistant","audio":{"id":"a"}}]"#
            )
            .as_deref(),
            Some("stored audio")
        );
        assert_eq!(
            why(Dialect::Chat, r#"[{"role":"assistant","audio":null}]"#),
            None
        );
    }

    #[test]
    fn blocks_of_messages_are_counted_also_inside_tool_results() {
        let json = r#"[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAABBBB"}},
            {"source":{"data":"CCCC","type":"base64"},"type":"document"},
            {"type":"document","source":{"type":"text","media_type":"text/plain","data":"counted"}},
            {"type":"document","source":{"type":"content","content":[{"type":"image","source":{"type":"base64","data":"DD"}}]}},
            {"type":"search_result","source":"https://x.y","title":"t","content":[{"type":"text","text":"x"}]},
            {"type":"web_search_result","url":"https://x.y","encrypted_content":"zzz"}
        ]}]}]"#;
        let bound = content(Dialect::Messages, json);
        assert_eq!(
            (bound.images, bound.documents, bound.unbounded.as_deref()),
            (2, 1, None)
        );
        assert_eq!(bound.text_bytes, json.len() as u64 - 14);
    }

    #[test]
    fn blocks_that_lie_elsewhere_are_unbounded() {
        for (block, expected) in [
            (
                r#"{"type":"image","source":{"type":"url","url":"https://x.y"}}"#,
                "remote image URL",
            ),
            (
                r#"{"type":"document","source":{"type":"url","url":"https://x.y"}}"#,
                "remote document URL",
            ),
            (
                r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#,
                "file id",
            ),
            (r#"{"type":"container_upload","file_id":"f"}"#, "file id"),
            (
                r#"{"type":"tool_addition","tool":{"type":"tool_definition","definition":{"type":"web_search_20250305"}}}"#,
                "hosted tool web_search_20250305 without max_uses",
            ),
        ] {
            for json in [
                format!(r#"[{{"role":"user","content":[{block}]}}]"#),
                format!(
                    r#"[{{"role":"user","content":[{{"type":"tool_result","content":[{block}]}}]}}]"#
                ),
            ] {
                assert_eq!(
                    why(Dialect::Messages, &json).as_deref(),
                    Some(expected),
                    "{json}"
                );
            }
        }
    }

    #[test]
    fn a_source_cannot_pass_as_text_by_naming_two_types() {
        let json = r#"[{"content":[{"type":"image","source":{"type":"text","type":"base64","data":"AAAA"}}]}]"#;
        assert_eq!(content(Dialect::Messages, json).images, 1);
    }

    #[test]
    fn content_nested_beyond_the_depth_is_unbounded_not_overlooked() {
        let image = r#"{"type":"image","source":{"type":"url","url":"https://x.y"}}"#;
        let deep = |depth: usize| {
            format!(
                "[{}{image}{}]",
                r#"{"content":["#.repeat(depth),
                "]}".repeat(depth)
            )
        };
        assert_eq!(
            why(Dialect::Messages, &deep(8)).as_deref(),
            Some("remote image URL")
        );
        assert_eq!(
            why(Dialect::Messages, &deep(9)).as_deref(),
            Some("content nested too deep")
        );
        assert_eq!(
            why(Dialect::Messages, &deep(10_000)).as_deref(),
            Some("content nested too deep")
        );
    }

    #[test]
    fn half_an_emoji_in_a_text_hides_nothing() {
        let json = r#"[{"role":"user","content":"\ud83d"},{"role":"user","content":[{"type":"image_url","image_url":"https://x"}]}]"#;
        assert_eq!(
            why(Dialect::Chat, json).as_deref(),
            Some("remote image URL")
        );
    }
}
