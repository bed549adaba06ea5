//! Budgets that are used up whatever the model: asked before the body of a call is read.

use crate::domain::id::BudgetId;
use crate::meter::state::{HoldDenial, LedgerState};

impl LedgerState {
    /// Denies if a `block` budget over all models is used up.
    pub(super) fn check_used_up(
        &mut self,
        ids: &[BudgetId],
        now_ms: u64,
    ) -> Result<(), HoldDenial> {
        for id in ids {
            let status = self.budget_status(*id, now_ms);
            let Some((status, state)) = status.zip(self.budgets.get(id)) else {
                continue;
            };
            let used_up = status.blocks && status.settled >= status.limit;
            if used_up && state.budget.model.is_none() {
                return Err(HoldDenial::Exceeded {
                    budget: Box::new(state.budget.clone()),
                    status,
                    alerts: Vec::new(),
                });
            }
        }
        Ok(())
    }
}
