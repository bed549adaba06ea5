//! Requests that budgets which warn would have refused: reads and restores the counts of the balances.

use crate::domain::event::Charge;
use crate::domain::id::BudgetId;
use crate::meter::balance::WouldRefuse;
use crate::meter::state::LedgerState;

impl LedgerState {
    /// Requests of the present window that a budget which warns would have refused.
    pub(super) fn would_refuse(&self, id: BudgetId) -> WouldRefuse {
        let window = self.budgets.get(&id).map(|state| state.window.start_ms);
        let charge = window.map(|window_start_ms| Charge {
            budget: id,
            window_start_ms,
        });
        let balance = charge.and_then(|charge| self.balances.get(&charge));
        balance.map_or_else(WouldRefuse::default, |balance| balance.would_refuse)
    }

    /// Adds what was counted before the start.
    pub(super) fn restore_would_refuse(&mut self, charge: Charge, refused: WouldRefuse) {
        if !self.is_past(charge) {
            let balance = self.balances.entry(charge).or_default();
            balance.would_refuse = balance.would_refuse.plus(refused);
        }
    }
}
