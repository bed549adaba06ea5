//! Which alerts of budgets were told: a row for each window and kind, written with its audit event, that keeps the message
//! until somebody has taken it. So none is told twice, and none is lost that was told.

use redb::{ReadableDatabase, ReadableTable};

use crate::domain::alert::{Alert, AlertKind};
use crate::domain::event::Charge;
use crate::domain::id::BudgetId;
use crate::store::books::tables::{ALERTS, BUDGETS};
use crate::store::{ChangeTransaction, Store, StoreError};

/// A message that nobody has taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndeliveredAlert {
    pub charge: Charge,
    pub kind: AlertKind,
    pub message: String,
}

fn number(kind: AlertKind) -> u8 {
    AlertKind::ALL
        .iter()
        .position(|known| *known == kind)
        .unwrap_or_default() as u8
}

fn kind_of(number: u8) -> Result<AlertKind, StoreError> {
    let kind = AlertKind::ALL.get(usize::from(number)).copied();
    kind.ok_or_else(|| StoreError::Record {
        kind: "alert",
        reason: format!("kind {number} is not known"),
    })
}

/// What was told of which window.
pub(crate) fn told(
    rows: &impl ReadableTable<(u64, u64, u8), &'static str>,
) -> Result<Vec<(Charge, AlertKind)>, StoreError> {
    rows.iter()?
        .map(|row| {
            let (budget, window_start_ms, kind) = row?.0.value();
            Ok((
                Charge {
                    budget: BudgetId(budget),
                    window_start_ms,
                },
                kind_of(kind)?,
            ))
        })
        .collect()
}

impl ChangeTransaction<'_> {
    /// Notes an alert with the message that is to be delivered, none where nobody wants it. `false` if it is noted already.
    /// Rows of windows that are over go, once their message is taken.
    pub fn note_alert(&mut self, alert: &Alert, message: &str) -> Result<bool, StoreError> {
        let mut rows = self.transaction.open_table(ALERTS)?;
        let (budget, start_ms) = (alert.budget.id.0, alert.window.start_ms);
        let key = (budget, start_ms, number(alert.kind));
        if rows.get(key)?.is_some() {
            return Ok(false);
        }
        rows.retain_in((budget, 0, 0)..(budget, start_ms, 0), |_, message| {
            !message.is_empty()
        })?;
        rows.insert(key, message)?;
        Ok(true)
    }

    /// The message was taken, or given up; of a budget that is no more nothing is left.
    pub fn alert_taken(&mut self, untaken: &UndeliveredAlert) -> Result<(), StoreError> {
        let mut rows = self.transaction.open_table(ALERTS)?;
        let key = (
            untaken.charge.budget.0,
            untaken.charge.window_start_ms,
            number(untaken.kind),
        );
        if rows.remove(key)?.is_some()
            && self.transaction.open_table(BUDGETS)?.get(key.0)?.is_some()
        {
            rows.insert(key, "")?;
        }
        Ok(())
    }

    /// With a budget goes what it told.
    pub(crate) fn forget_alerts(&mut self, id: BudgetId) -> Result<(), StoreError> {
        let mut rows = self.transaction.open_table(ALERTS)?;
        rows.retain_in((id.0, 0, 0)..=(id.0, u64::MAX, u8::MAX), |_, message| {
            !message.is_empty()
        })?;
        Ok(())
    }
}

impl Store {
    /// Messages that nobody has taken, so many at most.
    pub fn untaken_alerts(&self, limit: usize) -> Result<Vec<UndeliveredAlert>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let mut untaken = Vec::new();
        for row in read.open_table(ALERTS)?.iter()? {
            let (key, message) = row?;
            let ((budget, window_start_ms, kind), message) = (key.value(), message.value());
            if !message.is_empty() {
                let charge = Charge {
                    budget: BudgetId(budget),
                    window_start_ms,
                };
                untaken.push(UndeliveredAlert {
                    charge,
                    kind: kind_of(kind)?,
                    message: message.to_owned(),
                });
            }
            if untaken.len() == limit {
                break;
            }
        }
        Ok(untaken)
    }
}
