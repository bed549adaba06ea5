//! Validated inputs of the control plane: names, model patterns, budgets. Each is checked once, in its constructor, and carried as
//! its own type; the error is a 400 whose text continues the name of the member.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::domain::allow_list::AllowList;
use crate::domain::api_error::ApiError;
use crate::domain::budget::{Action, Budget, Period};
use crate::domain::id::{AdminKeyId, BudgetId, KeyId, LimitId, OrganizationId, TeamId, UserId};
use crate::domain::money::Money;
use crate::domain::pattern::Pattern;

pub const NAME_CHARS_MAX: usize = 64;
pub const EMAIL_BYTES_MAX: usize = 254;
pub const PATTERNS_MAX: usize = 64;
pub const PATTERN_CHARS_MAX: usize = 128;
/// Budgets per owner.
pub const BUDGETS_MAX: usize = 16;

/// Name of an organization, a team or a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    pub fn parse(text: &str) -> Result<Name, ApiError> {
        let problem = if text.is_empty() || text.chars().count() > NAME_CHARS_MAX {
            format!("must have 1 to {NAME_CHARS_MAX} characters")
        } else if !printable(text) || text.trim() != text {
            "must be printable, without white space at its ends".to_owned()
        } else if is_id(text) {
            "must not look like an id; choose another name".to_owned()
        } else {
            return Ok(Name(text.to_owned()));
        };
        Err(ApiError::invalid(problem).with_param("name"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// E-mail address in lower case, by which a user signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Accepts `local@domain` without white space; the address is not probed.
    pub fn parse(text: &str) -> Result<Email, ApiError> {
        let valid = text.len() <= EMAIL_BYTES_MAX
            && printable(text)
            && !text.contains(char::is_whitespace)
            && text
                .split_once('@')
                .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        if valid {
            return Ok(Email(text.to_lowercase()));
        }
        let message = format!("must be an e-mail address of at most {EMAIL_BYTES_MAX} bytes");
        Err(ApiError::invalid(message).with_param("email"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// Models that may be called, as an administrator names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Models(AllowList);

impl Models {
    pub const ALL: Models = Models(AllowList::All);

    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Models, ApiError> {
        let patterns: Vec<Pattern> = texts
            .into_iter()
            .take(PATTERNS_MAX + 1)
            .map(|text| parse_pattern(text.as_ref()))
            .collect::<Result<_, _>>()?;
        if patterns.len() > PATTERNS_MAX {
            return Err(ApiError::invalid(format!(
                "may name at most {PATTERNS_MAX} models; use patterns like `gpt-5*`"
            )));
        }
        Ok(Models(AllowList::Only(patterns)))
    }

    pub fn into_allow_list(self) -> AllowList {
        self.0
    }

    /// Replaces `models`; returns the change for the audit event.
    pub(super) fn replace(self, models: &mut AllowList) -> Value {
        let before = std::mem::replace(models, self.0);
        json!({ "from": models_to_audit(&before), "to": models_to_audit(models) })
    }
}

/// Form in which audit events record models; null allows all.
pub(super) fn models_to_audit(models: &AllowList) -> Value {
    json!(models.texts())
}

/// A model name or pattern.
pub fn parse_pattern(text: &str) -> Result<Pattern, ApiError> {
    if text.is_empty()
        || text.chars().count() > PATTERN_CHARS_MAX
        || !printable(text)
        || text.contains(char::is_whitespace)
    {
        return Err(ApiError::invalid(format!(
            "must be a model's name or a pattern like `claude-*`: 1 to {PATTERN_CHARS_MAX} printable characters, no white space"
        )));
    }
    Ok(Pattern::new(text))
}

/// Terms of one budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetTerms {
    pub limit: Money,
    pub period: Period,
    pub action: Action,
    pub model: Option<Pattern>,
}

impl BudgetTerms {
    pub(super) fn of(budget: &Budget) -> BudgetTerms {
        BudgetTerms {
            limit: budget.limit,
            period: budget.period,
            action: budget.action,
            model: budget.model.clone(),
        }
    }
}

/// All budgets of one owner, no two of the same period, action and model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budgets(Vec<BudgetTerms>);

impl Budgets {
    /// Refuses too many entries, and two of the same period, action and model.
    pub fn new(terms: Vec<BudgetTerms>) -> Result<Budgets, ApiError> {
        if terms.len() > BUDGETS_MAX {
            return Err(ApiError::invalid(format!(
                "may have at most {BUDGETS_MAX} entries"
            )));
        }
        let mut seen = HashSet::new();
        match terms
            .iter()
            .position(|terms| !seen.insert((terms.period, terms.action, terms.model.as_ref())))
        {
            Some(index) => Err(ApiError::invalid(
                "repeats the period, action and model of another entry",
            )
            .with_param(format!("budgets[{index}]"))),
            None => Ok(Budgets(terms)),
        }
    }

    pub fn terms(&self) -> &[BudgetTerms] {
        &self.0
    }
}

/// No control characters, and none that change the direction of the text after them.
fn printable(text: &str) -> bool {
    !text.chars().any(|letter| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    })
}

fn is_id(text: &str) -> bool {
    OrganizationId::parse(text).is_some()
        || TeamId::parse(text).is_some()
        || KeyId::parse(text).is_some()
        || AdminKeyId::parse(text).is_some()
        || UserId::parse(text).is_some()
        || BudgetId::parse(text).is_some()
        || LimitId::parse(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_must_be_short_printable_and_no_id() {
        for text in ["a", "Größe & Co.", "日本", &"x".repeat(64)] {
            assert!(Name::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            " a",
            "a\n",
            "a\u{202e}b",
            "team_3",
            "org_1",
            &"x".repeat(65),
        ] {
            assert_eq!(
                Name::parse(text).expect_err(text).param.as_deref(),
                Some("name")
            );
        }
    }

    #[test]
    fn models_must_be_bounded_patterns() {
        assert!(Models::parse(["gpt-5*", "openai/*"]).is_ok());
        for texts in [vec![""], vec!["a b"], vec!["a"; 65]] {
            assert!(Models::parse(&texts).is_err(), "{texts:?}");
        }
        assert!(Models::parse(["x".repeat(129)]).is_err());
    }
}
