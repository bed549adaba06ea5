//! Alerts, of budgets and of bills above their ceilings: each is logged, stored once with its audit event, and then sent to the webhook. No call waits for it; alerts
//! that were not sent before a shutdown or crash are sent after the next start.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Notify, mpsc, watch};

use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::config::{AlertConfig, Webhook};
use crate::control::ceilings;
use crate::control::deployment_alerts;
use crate::control::plane::{Control, blocking};
use crate::control::webhook;
use crate::domain::alert::Alert;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::zone::Zone;
use crate::route::HealthChange;
use crate::store::UndeliveredAlert;
use crate::upstream::Client;

const JSON: &str = "application/json";
/// Alerts that may wait to be stored.
const QUEUE_MAX: usize = 1_024;
/// Messages read at once for sending.
const BATCH: usize = 64;
/// Interval at which alerts that found the queue full are collected.
const COLLECT_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after a failed read or write of the books.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Pauses before the second and the third attempt to send a message; then it is given up.
const ATTEMPT_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// Background task that stores alerts and sends them to the webhook.
pub struct Alerts {
    control: Control,
    queue: mpsc::Receiver<Alert>,
    deployments: mpsc::Receiver<HealthChange>,
    webhook: Option<Webhook>,
    client: Client,
}

/// Ends at which new alerts are handed over.
pub struct AlertSenders {
    pub budgets: mpsc::Sender<Alert>,
    pub deployments: mpsc::Sender<HealthChange>,
}

impl Alerts {
    /// Returns the task and the senders for new alerts. Alerts that were due when the process last ended are queued already.
    pub fn open(control: &Control, config: AlertConfig, client: Client) -> (Alerts, AlertSenders) {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let (deployments_sender, deployments) = mpsc::channel(deployment_alerts::QUEUE_MAX);
        control.ledger.set_threshold(config.threshold_percent);
        for alert in control.ledger.alerts_due(control.now_ms()) {
            if let Err(unsent) = sender.try_send(alert) {
                control.ledger.requeue(&unsent.into_inner());
            }
        }
        (
            Alerts {
                control: control.clone(),
                queue,
                deployments,
                webhook: config.webhook,
                client,
            },
            AlertSenders {
                budgets: sender,
                deployments: deployments_sender,
            },
        )
    }

    /// Runs until shutdown, then stores the queued alerts; unsent ones are sent after the next start.
    pub(super) async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let stored = Arc::new(Notify::new());
        // alerts of an earlier run may still be unsent
        stored.notify_one();
        let Alerts {
            control,
            mut queue,
            mut deployments,
            webhook,
            client,
        } = self;
        let is_delivered = webhook.is_some();
        let sending = async {
            match &webhook {
                Some(webhook) => send_all(&control, &client, webhook, &stored).await,
                None => std::future::pending().await,
            }
        };
        let storing = async {
            let mut collect = tokio::time::interval(COLLECT_INTERVAL);
            let mut ceilings = control.ceilings.changes();
            // those that the configuration no longer needs may be gone already
            ceilings.mark_changed();
            loop {
                // alerts that found the queue full or were booked late are collected from the ledger
                let alerts = tokio::select! {
                    received = queue.recv() => match received {
                        Some(alert) => vec![alert],
                        None => return,
                    },
                    _ = collect.tick() => control.ledger.alerts_pending(control.now_ms()),
                    // `control` owns the sender, so the channel cannot close
                    _ = ceilings.changed() => {
                        ceilings::store_changes(&control, is_delivered).await;
                        stored.notify_one();
                        continue;
                    }
                };
                for alert in alerts {
                    store_with_retry(&control, &alert, is_delivered).await;
                    stored.notify_one();
                }
            }
        };
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|is_shutdown| *is_shutdown) => {}
            () = sending => {}
            () = storing => {}
            () = deployment_alerts::store_all(&control, &mut deployments, is_delivered, &stored) => {}
        }
        ceilings::store_last_changes(&control, is_delivered).await;
        queue.close();
        while let Ok(alert) = queue.try_recv() {
            log_alert(&control, &alert);
            let result = store_alert(&control, &alert, is_delivered).await;
            result.unwrap_or_else(
                |error| tracing::error!(budget = %alert.budget.id, %error, "failed to store an alert before shutdown"),
            );
        }
    }
}

impl Control {
    /// Sends a test message to the webhook once; the error is the reason in words, without the address.
    pub async fn test_alert(
        &self,
        grant: &Grant<may::TestAlerts>,
        client: &Client,
    ) -> Result<Result<(), String>, ApiError> {
        let Some(webhook) = &self.webhook else {
            let message = "no webhook is configured; set `webhook` under [alerts]";
            return Err(ApiError::new(ErrorCode::Conflict, message));
        };
        let message = json!({
            "event": "alerts.test",
            "at": rfc3339(self.now_ms()),
            "actor": grant.actor().to_string(),
        });
        Ok(webhook::post(client, webhook, JSON, &message.to_string()).await)
    }
}

/// Retries until the books take the alert; an alert is never sent before it is stored.
async fn store_with_retry(control: &Control, alert: &Alert, is_delivered: bool) {
    log_alert(control, alert);
    let mut is_logged = false;
    while let Err(error) = store_alert(control, alert, is_delivered).await {
        if !std::mem::replace(&mut is_logged, true) {
            tracing::error!(budget = %alert.budget.id, %error, "failed to store an alert; retrying");
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Writes the alert to the process log, before it is stored: a crash between the two logs it twice rather than never.
fn log_alert(control: &Control, alert: &Alert) {
    tracing::warn!(
        event = alert.kind.as_str(),
        budget = %alert.budget.id,
        percent = alert.percent(),
        alert = message(control, alert),
        "budget alert"
    );
}

/// Stores the alert, once, with its audit event; for the webhook too if it `is_delivered` to one.
async fn store_alert(control: &Control, alert: &Alert, is_delivered: bool) -> Result<(), ApiError> {
    let (alert, detail) = (alert.clone(), message(control, alert));
    let plane = control.clone();
    let write = control.store.write(move |books| {
        if !books.record_alert(&alert, if is_delivered { &detail } else { "" })? {
            return Ok::<(), ApiError>(());
        }
        let (action, subject) = (alert.kind.as_str(), alert.budget.id.to_string());
        let detail = serde_json::from_str(&detail).unwrap_or_default();
        let event = plane.event(Actor::Process, alert.at_ms, action, subject, detail);
        books.append_audit(&event)?;
        Ok(())
    });
    write.await
}

/// JSON message of an alert, for the audit log and the webhook.
fn message(control: &Control, alert: &Alert) -> String {
    let (budget, window) = (&alert.budget, alert.window);
    let directory = control.directory();
    let (owner, owner_name) = match budget.owner {
        Owner::Organization(id) => (
            id.to_string(),
            directory
                .organization(id)
                .map(|organization| organization.name.clone()),
        ),
        Owner::Team(id) => (
            id.to_string(),
            directory.team(id).map(|team| team.name.clone()),
        ),
        Owner::Key(id) => (
            id.to_string(),
            directory.key(id).map(|caller| caller.key.name.clone()),
        ),
    };
    let bounded = window.end_ms != u64::MAX;
    json!({
        "event": alert.kind.as_str(),
        "id": format!("{}.{}.{}", budget.id, window.start_ms, alert.kind.as_str()),
        "at": rfc3339(alert.at_ms),
        "budget": budget.id.to_string(),
        "owner": owner,
        "owner_name": owner_name,
        "period": budget.period.as_str(),
        "action": budget.action.as_str(),
        "model": budget.model.as_ref().map(ToString::to_string),
        "window_start": bounded.then(|| rfc3339(window.start_ms)),
        "window_end": bounded.then(|| rfc3339(window.end_ms)),
        "limit_usd": budget.limit.to_string(),
        "settled_usd": alert.settled.to_string(),
        "percent": alert.percent(),
        "threshold_percent": alert.threshold_percent,
    })
    .to_string()
}

fn rfc3339(at_ms: u64) -> String {
    Zone::utc().rfc3339(at_ms)
}

/// Sends stored alerts in order, whenever one was stored.
async fn send_all(control: &Control, client: &Client, webhook: &Webhook, stored: &Notify) {
    loop {
        stored.notified().await;
        while let Some(alerts) = undelivered(control).await {
            for alert in alerts {
                send(client, webhook, &alert).await;
                mark_delivered(control, alert).await;
            }
        }
    }
}

/// Stored alerts still to be sent; `None` if there are none.
async fn undelivered(control: &Control) -> Option<Vec<UndeliveredAlert>> {
    loop {
        let store = control.store.clone();
        match blocking(move || store.undelivered_alerts(BATCH)).await {
            Ok(alerts) => return Some(alerts).filter(|alerts| !alerts.is_empty()),
            Err(error) => tracing::debug!(%error, "failed to read stored alerts; retrying"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Tries three times, each time with its own deadline.
async fn send(client: &Client, webhook: &Webhook, alert: &UndeliveredAlert) {
    let mut pauses = ATTEMPT_PAUSES.into_iter();
    let mut attempts = 1;
    loop {
        let budget = alert.budget().map(tracing::field::display);
        let Err(error) = webhook::post(client, webhook, JSON, &alert.message).await else {
            return;
        };
        let Some(pause) = pauses.next() else {
            tracing::error!(
                budget,
                attempts,
                error,
                "failed to send an alert to the webhook; giving up"
            );
            return;
        };
        let retry_ms = pause.as_millis() as u64;
        tracing::warn!(
            budget,
            error,
            retry_ms,
            "failed to send an alert to the webhook; retrying"
        );
        tokio::time::sleep(pause).await;
        attempts += 1;
    }
}

/// Marks a sent or given-up alert, so that it is not sent again.
async fn mark_delivered(control: &Control, alert: UndeliveredAlert) {
    loop {
        let delivered = alert.clone();
        let write = control.store.write(move |books| {
            books
                .mark_alert_delivered(&delivered)
                .map_err(ApiError::from)
        });
        match write.await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, "failed to mark an alert as sent; retrying"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}
