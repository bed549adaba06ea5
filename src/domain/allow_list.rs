//! Allow-list of models: all models, or those that match a pattern. An empty list must never mean all models.

use crate::domain::pattern::Pattern;

/// Models that the keys of a team, or one key, may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowList {
    #[default]
    All,
    /// models that match one of the patterns; none if it is empty
    Only(Vec<Pattern>),
}

impl AllowList {
    /// Returns true if the list allows a requested name or its deployment.
    pub fn allows(&self, asked: &str, provider: &str, model: &str) -> bool {
        let matches = |pattern: &Pattern| pattern.matches_deployment(asked, provider, model);
        match self {
            AllowList::All => true,
            AllowList::Only(patterns) => patterns.iter().any(matches),
        }
    }

    /// Patterns of the list; `None` if all models are allowed.
    pub fn patterns(&self) -> Option<&[Pattern]> {
        match self {
            AllowList::All => None,
            AllowList::Only(patterns) => Some(patterns),
        }
    }

    /// Patterns as texts; `None` if all models are allowed.
    pub fn texts(&self) -> Option<Vec<&str>> {
        let patterns = self.patterns()?;
        Some(patterns.iter().map(Pattern::as_str).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allow_list_without_patterns_allows_no_model() {
        let only = |patterns: &[&str]| {
            AllowList::Only(patterns.iter().map(|text| Pattern::new(*text)).collect())
        };
        for (list, allowed) in [
            (AllowList::All, true),
            (only(&[]), false),
            (only(&["gpt-5.1"]), true),
            (only(&["gpt-5"]), false),
            (only(&["azure/*", "openai/*"]), true),
        ] {
            let allows = list.allows("fast", "openai", "gpt-5.1-2025-11-13");
            assert_eq!(allows, allowed, "{list:?}");
        }
    }
}
