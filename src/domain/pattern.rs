//! Model patterns: model names in which `*` matches any run of characters. A pattern without `*` is a model with its snapshots, and
//! must never match another model.

use std::fmt;

use crate::domain::snapshot::is_snapshot;

/// A pattern such as `gpt-5.1`, `claude-*`, `openai/*` or `*`. Byte-wise comparison; no case folding, no other wildcard. Without `*`
/// it matches the model and its snapshots: `gpt-5.1` also matches `gpt-5.1-2025-11-13`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(String);

impl Pattern {
    pub fn new(text: impl Into<String>) -> Pattern {
        Pattern(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if the whole name matches, or is a snapshot of the model that the pattern names.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or("");
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty() || is_snapshot(name, first);
        };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }

    /// Returns true if the requested name, the bare model name or the `provider/model` form matches.
    pub fn matches_deployment(&self, asked: &str, provider: &str, model: &str) -> bool {
        self.matches(asked)
            || self.matches(model)
            || (self.0.contains('/') && self.matches(&format!("{provider}/{model}")))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_star_matches_any_run_and_all_else_is_literal() {
        for (pattern, name, expected) in [
            ("gpt-5.1", "gpt-5.1", true),
            ("gpt-5.1", "gpt-5x1", false),
            ("gpt-5.1", "gpt-5.1-2025-11-13", true),
            ("gpt-5.1-2025-11-13", "gpt-5.1", false),
            ("gpt-5.1", "gpt-5.1-mini", false),
            ("gpt-5.1", "gpt-5.1-codex-2025-11-13", false),
            ("gpt-5*", "gpt-5.1-2025-11-13", true),
            ("claude-*", "claude-sonnet-5-5", true),
            ("claude-*", "claude", false),
            ("*", "", true),
            ("*mini", "gpt-5-mini", true),
            ("a*a", "a", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXcYb", false),
            ("", "x", false),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(name),
                expected,
                "{pattern} on {name}"
            );
        }
        assert!(Pattern::new("openai/*").matches_deployment("gpt-5.1", "openai", "gpt-5.1"));
        assert!(!Pattern::new("openai/*").matches_deployment("gpt-5.1", "azure", "gpt-5.1"));
        let dated = "gpt-5.1-2025-11-13";
        assert!(Pattern::new("openai/gpt-5.1").matches_deployment("fast", "openai", dated));
    }
}
