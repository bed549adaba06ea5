//! Budgets in a body: the list `budgets`, or the shorthand `budget_limit`, `budget_period`, `budget_action` for a list of one.
//! Body members in, `Budgets` out.

use crate::control::input::{BUDGETS_MAX, BudgetTerms, Budgets};
use crate::domain::api_error::ApiError;
use crate::domain::budget::{Action, Period};
use crate::server::api::body::Fields;
use crate::server::api::tenant_fields::take_model_pattern;

const PERIODS: &str = "daily, weekly, monthly or total";
const ACTIONS: &str = "block or warn";

/// `None`: the body does not name any. Null takes all budgets away.
pub(super) fn take_budgets(fields: &mut Fields) -> Result<Option<Budgets>, ApiError> {
    let list = fields.take_objects("budgets")?;
    match (list, take_shorthand(fields)?) {
        (Some(_), Some(Some(_))) => Err(fields.invalid(
            "budget_limit",
            "is shorthand for `budgets`; give one of the two",
        )),
        (Some(list), None | Some(None)) => {
            let terms = list
                .into_iter()
                .take(BUDGETS_MAX + 1)
                .map(budget_terms)
                .collect::<Result<_, _>>()?;
            fields.within("budgets", Budgets::new(terms)).map(Some)
        }
        (None, Some(terms)) => Budgets::new(terms.into_iter().collect()).map(Some),
        (None, None) => Ok(None),
    }
}

fn budget_terms(mut fields: Fields) -> Result<BudgetTerms, ApiError> {
    let limit = fields
        .take_money("limit")?
        .ok_or_else(|| fields.invalid("limit", "is missing; write dollars like \"10.50\""))?;
    let period = fields.take("period", PERIODS)?;
    let period = parse_period(&fields, "period", period)?;
    let action = fields.take("action", ACTIONS)?;
    let action = parse_action(&fields, "action", action)?;
    let terms = BudgetTerms {
        limit,
        period,
        action,
        model: take_model_pattern(&mut fields)?,
    };
    fields.finish()?;
    Ok(terms)
}

/// `Some(None)`: `budget_limit` is null.
fn take_shorthand(fields: &mut Fields) -> Result<Option<Option<BudgetTerms>>, ApiError> {
    let limit = fields.take_nullable_money("budget_limit")?;
    let period: Option<Option<String>> = fields.take_nullable("budget_period", PERIODS)?;
    let action: Option<Option<String>> = fields.take_nullable("budget_action", ACTIONS)?;
    match limit {
        None if period.is_some() || action.is_some() => Err(fields.invalid(
            "budget_limit",
            "is missing beside the other `budget_` members",
        )),
        None => Ok(None),
        Some(None) => Ok(Some(None)),
        Some(Some(limit)) => Ok(Some(Some(BudgetTerms {
            limit,
            period: parse_period(fields, "budget_period", period.flatten())?,
            action: parse_action(fields, "budget_action", action.flatten())?,
            model: None,
        }))),
    }
}

/// Default `total`, as on the command line.
fn parse_period(fields: &Fields, name: &str, word: Option<String>) -> Result<Period, ApiError> {
    word.map_or(Ok(Period::Total), |word| {
        Period::parse(&word).ok_or_else(|| fields.invalid(name, format!("must be {PERIODS}")))
    })
}

/// Default `block`.
fn parse_action(fields: &Fields, name: &str, word: Option<String>) -> Result<Action, ApiError> {
    word.map_or(Ok(Action::Block), |word| {
        Action::parse(&word).ok_or_else(|| fields.invalid(name, format!("must be {ACTIONS}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Money;
    use crate::domain::pattern::Pattern;

    fn budgets(body: &str) -> Result<Option<Budgets>, ApiError> {
        let mut fields = Fields::of_body(body.as_bytes())?;
        let budgets = take_budgets(&mut fields)?;
        fields.finish()?;
        Ok(budgets)
    }

    #[test]
    fn budgets_are_a_list_or_its_shorthand() {
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
        for body in [
            r#"{"budgets":[]}"#,
            r#"{"budgets":null}"#,
            r#"{"budget_limit":null}"#,
            r#"{"budget_limit":null,"budget_period":null,"budget_action":null}"#,
        ] {
            assert_eq!(budgets(body).expect(body), Some(Budgets::default()));
        }
    }

    #[test]
    fn budget_error_names_its_member() {
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
            (r#"{"budget_action":null}"#, "budget_limit"),
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
}
