//! The most that a request's input can come to, read from its body: what its bytes hold, what a vendor keeps and would bring
//! in, and the work at the vendor that nothing bounds, by its name. Knows no price.

use crate::dialect::Dialect;
use crate::dialect::input::{Input, compacts};
use crate::dialect::request::{Body, bad};
use crate::dialect::wire::json::Leaf;
use crate::domain::api_error::ApiError;
use crate::domain::input_bound::InputBound;

/// Members that bring in a conversation which the vendor keeps.
const STORED_CONVERSATION: [&str; 4] = [
    "previous_response_id",
    "conversation",
    "thread",
    "cached_content",
];

impl Body<'_> {
    pub(super) fn audio_output(&self) -> bool {
        let modalities = self
            .raw("modalities")
            .filter(|_| self.dialect == Dialect::Chat);
        modalities.is_some_and(|json| match serde_json::from_str::<Vec<Leaf<'_>>>(json) {
            Ok(modalities) => modalities
                .iter()
                .any(|modality| modality.text() == Some("audio")),
            Err(_) => true,
        })
    }

    pub(super) fn input(&self) -> Result<InputBound, ApiError> {
        match self.dialect {
            Dialect::Embeddings => {
                let text_bytes = self.bytes.len() as u64;
                Ok(InputBound {
                    text_bytes,
                    prompts: self.prompts()?,
                    ..InputBound::default()
                })
            }
            Dialect::TokenCount => Ok(InputBound::default()),
            _ => self.conversation(),
        }
    }

    fn conversation(&self) -> Result<InputBound, ApiError> {
        let mut input = Input::new(self.dialect);
        let members: &[&str] = if self.dialect == Dialect::Responses {
            &["input"]
        } else {
            &["messages", "system"]
        };
        for name in members.iter().copied() {
            if let Some(json) = self.raw(name) {
                input
                    .content(json)
                    .map_err(|_| bad(name, "holds a value that cannot be read"))?;
            }
        }
        for name in ["tools", "functions"] {
            if let Some(json) = self.raw(name).filter(|json| json.starts_with(['[', '{'])) {
                input
                    .tools(json, self.hosted_calls_max())
                    .map_err(|_| bad(name, "holds a value that cannot be read"))?;
            }
        }
        if self.audio_output() {
            input.audio();
        }
        if self.dialect == Dialect::Responses {
            self.kept_by_vendor(&mut input);
        } else if STORED_CONVERSATION
            .into_iter()
            .any(|name| self.leaf(name).is_some())
        {
            input.unbounded("stored conversation");
        }
        if self.dialect == Dialect::Chat {
            self.chat_tools(&mut input);
        } else {
            self.server_side_work(&mut input);
        }
        Ok(input.finish(self.bytes.len()))
    }

    /// What a Responses vendor keeps. A conversation comes to no more than the model's context window; a prompt may bring tools.
    fn kept_by_vendor(&self, input: &mut Input) {
        if self.leaf("prompt").is_some() {
            input.unbounded("stored prompt");
        }
        if ["previous_response_id", "conversation"]
            .into_iter()
            .any(|name| self.leaf(name).is_some())
        {
            input.stored();
        }
    }

    /// Responses: the most calls of all hosted tools together.
    fn hosted_calls_max(&self) -> Option<u64> {
        match self
            .leaf("max_tool_calls")
            .filter(|_| self.dialect == Dialect::Responses)?
        {
            Leaf::Whole(calls) => Some(calls),
            _ => None,
        }
    }

    fn chat_tools(&self, input: &mut Input) {
        // an empty `{}` turns the search on
        if self
            .raw("web_search_options")
            .is_some_and(|json| json != "null")
        {
            input.unbounded("hosted tool web_search");
        }
        if self.leaf("plugins").is_some() {
            input.unbounded("hosted tool plugins");
        }
    }

    fn server_side_work(&self, input: &mut Input) {
        if self.leaf("container").is_some() {
            input.unbounded("container");
        }
        if self.leaf("mcp_servers").is_some() {
            input.unbounded("hosted tool mcp_servers");
        }
        // compaction reads the conversation once more and writes a summary beyond `max_tokens`
        let compacts = self.raw("context_management").is_some_and(compacts);
        if compacts || self.leaf("compaction").is_some() {
            input.unbounded("server-side compaction");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::request::read;

    /// A good request with more members.
    fn input(dialect: Dialect, more: &str) -> InputBound {
        let body = match dialect {
            Dialect::Messages => format!(r#"{{"model":"m","max_tokens":9,"messages":[]{more}}}"#),
            Dialect::Responses => format!(r#"{{"model":"m"{more}}}"#),
            _ => format!(r#"{{"model":"m","messages":[]{more}}}"#),
        };
        read(dialect, body.into()).expect("a request").input
    }

    #[test]
    fn work_that_nothing_bounds_is_named() {
        for (dialect, more, expected) in [
            (
                Dialect::Chat,
                r#","web_search_options":{}"#,
                Some("hosted tool web_search"),
            ),
            (Dialect::Chat, r#","web_search_options":null"#, None),
            (
                Dialect::Chat,
                r#","previous_response_id":"r""#,
                Some("stored conversation"),
            ),
            (
                Dialect::Chat,
                r#","tools":[{"type":"code_interpreter"}]"#,
                Some("hosted tool code_interpreter"),
            ),
            (
                Dialect::Chat,
                r#","prediction":{"type":"content","content":"x"}"#,
                None,
            ),
            (Dialect::Messages, r#","container":"c""#, Some("container")),
            (
                Dialect::Messages,
                r#","mcp_servers":[{"url":"u"}]"#,
                Some("hosted tool mcp_servers"),
            ),
            (Dialect::Messages, r#","mcp_servers":[]"#, None),
            (
                Dialect::Messages,
                r#","thread":{"type":"continue"}"#,
                Some("stored conversation"),
            ),
            (
                Dialect::Messages,
                r#","context_management":{"edits":[{"type":"\u0063ompact_20260112"}]}"#,
                Some("server-side compaction"),
            ),
            (
                Dialect::Messages,
                r#","compaction":{"type":"summarize"}"#,
                Some("server-side compaction"),
            ),
            (
                Dialect::Messages,
                r#","system":[{"type":"image","source":{"type":"url","url":"u"}}]"#,
                Some("remote image URL"),
            ),
        ] {
            assert_eq!(
                input(dialect, more).unbounded.as_deref(),
                expected,
                "{more}"
            );
        }
    }

    #[test]
    fn what_a_responses_vendor_keeps_fills_at_most_the_context_window() {
        for more in [
            r#","previous_response_id":"resp_1""#,
            r#","input":"x","conversation":{"id":"conv_1"}"#,
            r#","input":[{"type":"item_reference","id":"msg_1"}]"#,
            r#","input":[{"id":"msg_1"}]"#,
            r#","input":[{"type":"reasoning","id":"rs_1","summary":[]}]"#,
            r#","input":[{"type":"web_search_call","id":"ws_1","status":"completed"}]"#,
        ] {
            let input = input(Dialect::Responses, more);
            assert_eq!((input.documents, input.unbounded), (1, None), "{more}");
        }
        let input = input(
            Dialect::Responses,
            r#","input":[{"type":"message","id":"msg_1","role":"assistant","content":"x"}]"#,
        );
        assert_eq!(input.documents, 0);
    }

    #[test]
    fn what_a_responses_vendor_runs_is_unbounded_or_counted() {
        for (more, why) in [
            (r#","prompt":{"id":"p"}"#, "stored prompt"),
            (
                r#","input":"","tools":[{"type":"web_search"}]"#,
                "hosted tool web_search without max_tool_calls",
            ),
            (
                r#","input":"","tools":[{"type":"code_interpreter","container":"c"}]"#,
                "hosted tool code_interpreter",
            ),
            (
                r#","input":"","tools":[{"type":"tool_search"}]"#,
                "hosted tool tool_search",
            ),
            (
                r#","input":"","max_tool_calls":3,"tools":[{"type":"mcp","server_label":"s"}]"#,
                "hosted tool mcp",
            ),
            (
                r#","input":"","context_management":[{"type":"compaction","compact_threshold":1}]"#,
                "server-side compaction",
            ),
            (
                r#","input":[{"type":"compaction_trigger"}]"#,
                "server-side compaction",
            ),
            (
                r#","input":[{"type":"additional_tools","role":"developer","tools":[{"type":"file_search"}]}]"#,
                "hosted tool file_search",
            ),
            (
                r#","input":[{"role":"user","content":[{"type":"input_image","image_url":"https://x.y/z.png"}]}]"#,
                "remote image URL",
            ),
            (
                r#","input":[{"role":"user","content":[{"type":"input_file","file_url":"https://x.y"}]}]"#,
                "remote file URL",
            ),
            (
                r#","input":[{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","file_id":"f"}]}]"#,
                "file id",
            ),
        ] {
            let input = input(Dialect::Responses, more);
            assert_eq!(input.unbounded.as_deref(), Some(why), "{more}");
        }
        let input = input(
            Dialect::Responses,
            r#","input":"","max_tool_calls":3,"tools":[{"type":"web_search"}]"#,
        );
        assert_eq!((input.searches, input.unbounded), (3, None));
    }
}
