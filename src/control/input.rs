//! What a person may ask for: names, models, budgets, an expiry. Each is checked once, here, and carried as its own type;
//! what is wrong is 400 and names the member.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::control::fields::Fields;
use crate::domain::api_error::ApiError;
use crate::domain::budget::{Action, Period};
use crate::domain::id::{AdminKeyId, BudgetId, KeyId, LimitId, OrganizationId, TeamId};
use crate::domain::money::Money;
use crate::domain::pattern::Pattern;
use crate::domain::zone::Zone;

pub const NAME_CHARS_MAX: usize = 64;
pub const PATTERNS_MAX: usize = 64;
pub const PATTERN_CHARS_MAX: usize = 128;
/// per owner
pub const BUDGETS_MAX: usize = 16;
const EXPIRY_DAYS_MAX: u64 = 3_650;

/// What people call an organization, a team or a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    pub fn parse(text: &str) -> Result<Name, ApiError> {
        let says = if text.is_empty() || text.chars().count() > NAME_CHARS_MAX {
            format!("must have 1 to {NAME_CHARS_MAX} characters")
        } else if !printable(text) || text.trim() != text {
            "must be printable, without white space at its ends".to_owned()
        } else if looks_like_an_id(text) {
            "looks like an id; choose a name that cannot be taken for one".to_owned()
        } else {
            return Ok(Name(text.to_owned()));
        };
        Err(ApiError::invalid(says).with_param("name"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }

    pub(super) fn take(fields: &mut Fields) -> Result<Name, ApiError> {
        let text: String = fields.require("name", "a text")?;
        fields.placed("name", Name::parse(&text))
    }
}

/// The models that may be called; none means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Models(Vec<Pattern>);

impl Models {
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Models, ApiError> {
        let patterns: Vec<Pattern> = texts
            .into_iter()
            .take(PATTERNS_MAX + 1)
            .map(|text| pattern(text.as_ref()))
            .collect::<Result<_, _>>()?;
        if patterns.len() > PATTERNS_MAX {
            return Err(ApiError::invalid(format!(
                "may name at most {PATTERNS_MAX} models; use patterns like `gpt-5*`"
            )));
        }
        Ok(Models(patterns))
    }

    pub fn into_patterns(self) -> Vec<Pattern> {
        self.0
    }

    /// Puts these in the place of others; says what changed, for an audit event.
    pub(super) fn replace(self, models: &mut Vec<Pattern>) -> Value {
        let before = std::mem::replace(models, self.0);
        json!({ "from": models_audited(&before), "to": models_audited(models) })
    }

    pub(super) fn take(fields: &mut Fields) -> Result<Option<Models>, ApiError> {
        let texts: Option<Vec<String>> =
            fields.take("models", "a list of model names or patterns")?;
        texts
            .map(|texts| fields.placed("models", Models::parse(texts)))
            .transpose()
    }
}

/// The form that audit events keep.
pub(super) fn models_audited(models: &[Pattern]) -> Value {
    models.iter().map(Pattern::as_str).collect()
}

/// The models that a budget or a limit counts; none means all.
pub(super) fn take_pattern(fields: &mut Fields) -> Result<Option<Pattern>, ApiError> {
    let text: Option<String> = fields.take("model", "a model's name or pattern")?;
    text.map(|text| fields.placed("model", pattern(&text)))
        .transpose()
}

fn pattern(text: &str) -> Result<Pattern, ApiError> {
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

/// One budget as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetTerms {
    pub limit: Money,
    pub period: Period,
    pub action: Action,
    pub model: Option<Pattern>,
}

impl BudgetTerms {
    fn take(mut fields: Fields) -> Result<BudgetTerms, ApiError> {
        let limit = fields
            .take_money("limit")?
            .ok_or_else(|| fields.fault("limit", "is missing; write dollars like \"10.50\""))?;
        let terms = BudgetTerms {
            limit,
            period: take_period(&mut fields, "period")?,
            action: take_action(&mut fields, "action")?,
            model: take_pattern(&mut fields)?,
        };
        fields.finish()?;
        Ok(terms)
    }
}

/// All budgets of one owner, no two of the same period, action and model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budgets(Vec<BudgetTerms>);

impl Budgets {
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
            Some(place) => Err(ApiError::invalid(
                "repeats the period, action and model of another entry",
            )
            .with_param(format!("budgets[{place}]"))),
            None => Ok(Budgets(terms)),
        }
    }

    pub fn terms(&self) -> &[BudgetTerms] {
        &self.0
    }

    /// Takes `budgets`, or the flat shorthand for a list of one.
    pub(super) fn take(fields: &mut Fields) -> Result<Option<Budgets>, ApiError> {
        let list = fields.take_objects("budgets")?;
        match (list, Budgets::take_shorthand(fields)?) {
            (Some(_), Some(_)) => Err(fields.fault(
                "budget_limit",
                "is shorthand for `budgets`; give one of the two",
            )),
            (Some(list), None) => {
                let terms = list
                    .into_iter()
                    .take(BUDGETS_MAX + 1)
                    .map(BudgetTerms::take)
                    .collect::<Result<_, _>>()?;
                fields.placed("budgets", Budgets::new(terms)).map(Some)
            }
            (None, shorthand) => Ok(shorthand.map(|terms| Budgets(vec![terms]))),
        }
    }

    fn take_shorthand(fields: &mut Fields) -> Result<Option<BudgetTerms>, ApiError> {
        let limit = fields.take_money("budget_limit")?;
        let period: Option<String> = fields.take("budget_period", PERIODS)?;
        let action: Option<String> = fields.take("budget_action", ACTIONS)?;
        match limit {
            None if period.is_some() || action.is_some() => Err(fields.fault(
                "budget_limit",
                "is missing beside the other `budget_` members",
            )),
            None => Ok(None),
            Some(limit) => Ok(Some(BudgetTerms {
                limit,
                period: read_period(fields, "budget_period", period)?,
                action: read_action(fields, "budget_action", action)?,
                model: None,
            })),
        }
    }
}

const PERIODS: &str = "daily, weekly, monthly or total";
const ACTIONS: &str = "block or warn";

fn take_period(fields: &mut Fields, name: &'static str) -> Result<Period, ApiError> {
    let word = fields.take(name, PERIODS)?;
    read_period(fields, name, word)
}

fn take_action(fields: &mut Fields, name: &'static str) -> Result<Action, ApiError> {
    let word = fields.take(name, ACTIONS)?;
    read_action(fields, name, word)
}

/// Nothing said is `total`, as on the command line.
fn read_period(fields: &Fields, name: &str, word: Option<String>) -> Result<Period, ApiError> {
    word.map_or(Ok(Period::Total), |word| {
        Period::parse(&word).ok_or_else(|| fields.fault(name, format!("must be {PERIODS}")))
    })
}

fn read_action(fields: &Fields, name: &str, word: Option<String>) -> Result<Action, ApiError> {
    word.map_or(Ok(Action::Block), |word| {
        Action::parse(&word).ok_or_else(|| fields.fault(name, format!("must be {ACTIONS}")))
    })
}

/// Reads `7d`, `12h`, `30m` from now on, or an RFC 3339 instant to come.
pub fn expiry(text: &str, now_ms: u64) -> Result<u64, ApiError> {
    let from_now_ms = duration_ms(text).map(|duration_ms| now_ms.saturating_add(duration_ms));
    let Some(expires_ms) = from_now_ms.or_else(|| Zone::parse_rfc3339(text)) else {
        return Err(ApiError::invalid(
            "must be a time from now like `7d`, `12h`, `30m`, or an instant like `2026-12-31T00:00:00Z`",
        ));
    };
    if expires_ms <= now_ms {
        return Err(ApiError::invalid("must be in the future"));
    }
    if expires_ms - now_ms > EXPIRY_DAYS_MAX * 86_400_000 {
        return Err(ApiError::invalid(format!(
            "must be at most {EXPIRY_DAYS_MAX} days ahead; leave it out for a key that never expires"
        )));
    }
    Ok(expires_ms)
}

fn duration_ms(text: &str) -> Option<u64> {
    let (count, unit_ms) = [('d', 86_400_000), ('h', 3_600_000), ('m', 60_000u64)]
        .into_iter()
        .find_map(|(letter, unit_ms)| Some((text.strip_suffix(letter)?, unit_ms)))?;
    if !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    count.parse::<u64>().ok()?.checked_mul(unit_ms)
}

/// No control characters, and none that turn the direction of what is printed after them.
fn printable(text: &str) -> bool {
    !text.chars().any(|letter| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    })
}

fn looks_like_an_id(text: &str) -> bool {
    OrganizationId::parse(text).is_some()
        || TeamId::parse(text).is_some()
        || KeyId::parse(text).is_some()
        || AdminKeyId::parse(text).is_some()
        || BudgetId::parse(text).is_some()
        || LimitId::parse(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_795_000_000_000;

    fn budgets(body: &str) -> Result<Option<Budgets>, ApiError> {
        let mut fields = Fields::of_body(body.as_bytes())?;
        let budgets = Budgets::take(&mut fields)?;
        fields.finish()?;
        Ok(budgets)
    }

    #[test]
    fn a_name_is_short_printable_and_no_id() {
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
    fn models_are_bounded_patterns() {
        assert!(Models::parse(["gpt-5*", "openai/*"]).is_ok());
        for texts in [vec![""], vec!["a b"], vec!["a"; 65]] {
            assert!(Models::parse(&texts).is_err(), "{texts:?}");
        }
        assert!(Models::parse(["x".repeat(129)]).is_err());
    }

    #[test]
    fn budgets_are_a_list_or_the_shorthand_for_one() {
        let list = budgets(
            r#"{"budgets":[{"limit":10.5,"period":"monthly","model":"gpt-5*"},{"limit":"8","period":"monthly","action":"warn"}]}"#,
        );
        let list = list.expect("budgets").expect("there");
        assert_eq!(list.terms()[0].model, Some(Pattern::new("gpt-5*")));
        assert_eq!(
            (list.terms()[1].action, list.terms()[1].limit),
            (Action::Warn, Money::from_usd(8))
        );
        let one = budgets(r#"{"budget_limit":"10","budget_period":"daily"}"#)
            .expect("budgets")
            .expect("there");
        assert_eq!(
            (one.terms()[0].period, one.terms()[0].action),
            (Period::Daily, Action::Block)
        );
        assert_eq!(budgets("{}").expect("none"), None);
        assert_eq!(
            budgets(r#"{"budgets":[]}"#).expect("empty"),
            Some(Budgets::default())
        );
    }

    #[test]
    fn a_fault_in_a_budget_names_its_member() {
        let many = format!(r#"{{"budgets":[{}]}}"#, [r#"{"limit":1}"#; 17].join(","));
        for (body, param) in [
            (r#"{"budgets":[{"period":"daily"}]}"#, "budgets[0].limit"),
            (
                r#"{"budgets":[{"limit":1,"period":"hourly"}]}"#,
                "budgets[0].period",
            ),
            (
                r#"{"budgets":[{"limit":1},{"limit":1,"action":"shout"}]}"#,
                "budgets[1].action",
            ),
            (r#"{"budgets":[{"limit":1},{"limit":2}]}"#, "budgets[1]"),
            (
                r#"{"budgets":[{"limit":1,"model":"a b"}]}"#,
                "budgets[0].model",
            ),
            (
                r#"{"budgets":[{"limit":1,"window":"x"}]}"#,
                "budgets[0].window",
            ),
            (r#"{"budgets":[3]}"#, "budgets[0]"),
            (r#"{"budgets":{}}"#, "budgets"),
            (r#"{"budget_period":"daily"}"#, "budget_limit"),
            (r#"{"budget_limit":1,"budgets":[]}"#, "budget_limit"),
            (r#"{"budget_limit":1,"budget_action":"x"}"#, "budget_action"),
            (many.as_str(), "budgets"),
        ] {
            assert_eq!(
                budgets(body).expect_err(body).param.as_deref(),
                Some(param),
                "{body}"
            );
        }
    }

    #[test]
    fn an_expiry_is_in_the_future() {
        assert_eq!(expiry("7d", NOW_MS).expect("days"), NOW_MS + 7 * 86_400_000);
        assert_eq!(
            expiry("12h", NOW_MS).expect("hours"),
            NOW_MS + 12 * 3_600_000
        );
        assert_eq!(
            expiry("30m", NOW_MS).expect("minutes"),
            NOW_MS + 30 * 60_000
        );
        assert!(expiry("2026-12-31T00:00:00+01:00", NOW_MS).is_ok());
        for text in [
            "",
            "d",
            "7",
            "-7d",
            "+7d",
            "0m",
            "7w",
            "99999999999999999999d",
            "18446744073709551615d",
            "2020-01-01T00:00:00Z",
            "9999d",
            "2026-12-31",
        ] {
            assert!(expiry(text, NOW_MS).is_err(), "{text}");
        }
    }
}
