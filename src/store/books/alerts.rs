//! Alerts sent by budgets, and notices on their way to the webhook: one row per window and kind, written with its audit event, holds the message until it is delivered. So no
//! alert is sent twice, and none is lost.

use redb::{ReadableDatabase, ReadableTable};

use crate::domain::alert::{Alert, AlertKind};
use crate::domain::event::Charge;
use crate::domain::id::BudgetId;
use crate::store::books::store::Store;
use crate::store::books::tables::{ALERTS, BUDGETS};
use crate::store::books::tenants::ChangeTransaction;
use crate::store::error::StoreError;

/// Message that is not delivered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndeliveredAlert {
    key: (u64, u64, u8),
    pub message: String,
}

impl UndeliveredAlert {
    /// The budget of an alert; `None` for a notice.
    pub fn budget(&self) -> Option<BudgetId> {
        (self.key.2 != NOTICE).then_some(BudgetId(self.key.0))
    }
}

/// Kind of a notice that concerns no budget: its key is 0, the time or a later number, and this.
const NOTICE: u8 = 2;

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
        reason: format!("unknown kind {number}"),
    })
}

/// Alerts sent, by window.
pub(in crate::store) fn sent(
    rows: &impl ReadableTable<(u64, u64, u8), &'static str>,
) -> Result<Vec<(Charge, AlertKind)>, StoreError> {
    let mut sent = Vec::new();
    for row in rows.iter()? {
        let (budget, window_start_ms, kind) = row?.0.value();
        if kind == NOTICE {
            continue;
        }
        let charge = Charge {
            budget: BudgetId(budget),
            window_start_ms,
        };
        sent.push((charge, kind_of(kind)?));
    }
    Ok(sent)
}

impl ChangeTransaction<'_> {
    /// Records an alert with the message to deliver, empty if there is no recipient; `false` if it is recorded already. Delivered rows of
    /// earlier windows are removed.
    pub fn record_alert(&mut self, alert: &Alert, message: &str) -> Result<bool, StoreError> {
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

    /// Records a message that concerns no budget.
    pub fn record_notice(&mut self, at_ms: u64, message: &str) -> Result<(), StoreError> {
        let mut rows = self.transaction.open_table(ALERTS)?;
        let mut key = (0, at_ms, NOTICE);
        while rows.get(key)?.is_some() {
            key.1 += 1;
        }
        rows.insert(key, message)?;
        Ok(())
    }

    /// Marks a message as delivered or given up; the row of a deleted budget is removed.
    pub fn mark_alert_delivered(&mut self, alert: &UndeliveredAlert) -> Result<(), StoreError> {
        let mut rows = self.transaction.open_table(ALERTS)?;
        let key = alert.key;
        if rows.remove(key)?.is_some()
            && self.transaction.open_table(BUDGETS)?.get(key.0)?.is_some()
        {
            rows.insert(key, "")?;
        }
        Ok(())
    }

    /// Removes the delivered alerts of a deleted budget.
    pub(in crate::store) fn remove_alerts(&mut self, id: BudgetId) -> Result<(), StoreError> {
        let mut rows = self.transaction.open_table(ALERTS)?;
        rows.retain_in((id.0, 0, 0)..=(id.0, u64::MAX, u8::MAX), |_, message| {
            !message.is_empty()
        })?;
        Ok(())
    }
}

impl Store {
    /// Messages to deliver, at most `limit`.
    pub fn undelivered_alerts(&self, limit: usize) -> Result<Vec<UndeliveredAlert>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let mut undelivered = Vec::new();
        for row in read.open_table(ALERTS)?.iter()? {
            let (key, message) = row?;
            let (key, message) = (key.value(), message.value());
            if !message.is_empty() {
                undelivered.push(UndeliveredAlert {
                    key,
                    message: message.to_owned(),
                });
            }
            if undelivered.len() == limit {
                break;
            }
        }
        Ok(undelivered)
    }
}
