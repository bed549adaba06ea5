//! Tool names and call ids within an upstream's rules, which can allow fewer characters than the
//! client used. Replaced names are kept for one call: the client must never see a name that it did
//! not send.

use std::borrow::Cow;
use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::conversation::{AnswerForm, ChatRequest, Content, IdRule, NameRule, ToolChoice};

/// Client names of a request's tools, and the names sent upstream.
#[derive(Clone, Debug, Default)]
pub struct ToolNames {
    /// by client name
    sent: HashMap<String, String>,
    /// by sent name
    original: HashMap<String, String>,
    answer_form: AnswerForm,
}

impl ToolNames {
    /// Replacements for all tool names of a request that violate the rule.
    pub fn of(request: &ChatRequest, rule: NameRule) -> ToolNames {
        let mut names = ToolNames {
            answer_form: request.answer_form,
            ..ToolNames::default()
        };
        let calls = request
            .turns
            .iter()
            .flat_map(|turn| &turn.blocks)
            .filter_map(|block| match &block.content {
                Content::ToolCall(call) => Some(call.name.as_str()),
                Content::ToolResult(result) => result.name.as_deref(),
                _ => None,
            });
        let chosen = match &request.tool_choice {
            ToolChoice::Named(name) => Some(name.as_str()),
            _ => None,
        };
        for name in request
            .tools
            .iter()
            .map(|tool| tool.name.as_str())
            .chain(chosen)
            .chain(calls)
        {
            names.add(name, rule);
        }
        names
    }

    fn add(&mut self, name: &str, rule: NameRule) {
        if rule.allows(name) || self.sent.contains_key(name) {
            return;
        }
        let replacement = rule.replacement(name);
        self.original.insert(replacement.clone(), name.to_owned());
        self.sent.insert(name.to_owned(), replacement);
    }

    /// Form in which the model was told to answer.
    pub fn answer_form(&self) -> AnswerForm {
        self.answer_form
    }

    /// Name sent upstream.
    pub fn sent<'n>(&'n self, name: &'n str) -> &'n str {
        self.sent.get(name).map_or(name, String::as_str)
    }

    /// Client's name of a tool that the upstream calls.
    pub fn original<'n>(&'n self, name: &'n str) -> &'n str {
        self.original.get(name).map_or(name, String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }
}

impl NameRule {
    fn allows_char(self, letter: char) -> bool {
        letter.is_ascii_alphanumeric() || letter == '_' || self.also.contains(letter)
    }

    fn allows(self, name: &str) -> bool {
        let has_valid_start = !self.begins_with_letter
            || name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        !name.is_empty()
            && name.len() <= self.max
            && has_valid_start
            && name.chars().all(|letter| self.allows_char(letter))
    }

    /// Prefix of the name and a fingerprint of all of it: equal names stay equal, different ones
    /// different.
    fn replacement(self, name: &str) -> String {
        let fingerprint = fingerprint(name, 8);
        let prefix_max = self.max.saturating_sub(fingerprint.len() + 1);
        let mut prefix: String = name
            .chars()
            .map(|letter| {
                if self.allows_char(letter) {
                    letter
                } else {
                    '_'
                }
            })
            .take(prefix_max)
            .collect();
        if self.begins_with_letter
            && !prefix.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        {
            prefix.insert(0, '_');
            prefix.truncate(prefix_max);
        }
        format!("{prefix}_{fingerprint}")
    }
}

/// Call id within the upstream's rule. Equal ids stay equal, so that call and result match.
pub fn fit_call_id(id: &str, rule: IdRule) -> Cow<'_, str> {
    let allows = |letter: char| letter.is_ascii_alphanumeric() || rule.also.contains(letter);
    if !id.is_empty() && id.len() >= rule.min && id.len() <= rule.max && id.chars().all(allows) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(fingerprint(id, rule.max.min(24)))
}

/// First hexadecimal digits of the text's hash.
fn fingerprint(text: &str, digits: usize) -> String {
    let hash = Sha256::digest(text.as_bytes());
    let mut hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(digits);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Tool, raw};

    const RULE: NameRule = NameRule {
        max: 64,
        also: "-",
        begins_with_letter: true,
    };

    #[test]
    fn u09_long_tool_names_are_replaced_and_restored() {
        let long = format!("mcp__server__{}", "x".repeat(100));
        let other = format!("{long}y");
        let tool = |name: &str| Tool {
            name: name.into(),
            description: None,
            schema: raw("{}".into()).expect("JSON"),
            strict: None,
            cache: None,
        };
        let request = ChatRequest {
            tools: vec![tool(&long), tool(&other), tool("valid"), tool("9 né")],
            ..ChatRequest::default()
        };
        let names = ToolNames::of(&request, RULE);
        for name in [long.as_str(), &other, "valid", "9 né"] {
            let sent = names.sent(name);
            assert!(RULE.allows(sent), "{sent}");
            assert_eq!(names.original(sent), name);
        }
        assert_ne!(names.sent(&long), names.sent(&other));
        assert_eq!(names.sent("valid"), "valid");
    }

    #[test]
    fn invalid_call_id_always_gets_the_same_replacement() {
        let rule = IdRule {
            min: 9,
            max: 9,
            also: "",
        };
        assert_eq!(fit_call_id("abcDEF123", rule), "abcDEF123");
        let mapped = fit_call_id("call_1", rule);
        assert_eq!((mapped.len(), &mapped), (9, &fit_call_id("call_1", rule)));
        assert_ne!(mapped, fit_call_id("call_2", rule));
        assert_eq!(
            fit_call_id(
                "toolu_01",
                IdRule {
                    min: 1,
                    max: 64,
                    also: "_-"
                }
            ),
            "toolu_01"
        );
    }
}
