//! When a budget has something to say: after a settlement or a refusal, once for each window and kind. It only
//! tells; who writes it down and sends it on does so outside the lock.

use crate::domain::alert::{Alert, AlertKind};
use crate::domain::event::Charge;
use crate::domain::id::BudgetId;
use crate::domain::money::Money;
use crate::meter::state::LedgerState;

pub const THRESHOLD_PERCENT: u8 = 85;

/// What has been told of a window: one bit for each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SentAlerts(u8);

impl SentAlerts {
    fn bit(kind: AlertKind) -> u8 {
        match kind {
            AlertKind::Threshold => 1,
            AlertKind::Limit => 2,
        }
    }

    fn has(self, kind: AlertKind) -> bool {
        self.0 & SentAlerts::bit(kind) != 0
    }

    fn has_all(self) -> bool {
        AlertKind::ALL.into_iter().all(|kind| self.has(kind))
    }

    pub(super) fn mark_sent(&mut self, kind: AlertKind) {
        self.0 |= SentAlerts::bit(kind);
    }

    fn requeue(&mut self, kind: AlertKind) {
        self.0 &= !SentAlerts::bit(kind);
    }
}

/// Why a budget is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AlertTrigger {
    Spent,
    Refused,
}

impl LedgerState {
    /// What is due of these charges, and from now on told. Windows that are over have nothing to say.
    pub(super) fn alerts_after_settlement(&mut self, charges: &[Charge], at_ms: u64) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for charge in charges {
            self.collect_due(*charge, AlertTrigger::Spent, at_ms, &mut alerts);
        }
        alerts
    }

    /// The same for a budget that has just refused a call.
    pub(super) fn alerts_after_refusal(&mut self, id: BudgetId, at_ms: u64) -> Vec<Alert> {
        let mut alerts = Vec::new();
        if let Some(charge) = self.charge_now(id) {
            self.collect_due(charge, AlertTrigger::Refused, at_ms, &mut alerts);
        }
        alerts
    }

    /// What every budget has left unsaid.
    pub(super) fn alerts_due(&mut self, at_ms: u64) -> Vec<Alert> {
        let mut charges: Vec<Charge> = self
            .budgets
            .keys()
            .filter_map(|id| self.charge_now(*id))
            .collect();
        charges.sort();
        self.alerts_after_settlement(&charges, at_ms)
    }

    /// Makes what is told that which was written down.
    pub(super) fn restore_sent(&mut self, sent: &[(Charge, AlertKind)]) {
        self.balances
            .values_mut()
            .for_each(|balance| balance.sent = SentAlerts::default());
        for (charge, kind) in sent {
            if !self.is_past(*charge) {
                self.balances
                    .entry(*charge)
                    .or_default()
                    .sent
                    .mark_sent(*kind);
            }
        }
    }

    /// An alert that could not be handed on is due again.
    pub(super) fn requeue(&mut self, alert: &Alert) {
        let charge = Charge {
            budget: alert.budget.id,
            window_start_ms: alert.window.start_ms,
        };
        if let Some(balance) = self.balances.get_mut(&charge) {
            balance.sent.requeue(alert.kind);
            self.has_requeued_alerts = true;
        }
    }

    /// What every budget has left unsaid, where something was taken back since this was asked last.
    pub(super) fn alerts_pending(&mut self, at_ms: u64) -> Vec<Alert> {
        if std::mem::take(&mut self.has_requeued_alerts) {
            self.alerts_due(at_ms)
        } else {
            Vec::new()
        }
    }

    fn charge_now(&self, id: BudgetId) -> Option<Charge> {
        let watched = self.budgets.get(&id)?;
        Some(Charge {
            budget: id,
            window_start_ms: watched.window.start_ms,
        })
    }

    fn collect_due(
        &mut self,
        charge: Charge,
        trigger: AlertTrigger,
        at_ms: u64,
        alerts: &mut Vec<Alert>,
    ) {
        let Some(watched) = self
            .budgets
            .get(&charge.budget)
            .filter(|watched| watched.window.start_ms == charge.window_start_ms)
        else {
            return;
        };
        // only what was spent makes a balance; a budget of nothing is at its limit without one
        let balance = match trigger {
            AlertTrigger::Spent => self.balances.get_mut(&charge),
            AlertTrigger::Refused => Some(self.balances.entry(charge).or_default()),
        };
        let Some(balance) = balance.filter(|balance| !balance.sent.has_all()) else {
            return;
        };
        let (limit, settled) = (watched.budget.limit, balance.settled);
        let refused = trigger == AlertTrigger::Refused;
        let some_spent = refused || settled > Money::ZERO;
        let threshold = some_spent && passed(settled, limit, self.threshold_percent);
        let at_limit = some_spent && settled >= limit || refused && threshold;
        for (kind, due) in [
            (AlertKind::Threshold, threshold),
            (AlertKind::Limit, at_limit),
        ] {
            if due && !balance.sent.has(kind) {
                balance.sent.mark_sent(kind);
                let (budget, window) = (watched.budget.clone(), watched.window);
                alerts.push(Alert {
                    kind,
                    budget,
                    window,
                    settled,
                    at_ms,
                    threshold_percent: self.threshold_percent,
                });
            }
        }
    }
}

/// Compared crosswise, so that nothing is rounded.
fn passed(settled: Money, limit: Money, percent: u8) -> bool {
    settled.pico().saturating_mul(100) >= limit.pico().saturating_mul(i128::from(percent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::{Action, Budget, Owner, Period};
    use crate::domain::id::TeamId;
    use crate::domain::zone::Zone;

    const DAY_MS: u64 = 86_400_000;

    /// A daily budget of 100, watched from the first day on.
    fn state(action: Action) -> LedgerState {
        let mut state = LedgerState::new(Zone::utc());
        state.set_budget(budget(100, action), DAY_MS);
        state
    }

    fn budget(limit: i128, action: Action) -> Budget {
        let (id, owner, limit) = (BudgetId(1), Owner::Team(TeamId(1)), Money::from_pico(limit));
        Budget {
            id,
            owner,
            limit,
            period: Period::Daily,
            action,
            model: None,
        }
    }

    fn charge(day: u64) -> Charge {
        Charge {
            budget: BudgetId(1),
            window_start_ms: day * DAY_MS,
        }
    }

    fn spend(state: &mut LedgerState, day: u64, cost: i128) -> Vec<(AlertKind, u64)> {
        state.restore_balance(
            charge(day),
            state
                .balances
                .get(&charge(day))
                .map_or(Money::ZERO, |b| b.settled)
                .plus(Money::from_pico(cost)),
        );
        kinds(&state.alerts_after_settlement(&[charge(day)], day * DAY_MS + 5))
    }

    fn kinds(alerts: &[Alert]) -> Vec<(AlertKind, u64)> {
        alerts
            .iter()
            .map(|alert| (alert.kind, alert.percent()))
            .collect()
    }

    use AlertKind::{Limit, Threshold};

    #[test]
    fn each_kind_is_told_once_in_a_window() {
        for action in [Action::Block, Action::Warn] {
            let mut state = state(action);
            for (cost, expected) in [
                (0, vec![]),
                (84, vec![]),
                (1, vec![(Threshold, 85)]),
                (14, vec![]),
                (1, vec![(Limit, 100)]),
                (50, vec![]),
            ] {
                assert_eq!(spend(&mut state, 1, cost), expected, "{cost} more");
            }
            let _turned = state.budget_status(BudgetId(1), 2 * DAY_MS);
            assert_eq!(
                spend(&mut state, 1, 1),
                [],
                "a window that is over has nothing to say"
            );
            assert_eq!(spend(&mut state, 2, 300), [(Threshold, 300), (Limit, 300)]);
        }
    }

    #[test]
    fn a_refusal_tells_the_limit_once_the_threshold_is_passed() {
        let mut state = state(Action::Block);
        assert_eq!(
            kinds(&state.alerts_after_refusal(BudgetId(1), DAY_MS)),
            [],
            "one that is too large says nothing of the budget"
        );
        spend(&mut state, 1, 90);
        assert_eq!(
            kinds(&state.alerts_after_refusal(BudgetId(1), DAY_MS)),
            [(Limit, 90)]
        );
        assert_eq!(kinds(&state.alerts_after_refusal(BudgetId(1), DAY_MS)), []);
    }

    #[test]
    fn a_limit_below_what_is_spent_is_told_with_the_next_refusal_and_a_budget_of_nothing_with_its_first()
     {
        let mut state = state(Action::Block);
        spend(&mut state, 1, 20);
        state.set_budget(budget(10, Action::Block), DAY_MS);
        assert_eq!(
            kinds(&state.alerts_after_refusal(BudgetId(1), DAY_MS)),
            [(Threshold, 200), (Limit, 200)]
        );
        let mut state = self::state(Action::Block);
        state.set_budget(budget(0, Action::Block), DAY_MS);
        assert_eq!(spend(&mut state, 1, 0), []);
        assert_eq!(
            kinds(&state.alerts_after_refusal(BudgetId(1), DAY_MS)),
            [(Threshold, 100), (Limit, 100)]
        );
    }

    #[test]
    fn what_was_written_down_is_not_told_again_and_what_was_not_is() {
        let mut state = state(Action::Block);
        let told = spend(&mut state, 1, 100);
        assert_eq!(told.len(), 2);
        state.restore_sent(&[(charge(1), Threshold), (charge(0), Limit)]);
        let due = state.alerts_due(DAY_MS + 9);
        assert_eq!(kinds(&due), [(Limit, 100)]);
        assert_eq!(state.alerts_due(DAY_MS + 9), []);
        state.requeue(&due[0]);
        assert_eq!(kinds(&state.alerts_due(DAY_MS + 9)), [(Limit, 100)]);
    }
}
