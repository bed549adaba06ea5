//! Hands alerts of budgets and deployments to the task that delivers them. Never waits: where the channel is full, the ledger raises the
//! alert of a budget again at its next occasion.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::domain::alert::Alert;
use crate::meter::Ledger;
use crate::route::HealthChange;

#[derive(Clone)]
pub(super) struct AlertOutbox {
    pub sender: mpsc::Sender<Alert>,
    pub deployments: mpsc::Sender<HealthChange>,
    pub ledger: Arc<Ledger>,
}

impl AlertOutbox {
    pub fn send(&self, alerts: Vec<Alert>) {
        for alert in alerts {
            if let Err(TrySendError::Full(alert) | TrySendError::Closed(alert)) =
                self.sender.try_send(alert)
            {
                self.ledger.requeue(&alert);
            }
        }
    }
}
