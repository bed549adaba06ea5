//! Upper bound of a request's input, read from its body: its bytes without media payloads, its media, the vendor's stored input, and
//! the first work at the vendor that nothing bounds, by name. Knows no price. Dialects differ in the `InputRules` they pass.

mod content;
mod tools;

pub(super) use content::InputRules;
pub(super) use tools::{ToolRules, ToolRunner, printable};

use serde::de::MapAccess;

use crate::dialect::input_bound::content::ContentParts;
use crate::dialect::input_bound::tools::{ToolVisitor, unbounded};
use crate::dialect::request::{RequestBody, invalid_field};
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, read_text, skip};
use crate::domain::api_error::ApiError;
use crate::domain::input_bound::InputBound;

/// Fields that refer to a conversation stored by the vendor.
const STORED_CONVERSATION: [&str; 4] = [
    "previous_response_id",
    "conversation",
    "thread",
    "cached_content",
];

/// Reader of the input bound of one request, field by field.
pub(super) struct InputBoundReader<'b> {
    body: &'b RequestBody<'b>,
    rules: &'static InputRules,
    bound: InputBound,
    media_bytes: u64,
}

impl<'b> InputBoundReader<'b> {
    pub(super) fn new(
        body: &'b RequestBody<'b>,
        rules: &'static InputRules,
    ) -> InputBoundReader<'b> {
        InputBoundReader {
            body,
            rules,
            bound: InputBound::default(),
            media_bytes: 0,
        }
    }

    /// Reads fields that hold content.
    pub(super) fn read_content(&mut self, fields: &[&str]) -> Result<(), ApiError> {
        for field in fields.iter().copied() {
            if let Some(json) = self.body.raw(field) {
                let parts = read_text(&ContentParts::new(self.rules), json)
                    .map_err(|_| invalid_field(field, "holds a value that cannot be read"))?;
                self.media_bytes += parts.media_bytes;
                self.bound.add(parts.bound);
            }
        }
        Ok(())
    }

    /// Reads `tools` and `functions`. `hosted_calls_max`: the request's limit on the calls of all hosted tools together.
    pub(super) fn read_tools(&mut self, hosted_calls_max: Option<u64>) -> Result<(), ApiError> {
        for field in ["tools", "functions"] {
            let Some(json) = self
                .body
                .raw(field)
                .filter(|json| json.starts_with(['[', '{']))
            else {
                continue;
            };
            let tools = read_text(&ToolVisitor::new(self.rules.tools, hosted_calls_max), json)
                .map_err(|_| invalid_field(field, "holds a value that cannot be read"))?;
            self.bound.add(tools.bound);
        }
        Ok(())
    }

    pub(super) fn add_audio(&mut self) {
        self.bound.audio = true;
    }

    /// Adds chat's search, which only some models bound.
    pub(super) fn add_search_options(&mut self) {
        self.bound.search_options = true;
    }

    /// Adds input stored by the vendor. The model's context window bounds it, as it does a document.
    pub(super) fn add_stored(&mut self) {
        self.bound.documents += 1;
    }

    pub(super) fn add_unbounded(&mut self, why: &str) {
        unbounded(&mut self.bound, why);
    }

    /// A stored conversation is unbounded in dialects whose vendors do not say what it may contain.
    pub(super) fn read_stored_conversation(&mut self) {
        if STORED_CONVERSATION
            .into_iter()
            .any(|field| self.body.leaf(field).is_some())
        {
            self.add_unbounded("stored conversation");
        }
    }

    /// Reads fields that make the vendor work on its own.
    pub(super) fn read_server_side_work(&mut self) {
        if self.body.leaf("container").is_some() {
            self.add_unbounded("container");
        }
        if self.body.leaf("mcp_servers").is_some() {
            self.add_unbounded("hosted tool mcp_servers");
        }
        // compaction reads the conversation once more and writes a summary beyond the output cap
        let compacts = self.body.raw("context_management").is_some_and(compacts);
        if compacts || self.body.leaf("compaction").is_some() {
            self.add_unbounded("server-side compaction");
        }
    }

    pub(super) fn finish(mut self) -> InputBound {
        self.bound.text_bytes = (self.body.text.len() as u64).saturating_sub(self.media_bytes);
        self.bound
    }
}

/// A `context_management` asks for a compaction; one that cannot be read may do so.
fn compacts(json: &str) -> bool {
    read_text(&ContextEdits::default(), json).map_or(true, |edits| edits.compacts)
}

#[derive(Clone, Default)]
struct ContextEdits {
    compacts: bool,
}

impl FieldVisitor for ContextEdits {
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

#[cfg(test)]
mod tests;
