//! Amounts of one window of one budget, and for a budget that warns the requests that it would have refused if it blocked.

use crate::domain::budget::{Action, Budget};
use crate::domain::money::Money;
use crate::meter::sent_alerts::SentAlerts;

/// Amounts of one window of one budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    pub settled: Money,
    pub held: Money,
    /// number of open holds that charge it
    pub holds: u32,
    pub sent: SentAlerts,
    pub would_refuse: WouldRefuse,
}

/// Requests of a window that a budget would have refused if it blocked: those whose cost no longer fitted beside the requests before
/// them that did. What a refused request costs is not spent, so it leaves room for smaller ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WouldRefuse {
    pub requests: u64,
    pub cost: Money,
}

impl WouldRefuse {
    #[must_use]
    pub fn plus(self, other: WouldRefuse) -> WouldRefuse {
        WouldRefuse {
            requests: self.requests + other.requests,
            cost: self.cost.plus(other.cost),
        }
    }
}

impl Balance {
    pub fn hold(&mut self, ceiling: Money) {
        self.held = self.held.plus(ceiling);
        self.holds += 1;
    }

    /// Replaces a hold by the cost of its request; `budget` is `None` once it is removed.
    pub fn resolve(&mut self, ceiling: Money, cost: Money, budget: Option<&Budget>) {
        self.held = self.held.minus(ceiling);
        self.holds = self.holds.saturating_sub(1);
        let warns = budget.filter(|budget| budget.action == Action::Warn);
        if let Some(budget) = warns.filter(|_| cost > Money::ZERO) {
            let fitted = self.settled.minus(self.would_refuse.cost);
            if fitted.plus(cost) > budget.limit {
                let refused = WouldRefuse { requests: 1, cost };
                self.would_refuse = self.would_refuse.plus(refused);
            }
        }
        self.settled = self.settled.plus(cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::{Owner, Period};
    use crate::domain::id::{BudgetId, TeamId};

    fn budget(action: Action) -> Budget {
        Budget {
            id: BudgetId(1),
            owner: Owner::Team(TeamId(1)),
            limit: Money::from_pico(10),
            period: Period::Total,
            action,
            model: None,
        }
    }

    /// Requests and cost that a budget of 10 would have refused of these costs.
    fn refused(action: Action, costs: &[i128]) -> (u64, i128) {
        let mut balance = Balance::default();
        for cost in costs {
            balance.hold(Money::from_pico(100));
            let cost = Money::from_pico(*cost);
            balance.resolve(Money::from_pico(100), cost, Some(&budget(action)));
        }
        let total: i128 = costs.iter().sum();
        assert_eq!((balance.settled.pico(), balance.held.pico()), (total, 0));
        let WouldRefuse { requests, cost } = balance.would_refuse;
        (requests, cost.pico())
    }

    #[test]
    fn warn_budget_counts_requests_that_would_no_longer_have_fitted() {
        for (costs, expected) in [
            (&[4, 6][..], (0, 0)),
            (&[4, 7, 6, 0], (1, 7)),
            (&[11, 10, 1, 1], (3, 13)),
        ] {
            assert_eq!(refused(Action::Warn, costs), expected, "{costs:?}");
        }
        assert_eq!(refused(Action::Block, &[11, 11]), (0, 0));
    }
}
