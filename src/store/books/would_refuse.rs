//! Requests that budgets which warn would have refused, by budget and window. The table is absent before the first.

use redb::{ReadableDatabase, ReadableTable, TableError};

use crate::domain::event::Charge;
use crate::domain::id::BudgetId;
use crate::domain::money::Money;
use crate::store::books::store::Store;
use crate::store::books::tables::WOULD_REFUSE;
use crate::store::books::tenants::ChangeTransaction;
use crate::store::error::StoreError;

impl Store {
    /// Requests and their cost, of the newest window of each budget.
    pub fn would_refuse(&self) -> Result<Vec<(Charge, u64, Money)>, StoreError> {
        let table = match self.database.open()?.begin_read()?.open_table(WOULD_REFUSE) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut rows = Vec::new();
        for row in table.iter()? {
            let (key, value) = row?;
            let ((budget, window_start_ms), (requests, pico)) = (key.value(), value.value());
            let charge = Charge {
                budget: BudgetId(budget),
                window_start_ms,
            };
            rows.push((charge, requests, Money::from_pico(pico)));
        }
        Ok(rows)
    }
}

impl ChangeTransaction<'_> {
    /// Stores the counts of a window and deletes those of earlier windows of the budget.
    pub fn put_would_refuse(
        &mut self,
        charge: Charge,
        requests: u64,
        cost: Money,
    ) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(WOULD_REFUSE)?;
        let key = (charge.budget.0, charge.window_start_ms);
        table.retain_in((key.0, 0)..key, |_, _| false)?;
        table.insert(key, (requests, cost.pico()))?;
        Ok(())
    }
}
