//! A chunk, or a unary response, of the chat dialect: usage, text, end and error. Must never count Groq's second copy of the usage
//! twice.

use std::borrow::Cow;

use serde::de::MapAccess;

use crate::dialect::chat::usage::{ChatUsage, UsageObject};
use crate::dialect::error::{ErrorReader, UpstreamError};
use crate::dialect::text_counter::TextCounter;
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, skip};
use crate::dialect::wire::template::{TextPlace, VariableParts};
use crate::domain::server_tool::ServerTool;

/// The fields beside the choices.
#[derive(Clone, Debug, Default)]
pub(super) struct ChunkHead {
    pub(super) usage: ChatUsage,
    /// `usage` is present and not null
    pub(super) has_usage: bool,
    pub(super) error: ErrorReader,
}

/// A chunk or a unary response that is passed through: they differ in `delta` and `message` only.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    pub(super) head: ChunkHead,
    pub(super) choices: u64,
    pub(super) output: TextCounter,
    /// text of choices beside delta and message: legacy completions, or a copy of the text (Together)
    plain: TextCounter,
    pub(super) stopped: bool,
    /// a choice ended with the finish reason of a failure
    pub(super) choice_failed: bool,
    /// OpenAI's filler, of random length
    obfuscation: Option<TextPlace>,
}

impl Chunk {
    /// Parts that the next chunk may have instead without changing more than the count.
    pub(super) fn variable_parts(&self) -> Option<VariableParts> {
        let says_more = self.stopped
            || self.choice_failed
            || self.head.error.seen
            || !self.head.usage.tools.is_empty();
        let counted = self.output.only_text().filter(|_| !says_more)?;
        Some(VariableParts {
            counted,
            ignored: self.obfuscation,
            number: None,
        })
    }
}

impl FieldVisitor for ChunkHead {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "usage" => {
                let mut usage = UsageObject::default();
                map.next_value_seed(ObjectSeed(&mut usage))?;
                self.has_usage |= usage.seen;
                self.usage.then(usage.usage);
                Ok(())
            }
            "x_groq" => map.next_value_seed(ObjectSeed(&mut Extension(self))),
            "service_tier" => {
                if let Leaf::Text(tier) = map.next_value()? {
                    self.usage.service_tier = Some(tier.into_owned());
                }
                Ok(())
            }
            "error" => map.next_value_seed(ObjectSeed(&mut self.error)),
            _ => skip(map),
        }
    }
}

impl FieldVisitor for Chunk {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "choices" => map.next_value_seed(ElementsSeed(&mut Choice(self))),
            "obfuscation" => {
                if let Leaf::Text(Cow::Borrowed(text)) = map.next_value()? {
                    self.obfuscation = Some(TextPlace::of(text));
                }
                Ok(())
            }
            _ => self.head.member(name, map),
        }
    }

    fn end(&mut self) {
        if !self.output.has_content {
            self.output = std::mem::take(&mut self.plain);
        }
    }
}

struct Choice<'c>(&'c mut Chunk);

impl FieldVisitor for Choice<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "delta" | "message" => map.next_value_seed(ElementsSeed(&mut Message(self.0))),
            "text" => map.next_value_seed(ElementsSeed(&mut self.0.plain)),
            "finish_reason" => {
                let reason: Leaf<'_> = map.next_value()?;
                // some vendors send an empty one with every chunk
                self.0.stopped |= reason.text().is_some_and(|reason| !reason.is_empty());
                self.0.choice_failed |= reason.text().is_some_and(is_failure);
                Ok(())
            }
            _ => skip(map),
        }
    }

    fn end(&mut self) {
        self.0.choices += 1;
    }
}

/// A delta or message: its text, and the tools that the vendor ran.
struct Message<'c>(&'c mut Chunk);

impl FieldVisitor for Message<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if name != "executed_tools" {
            return self.0.output.member(name, map);
        }
        let mut executed = ExecutedTools::default();
        map.next_value_seed(ElementsSeed(&mut executed))?;
        self.0.output.has_content |= !executed.0.is_empty();
        self.0.head.usage.add_tools(&executed.0);
        Ok(())
    }

    fn text(&mut self, text: &str) {
        self.0.output.text(text);
    }

    fn other(&mut self) {
        self.0.output.other();
    }

    fn end(&mut self) {
        self.0.output.end();
    }
}

/// Tools that Groq ran, each once in the response.
#[derive(Default)]
struct ExecutedTools(Vec<(ServerTool, u64)>);

impl FieldVisitor for ExecutedTools {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if name != "type" {
            return skip(map);
        }
        match map.next_value::<Leaf<'_>>()?.text() {
            Some("browser.search" | "browser_search" | "search") => {
                self.0.push((ServerTool::BrowserSearch, 1));
            }
            Some("browser.open" | "browser_open" | "visit") => {
                self.0.push((ServerTool::BrowserOpen, 1));
            }
            _ => {}
        }
        Ok(())
    }
}

/// `x_groq`: a copy of the usage, and errors.
struct Extension<'c>(&'c mut ChunkHead);

impl FieldVisitor for Extension<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "usage" => {
                let mut usage = ChatUsage::default();
                map.next_value_seed(ObjectSeed(&mut usage))?;
                self.0.usage.then(usage);
                Ok(())
            }
            "error" => map.next_value_seed(ObjectSeed(&mut self.0.error)),
            _ => skip(map),
        }
    }
}

/// Finish reasons of a generation that failed: Mistral's and OpenRouter's, and DeepSeek's for lack of capacity.
pub(super) fn is_failure(reason: &str) -> bool {
    matches!(reason, "error" | "insufficient_system_resource")
}

/// The error of a choice that failed.
pub(super) fn choice_error() -> UpstreamError {
    UpstreamError::new("the upstream ended its answer with the finish reason of a failure")
}
