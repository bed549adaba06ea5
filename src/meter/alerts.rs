//! Budget alerts: determines after a settlement or refusal which alerts are due, once per window and kind. It only returns
//! them; callers store and deliver alerts outside the ledger's lock.

use crate::domain::alert::{Alert, AlertKind};
use crate::domain::event::Charge;
use crate::domain::id::BudgetId;
use crate::domain::money::Money;
use crate::meter::sent_alerts::SentAlerts;
use crate::meter::state::LedgerState;

/// Event after which a budget is checked for alerts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AlertTrigger {
    Spent,
    Refused,
}

impl LedgerState {
    /// Alerts due for these charges; marks them as sent. Past windows raise no alerts.
    pub(super) fn alerts_after_settlement(&mut self, charges: &[Charge], at_ms: u64) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for charge in charges {
            self.collect_due(*charge, AlertTrigger::Spent, at_ms, &mut alerts);
        }
        alerts
    }

    /// Alerts due for a budget that has just refused a call; marks them as sent.
    pub(super) fn alerts_after_refusal(&mut self, id: BudgetId, at_ms: u64) -> Vec<Alert> {
        let mut alerts = Vec::new();
        if let Some(charge) = self.current_charge(id) {
            self.collect_due(charge, AlertTrigger::Refused, at_ms, &mut alerts);
        }
        alerts
    }

    /// Alerts due for all budgets; marks them as sent.
    pub(super) fn alerts_due(&mut self, at_ms: u64) -> Vec<Alert> {
        let mut charges: Vec<Charge> = self
            .budgets
            .keys()
            .filter_map(|id| self.current_charge(*id))
            .collect();
        charges.sort();
        self.alerts_after_settlement(&charges, at_ms)
    }

    /// Sets the sent alerts to those that are stored.
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

    /// Marks an alert as due again.
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

    /// Alerts due for all budgets if any alert was requeued since the last call.
    pub(super) fn alerts_pending(&mut self, at_ms: u64) -> Vec<Alert> {
        if std::mem::take(&mut self.has_requeued_alerts) {
            self.alerts_due(at_ms)
        } else {
            Vec::new()
        }
    }

    fn current_charge(&self, id: BudgetId) -> Option<Charge> {
        let state = self.budgets.get(&id)?;
        Some(Charge {
            budget: id,
            window_start_ms: state.window.start_ms,
        })
    }

    fn collect_due(
        &mut self,
        charge: Charge,
        trigger: AlertTrigger,
        at_ms: u64,
        alerts: &mut Vec<Alert>,
    ) {
        let Some(state) = self
            .budgets
            .get(&charge.budget)
            .filter(|state| state.window.start_ms == charge.window_start_ms)
        else {
            return;
        };
        // a refusal may concern a budget without a balance: a limit of zero is reached without any spend
        let balance = match trigger {
            AlertTrigger::Spent => self.balances.get_mut(&charge),
            AlertTrigger::Refused => Some(self.balances.entry(charge).or_default()),
        };
        let Some(balance) = balance.filter(|balance| !balance.sent.has_all()) else {
            return;
        };
        let (limit, settled) = (state.budget.limit, balance.settled);
        let refused = trigger == AlertTrigger::Refused;
        let has_spend = refused || settled > Money::ZERO;
        let threshold = has_spend && reaches_percent(settled, limit, self.threshold_percent);
        let at_limit = has_spend && settled >= limit || refused && threshold;
        for (kind, due) in [
            (AlertKind::Threshold, threshold),
            (AlertKind::Limit, at_limit),
        ] {
            if due && !balance.sent.has(kind) {
                balance.sent.mark_sent(kind);
                let (budget, window) = (state.budget.clone(), state.window);
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

/// Returns true if `settled` is at least `percent` of `limit`; multiplies instead of dividing, so nothing is rounded.
fn reaches_percent(settled: Money, limit: Money, percent: u8) -> bool {
    settled.pico().saturating_mul(100) >= limit.pico().saturating_mul(i128::from(percent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::{Action, Budget, Owner, Period};
    use crate::domain::id::TeamId;
    use crate::domain::zone::Zone;

    const DAY_MS: u64 = 86_400_000;

    /// A daily budget of 100 pico-USD, added on day 1.
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
    fn alert_kind_is_raised_once_per_window() {
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
            let _next_window = state.budget_status(BudgetId(1), 2 * DAY_MS);
            assert_eq!(spend(&mut state, 1, 1), [], "a past window raises no alert");
            assert_eq!(spend(&mut state, 2, 300), [(Threshold, 300), (Limit, 300)]);
        }
    }

    #[test]
    fn refusal_past_threshold_raises_limit_alert_once() {
        let mut state = state(Action::Block);
        assert_eq!(
            kinds(&state.alerts_after_refusal(BudgetId(1), DAY_MS)),
            [],
            "a refused oversized call alone raises no alert"
        );
        spend(&mut state, 1, 90);
        assert_eq!(
            kinds(&state.alerts_after_refusal(BudgetId(1), DAY_MS)),
            [(Limit, 90)]
        );
        assert_eq!(kinds(&state.alerts_after_refusal(BudgetId(1), DAY_MS)), []);
    }

    #[test]
    fn refusal_under_lowered_or_zero_limit_raises_both_alerts() {
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
    fn restored_alerts_are_not_raised_again_and_others_are() {
        let mut state = state(Action::Block);
        let raised = spend(&mut state, 1, 100);
        assert_eq!(raised.len(), 2);
        state.restore_sent(&[(charge(1), Threshold), (charge(0), Limit)]);
        let due = state.alerts_due(DAY_MS + 9);
        assert_eq!(kinds(&due), [(Limit, 100)]);
        assert_eq!(state.alerts_due(DAY_MS + 9), []);
        state.requeue(&due[0]);
        assert_eq!(kinds(&state.alerts_due(DAY_MS + 9)), [(Limit, 100)]);
    }
}
