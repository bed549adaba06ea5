//! Budgets of an owner: stores what is wanted, keeping the identity (and so the spend) of what stays. Never keeps a limit
//! of its own.

use serde_json::{Map, Value, json};

use crate::control::input::{BudgetTerms, Budgets};
use crate::domain::api_error::ApiError;
use crate::domain::budget::{Budget, Owner};
use crate::domain::id::BudgetId;
use crate::store::ChangeTransaction;

/// What a change of budgets did.
pub(super) struct BudgetChanges {
    pub before: Vec<Budget>,
    pub now: Vec<Budget>,
}

impl BudgetChanges {
    /// Every budget that the ledger must hear of: new, changed or gone.
    pub fn touched(&self) -> Vec<BudgetId> {
        let gone = self
            .before
            .iter()
            .map(|budget| budget.id)
            .filter(|id| self.now.iter().all(|budget| budget.id != *id));
        self.now
            .iter()
            .map(|budget| budget.id)
            .chain(gone)
            .collect()
    }

    pub fn note(&self, detail: &mut Map<String, Value>) {
        detail.insert(
            "budgets".to_owned(),
            json!({ "from": audited(&self.before), "to": audited(&self.now) }),
        );
    }
}

/// Makes the owner's budgets those that are wanted, in one transaction.
pub(super) fn rewrite(
    books: &mut ChangeTransaction<'_>,
    owner: Owner,
    wanted: &Budgets,
) -> Result<BudgetChanges, ApiError> {
    let before = books.budgets_of(owner)?;
    let kept = matched(&before, wanted.terms());
    for budget in &before {
        if !kept.contains(&Some(budget.id)) {
            books.remove_budget(budget.id)?;
        }
    }
    let mut now = Vec::with_capacity(kept.len());
    for (terms, kept) in wanted.terms().iter().zip(kept) {
        let id = match kept {
            Some(id) => id,
            None => BudgetId(books.next_id()?),
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
        books.put_budget(&budget)?;
        now.push(budget);
    }
    Ok(BudgetChanges { before, now })
}

/// Which budget lives on in each of the wanted: one of the same period, model and action, else one of the same period and
/// model. Those two say what is counted and since when; limit and action may change under a running window.
fn matched(before: &[Budget], wanted: &[BudgetTerms]) -> Vec<Option<BudgetId>> {
    let mut kept: Vec<Option<BudgetId>> = vec![None; wanted.len()];
    for same_action in [true, false] {
        for (place, terms) in wanted.iter().enumerate() {
            if kept[place].is_some() {
                continue;
            }
            let alike = |budget: &&Budget| {
                budget.period == terms.period
                    && budget.model == terms.model
                    && (!same_action || budget.action == terms.action)
                    && !kept.contains(&Some(budget.id))
            };
            kept[place] = before.iter().find(alike).map(|budget| budget.id);
        }
    }
    kept
}

/// The form that audit events keep.
pub(super) fn audited(budgets: &[Budget]) -> Value {
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
    fn a_budget_that_counts_the_same_keeps_its_identity() {
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
            matched(&before, &wanted),
            [Some(BudgetId(3)), Some(BudgetId(2)), None]
        );
    }

    #[test]
    fn no_identity_is_given_twice() {
        let before = [budget(1, terms(Period::Total, Action::Block, None))];
        let wanted = [
            terms(Period::Total, Action::Warn, None),
            terms(Period::Total, Action::Block, None),
        ];
        assert_eq!(matched(&before, &wanted), [None, Some(BudgetId(1))]);
    }
}
