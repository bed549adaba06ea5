//! Names and ids that fit where they are sent: a vendor may take fewer letters than the client used. Shortened names are
//! remembered for the length of a call, so that the client sees its own again.

use std::borrow::Cow;
use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::conversation::{ChatRequest, Content, IdRule, NameRule, ToolChoice};

/// The tools of one request: the client's names and those that are sent.
#[derive(Clone, Debug, Default)]
pub struct ToolNames {
    sent: HashMap<String, String>,
    original: HashMap<String, String>,
}

impl ToolNames {
    /// Gathers every tool name that an ask holds and does not fit.
    pub fn of(ask: &ChatRequest, rule: NameRule) -> ToolNames {
        let mut names = ToolNames::default();
        let calls = ask
            .turns
            .iter()
            .flat_map(|turn| &turn.blocks)
            .filter_map(|block| match &block.content {
                Content::ToolCall(call) => Some(call.name.as_str()),
                Content::ToolResult(result) => result.name.as_deref(),
                _ => None,
            });
        let chosen = match &ask.tool_choice {
            ToolChoice::Named(name) => Some(name.as_str()),
            _ => None,
        };
        for name in ask
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
        if rule.fits(name) || self.sent.contains_key(name) {
            return;
        }
        let fitting = rule.fitting(name);
        self.original.insert(fitting.clone(), name.to_owned());
        self.sent.insert(name.to_owned(), fitting);
    }

    /// The name as it is sent upstream.
    pub fn sent<'n>(&'n self, name: &'n str) -> &'n str {
        self.sent.get(name).map_or(name, String::as_str)
    }

    /// The client's name of a tool that the upstream calls.
    pub fn original<'n>(&'n self, name: &'n str) -> &'n str {
        self.original.get(name).map_or(name, String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }
}

impl NameRule {
    fn takes(self, letter: char) -> bool {
        letter.is_ascii_alphanumeric() || letter == '_' || self.also.contains(letter)
    }

    fn fits(self, name: &str) -> bool {
        let begins = !self.begins_with_letter
            || name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        !name.is_empty()
            && name.len() <= self.max
            && begins
            && name.chars().all(|letter| self.takes(letter))
    }

    /// The beginning of the name and a fingerprint of the whole: equal names stay equal, different ones different.
    fn fitting(self, name: &str) -> String {
        let mark = fingerprint(name, 8);
        let room = self.max.saturating_sub(mark.len() + 1);
        let mut kept: String = name
            .chars()
            .map(|letter| if self.takes(letter) { letter } else { '_' })
            .take(room)
            .collect();
        if self.begins_with_letter
            && !kept.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        {
            kept.insert(0, '_');
            kept.truncate(room);
        }
        format!("{kept}_{mark}")
    }
}

/// The id of a call as an upstream takes it. The same id always becomes the same, so call and result stay together.
pub fn fit_call_id(id: &str, rule: IdRule) -> Cow<'_, str> {
    let takes = |letter: char| letter.is_ascii_alphanumeric() || rule.also.contains(letter);
    if !id.is_empty() && id.len() >= rule.min && id.len() <= rule.max && id.chars().all(takes) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(fingerprint(id, rule.max.min(24)))
}

/// So many hexadecimal digits of the text's hash.
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
    fn u09_long_names_are_shortened_and_come_back() {
        let long = format!("mcp__server__{}", "x".repeat(100));
        let other = format!("{long}y");
        let tool = |name: &str| Tool {
            name: name.into(),
            description: None,
            schema: raw("{}".into()).expect("JSON"),
            strict: None,
            cache: None,
        };
        let ask = ChatRequest {
            tools: vec![tool(&long), tool(&other), tool("fits"), tool("9 né")],
            ..ChatRequest::default()
        };
        let names = ToolNames::of(&ask, RULE);
        for name in [long.as_str(), &other, "fits", "9 né"] {
            let sent = names.sent(name);
            assert!(RULE.fits(sent), "{sent}");
            assert_eq!(names.original(sent), name);
        }
        assert_ne!(names.sent(&long), names.sent(&other));
        assert_eq!(names.sent("fits"), "fits");
    }

    #[test]
    fn ids_that_do_not_fit_become_the_same_fitting_one() {
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
