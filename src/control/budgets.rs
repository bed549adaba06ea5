//! Budgets of an owner in the books: replaces them with the wanted ones, keeping the id (and so the spend) of each that counts
//! the same. The limits in force are the ledger's.

use serde_json::{Map, Value, json};

use crate::control::change::Change;
use crate::control::input::{BudgetTerms, Budgets};
use crate::domain::api_error::ApiError;
use crate::domain::budget::{Budget, Owner};
use crate::domain::id::BudgetId;

/// Budgets of an owner before and after a change.
pub(super) struct BudgetChanges {
    pub before: Vec<Budget>,
    pub after: Vec<Budget>,
}

impl BudgetChanges {
    pub fn add_to_audit(&self, detail: &mut Map<String, Value>) {
        detail.insert(
            "budgets".to_owned(),
            json!({ "from": to_audit(&self.before), "to": to_audit(&self.after) }),
        );
    }
}

/// Replaces the owner's budgets with the wanted ones.
pub(super) fn rewrite(
    change: &mut Change<'_, '_>,
    owner: Owner,
    wanted: &Budgets,
) -> Result<BudgetChanges, ApiError> {
    let before = change.directory.limits_of(owner).budgets;
    let kept = match_existing(&before, wanted.terms());
    for budget in &before {
        if !kept.contains(&Some(budget.id)) {
            change.books.remove_budget(budget.id)?;
        }
    }
    let mut after = Vec::with_capacity(kept.len());
    for (terms, kept) in wanted.terms().iter().zip(kept) {
        let id = match kept {
            Some(id) => id,
            None => BudgetId(change.books.next_id()?),
        };
        let BudgetTerms {
            limit,
            period,
            action,
            model,
        } = terms.clone();
        let budget = Budget {
            id,
            owner,
            limit,
            period,
            action,
            model,
        };
        change.books.put_budget(&budget)?;
        after.push(budget);
    }
    Ok(BudgetChanges { before, after })
}

/// The existing budget that each wanted one continues: same period, model and action, else same period and model. Those two
/// define what is counted and since when; limit and action may change within a window.
fn match_existing(before: &[Budget], wanted: &[BudgetTerms]) -> Vec<Option<BudgetId>> {
    let mut kept: Vec<Option<BudgetId>> = vec![None; wanted.len()];
    for same_action in [true, false] {
        for (index, terms) in wanted.iter().enumerate() {
            if kept[index].is_some() {
                continue;
            }
            let matches = |budget: &&Budget| {
                budget.period == terms.period
                    && budget.model == terms.model
                    && (!same_action || budget.action == terms.action)
                    && !kept.contains(&Some(budget.id))
            };
            kept[index] = before.iter().find(matches).map(|budget| budget.id);
        }
    }
    kept
}

/// Form in which audit events record budgets.
pub(super) fn to_audit(budgets: &[Budget]) -> Value {
    let one = |budget: &Budget| {
        json!({
            "id": budget.id.to_string(),
            "limit": budget.limit.to_string(),
            "period": budget.period.as_str(),
            "action": budget.action.as_str(),
            "model": budget.model.as_ref().map(ToString::to_string),
        })
    };
    budgets.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::{Action, Period};
    use crate::domain::id::TeamId;
    use crate::domain::money::Money;
    use crate::domain::pattern::Pattern;

    fn terms(period: Period, action: Action, model: Option<&str>) -> BudgetTerms {
        BudgetTerms {
            limit: Money::from_usd(1),
            period,
            action,
            model: model.map(Pattern::new),
        }
    }

    fn budget(id: u64, terms: BudgetTerms) -> Budget {
        let BudgetTerms {
            limit,
            period,
            action,
            model,
        } = terms;
        Budget {
            id: BudgetId(id),
            owner: Owner::Team(TeamId(1)),
            limit,
            period,
            action,
            model,
        }
    }

    #[test]
    fn budget_with_same_period_and_model_keeps_its_id() {
        let before = [
            budget(1, terms(Period::Monthly, Action::Block, None)),
            budget(2, terms(Period::Monthly, Action::Warn, None)),
            budget(3, terms(Period::Daily, Action::Block, Some("gpt-5*"))),
        ];
        let wanted = [
            terms(Period::Daily, Action::Warn, Some("gpt-5*")),
            terms(Period::Monthly, Action::Warn, None),
            terms(Period::Daily, Action::Block, None),
        ];
        assert_eq!(
            match_existing(&before, &wanted),
            [Some(BudgetId(3)), Some(BudgetId(2)), None]
        );
    }

    #[test]
    fn budget_id_is_reused_only_once() {
        let before = [budget(1, terms(Period::Total, Action::Block, None))];
        let wanted = [
            terms(Period::Total, Action::Warn, None),
            terms(Period::Total, Action::Block, None),
        ];
        assert_eq!(match_existing(&before, &wanted), [None, Some(BudgetId(1))]);
    }
}
