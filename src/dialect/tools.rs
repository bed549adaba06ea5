//! Who runs the tools of a request: the client, at no cost of ours, or the vendor, whose results are input once more.
//! Must never take a hosted tool for one of the client's: what it does not know is hosted.

use serde::de::MapAccess;

use crate::dialect::Dialect;
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, skip};
use crate::domain::input_bound::InputBound;

/// Tools that the client itself runs, though the vendor defines them.
const CLIENT_TOOLS: [&str; 4] = ["bash_", "text_editor_", "computer_", "memory_"];

/// Hosted tools whose runs `max_uses` bounds.
const SEARCH_TOOLS: [&str; 2] = ["web_search_", "web_fetch_"];

/// Tools of Responses that the client itself runs, or that only hold others.
const CLIENT_KINDS: [&str; 7] = [
    "function",
    "custom",
    "namespace",
    "local_shell",
    "apply_patch",
    "computer",
    "computer_use_preview",
];

/// Reads the declared tools one after the other.
#[derive(Clone)]
pub(super) struct Tools {
    dialect: Dialect,
    pub(super) bound: InputBound,
    run_by: RunBy,
    max_uses: Option<u64>,
    /// the bound that the request sets for all of them
    hosted_calls_max: Option<u64>,
    /// Responses: the client runs a tool that a vendor could run
    runs_here: bool,
}

/// Who runs the tool being read.
#[derive(Clone, Default)]
enum RunBy {
    #[default]
    Client,
    Search(String),
    Hosted(String),
}

impl Tools {
    pub(super) fn new(dialect: Dialect) -> Tools {
        let bound = InputBound::default();
        Tools {
            dialect,
            bound,
            run_by: RunBy::Client,
            max_uses: None,
            hosted_calls_max: None,
            runs_here: false,
        }
    }

    /// Where the request itself bounds how often hosted tools may run.
    pub(super) fn with_calls_max(self, hosted_calls_max: Option<u64>) -> Tools {
        Tools {
            hosted_calls_max,
            ..self
        }
    }

    fn run_by(&self, kind: &str) -> RunBy {
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| kind.starts_with(prefix));
        match self.dialect {
            Dialect::Chat if kind == "function" || kind == "custom" => RunBy::Client,
            Dialect::Responses if CLIENT_KINDS.contains(&kind) => RunBy::Client,
            Dialect::Responses if kind.starts_with("web_search") => {
                RunBy::Search(word(kind).to_owned())
            }
            Dialect::Messages if kind == "custom" || begins(&CLIENT_TOOLS) => RunBy::Client,
            Dialect::Messages if begins(&SEARCH_TOOLS) => RunBy::Search(word(kind).to_owned()),
            _ => RunBy::Hosted(word(kind).to_owned()),
        }
    }
}

impl FieldVisitor for Tools {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                let value: Leaf<'_> = map.next_value()?;
                let run_by = match &value {
                    Leaf::Null => RunBy::Client,
                    value => self.run_by(value.text().unwrap_or("?")),
                };
                // named twice, the dearer one counts
                match (&self.run_by, &run_by) {
                    (RunBy::Hosted(_), _) | (_, RunBy::Client) => {}
                    _ => self.run_by = run_by,
                }
                Ok(())
            }
            "max_uses" => {
                if let Leaf::Whole(uses) = map.next_value()? {
                    self.max_uses = Some(self.max_uses.unwrap_or(0).max(uses));
                }
                Ok(())
            }
            "execution" if self.dialect == Dialect::Responses => {
                self.runs_here = map.next_value::<Leaf<'_>>()?.text() == Some("client");
                Ok(())
            }
            // a namespace's
            "tools" if self.dialect == Dialect::Responses => {
                let mut inner = Tools::new(self.dialect).with_calls_max(self.hosted_calls_max);
                map.next_value_seed(ElementsSeed(&mut inner))?;
                self.bound.tools += inner.bound.tools;
                self.bound.searches = self.bound.searches.saturating_add(inner.bound.searches);
                if let Some(why) = inner.bound.unbounded {
                    unbounded(&mut self.bound, &why);
                }
                Ok(())
            }
            _ => skip(map),
        }
    }

    fn end(&mut self) {
        self.bound.tools += 1;
        let runs_here = std::mem::take(&mut self.runs_here);
        match (
            std::mem::take(&mut self.run_by),
            self.max_uses.take().or(self.hosted_calls_max),
        ) {
            (RunBy::Client, _) => {}
            (RunBy::Hosted(name), _) if runs_here && name == "tool_search" => {}
            (RunBy::Search(_), Some(uses)) => {
                self.bound.searches = self.bound.searches.saturating_add(uses)
            }
            (RunBy::Search(name), None) if self.dialect == Dialect::Responses => {
                unbounded(
                    &mut self.bound,
                    &format!("hosted tool {name} without max_tool_calls"),
                );
            }
            (RunBy::Search(name), None) => unbounded(
                &mut self.bound,
                &format!("hosted tool {name} without max_uses"),
            ),
            (RunBy::Hosted(name), _) if self.dialect == Dialect::Messages => {
                unbounded(
                    &mut self.bound,
                    &format!("hosted tool {name} without max_uses"),
                );
            }
            (RunBy::Hosted(name), _) => unbounded(&mut self.bound, &format!("hosted tool {name}")),
        }
    }
}

/// A tool that a message adds to the conversation: `{"type": "tool_definition", "definition": …}`.
pub(super) struct AddedTool(pub(super) Tools);

impl FieldVisitor for AddedTool {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "definition" => map.next_value_seed(ObjectSeed(&mut self.0)),
            _ => skip(map),
        }
    }
}

/// Notes why nothing bounds the input; the first reason stays.
pub(super) fn unbounded(bound: &mut InputBound, why: &str) {
    bound.unbounded.get_or_insert_with(|| why.to_owned());
}

/// A name of the client's choosing, if it is fit to be shown.
pub(super) fn as_str(name: &str) -> &str {
    let plain = name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.?".contains(&byte));
    if plain { name } else { "unknown" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::wire::json::read;

    fn tools(dialect: Dialect, json: &str) -> InputBound {
        read(&Tools::new(dialect), json.as_bytes())
            .expect("JSON")
            .bound
    }

    #[test]
    fn tools_of_messages_are_the_clients_or_bounded_by_max_uses() {
        let bound = tools(
            Dialect::Messages,
            r#"[{"name":"a","input_schema":{"type":"object"}},{"type":"custom","name":"b"},{"type":"bash_20250124","name":"bash"},
            {"type":"text_editor_20250728"},{"type":"computer_20251124"},{"type":"memory_20250818"},
            {"type":"web_search_20250305","max_uses":3},{"max_uses":2,"type":"web_fetch_20250910"}]"#,
        );
        assert_eq!((bound.tools, bound.searches, bound.unbounded), (8, 5, None));
        for (tool, expected) in [
            (
                r#"{"type":"web_search_20250305"}"#,
                "hosted tool web_search_20250305 without max_uses",
            ),
            (
                r#"{"type":"code_execution_20250825","max_uses":3}"#,
                "hosted tool code_execution_20250825 without max_uses",
            ),
            (
                r#"{"type":"custom","type":"mcp_toolset"}"#,
                "hosted tool mcp_toolset without max_uses",
            ),
            (r#"{"type":7}"#, "hosted tool ? without max_uses"),
        ] {
            assert_eq!(
                tools(Dialect::Messages, &format!("[{tool}]"))
                    .unbounded
                    .as_deref(),
                Some(expected),
                "{tool}"
            );
        }
    }

    #[test]
    fn tools_of_chat_are_functions_or_unbounded() {
        let bound = tools(
            Dialect::Chat,
            r#"[{"type":"function","function":{"name":"a"}},{"type":"custom"}]"#,
        );
        assert_eq!((bound.tools, bound.unbounded), (2, None));
        let bound = tools(Dialect::Chat, r#"[{"type":"code_interpreter"}]"#);
        assert_eq!(
            bound.unbounded.as_deref(),
            Some("hosted tool code_interpreter")
        );
    }
}
