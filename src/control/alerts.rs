//! What budgets have to say: written down once, in the log and with its audit event, and then sent to the webhook. No call
//! waits for it; what could not be sent at a stop or a crash is sent after the next start.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ring::hmac;
use serde_json::json;
use tokio::sync::{Notify, mpsc, watch};

use crate::auth::role::Actor;
use crate::config::{AlertConfig, Webhook};
use crate::control::{Control, beside};
use crate::domain::alert::Alert;
use crate::domain::api_error::ApiError;
use crate::domain::budget::Owner;
use crate::domain::secret::Secret;
use crate::domain::zone::Zone;
use crate::store::{AuditEvent, UndeliveredAlert};
use crate::upstream::{Client, OutgoingRequest};

/// Alerts that may wait to be written down.
const WAITING_MAX: usize = 1_024;
/// Messages that are read at once to be sent.
const READ_AT_ONCE: usize = 64;
/// How often it is looked whether an alert found no place to wait.
const LOOK: Duration = Duration::from_secs(1);
/// After what cannot be written; it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Before the second and before the third try to send a message; after it, it is given up.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
const SIGNATURE: &str = "x-gatekeeper-signature";

/// The two who see to alerts: one writes them down, one sends them.
pub struct Alerts {
    control: Control,
    arriving: mpsc::Receiver<Alert>,
    webhook: Option<Webhook>,
    client: Client,
}

impl Alerts {
    /// The way in for those who have alerts. What budgets had left unsaid when the process ended is in it already.
    pub fn open(
        control: &Control,
        config: AlertConfig,
        client: Client,
    ) -> (Alerts, mpsc::Sender<Alert>) {
        let (told, arriving) = mpsc::channel(WAITING_MAX);
        control.ledger.set_threshold(config.threshold_percent);
        for alert in control.ledger.alerts_due(control.now_ms()) {
            if let Err(untold) = told.try_send(alert) {
                control.ledger.requeue(&untold.into_inner());
            }
        }
        (
            Alerts {
                control: control.clone(),
                arriving,
                webhook: config.webhook,
                client,
            },
            told,
        )
    }

    /// Runs until it is told to end; then writes down what has arrived and leaves the rest of the sending for another day.
    pub(super) async fn run(self, mut told: watch::Receiver<bool>) {
        let written = Arc::new(Notify::new());
        // of what was not sent before the last end
        written.notify_one();
        let Alerts {
            control,
            mut arriving,
            webhook,
            client,
        } = self;
        let wanted = webhook.is_some();
        let sending = async {
            match &webhook {
                Some(webhook) => send_all(&control, &client, webhook, &written).await,
                None => std::future::pending().await,
            }
        };
        let writing = async {
            let mut look = tokio::time::interval(LOOK);
            loop {
                // what found no place to wait, and what was booked late, is asked for
                let alerts = tokio::select! {
                    arrived = arriving.recv() => match arrived {
                        Some(alert) => vec![alert],
                        None => return,
                    },
                    _ = look.tick() => control.ledger.alerts_pending(control.now_ms()),
                };
                for alert in alerts {
                    write_down(&control, &alert, wanted).await;
                    written.notify_one();
                }
            }
        };
        tokio::select! {
            biased;
            _ = told.wait_for(|ends| *ends) => {}
            () = sending => {}
            () = writing => {}
        }
        arriving.close();
        while let Ok(alert) = arriving.try_recv() {
            say(&control, &alert);
            let last = note(&control, &alert, wanted).await;
            last.unwrap_or_else(|problem| {
                tracing::error!("an alert cannot be written down before the end: {problem}")
            });
        }
    }
}

/// Tries until the books take it; nothing is told that is not written.
async fn write_down(control: &Control, alert: &Alert, wanted: bool) {
    say(control, alert);
    let mut said = false;
    while let Err(problem) = note(control, alert, wanted).await {
        if !std::mem::replace(&mut said, true) {
            tracing::error!(
                "an alert of {} cannot be written down and is tried again: {problem}",
                alert.budget.id
            );
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// In the process's log, before it is in the books: a crash between the two tells it twice rather than never.
fn say(control: &Control, alert: &Alert) {
    tracing::warn!(budget = %alert.budget.id, percent = alert.percent(), "{}: {}", alert.kind.as_str(), message(control, alert));
}

/// One alert into the books and the audit log.
async fn note(control: &Control, alert: &Alert, wanted: bool) -> Result<(), ApiError> {
    let (noted, detail) = (alert.clone(), message(control, alert));
    let written = control.store.write(move |books| {
        if !books.record_alert(&noted, if wanted { &detail } else { "" })? {
            return Ok::<(), ApiError>(());
        }
        books.append_audit(&AuditEvent {
            at_ms: noted.at_ms,
            actor: Actor::Process.to_string(),
            action: noted.kind.as_str(),
            subject: noted.budget.id.to_string(),
            detail,
        })?;
        Ok(())
    });
    written.await
}

/// The form in which the audit log keeps it and the webhook gets it.
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

/// Sends what is written down, one after the other, whenever there may be something.
async fn send_all(control: &Control, client: &Client, webhook: &Webhook, written: &Notify) {
    loop {
        written.notified().await;
        while let Some(untaken) = untaken(control).await {
            for message in untaken {
                send(client, webhook, &message).await;
                taken(control, message).await;
            }
        }
    }
}

/// What is to be sent; `None` where there is nothing.
async fn untaken(control: &Control) -> Option<Vec<UndeliveredAlert>> {
    loop {
        let store = control.store.clone();
        match blocking(move || store.undelivered_alerts(READ_AT_ONCE)).await {
            Ok(untaken) => return Some(untaken).filter(|untaken| !untaken.is_empty()),
            Err(problem) => {
                tracing::debug!("the alerts cannot be read and are looked for again: {problem}")
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Three tries; each has its deadline.
async fn send(client: &Client, webhook: &Webhook, message: &UndeliveredAlert) {
    let mut pauses = PAUSES.into_iter();
    let mut tries = 1;
    loop {
        let why = match posted(client, webhook, &message.message).await {
            Ok(()) => return,
            Err(why) => why,
        };
        let Some(pause) = pauses.next() else {
            tracing::error!(
                "the webhook did not take an alert of {} in {tries} tries: {why}",
                message.charge.budget
            );
            return;
        };
        tracing::warn!(
            "the webhook did not take an alert of {}: {why}; next try in {pause:?}",
            message.charge.budget
        );
        tokio::time::sleep(pause).await;
        tries += 1;
    }
}

async fn posted(client: &Client, webhook: &Webhook, message: &str) -> Result<(), String> {
    let signature = webhook
        .secret
        .as_ref()
        .map(|secret| signature(secret, message));
    let mut headers = vec![
        ("content-type", "application/json"),
        ("user-agent", "gatekeeper"),
    ];
    headers.extend(signature.as_deref().map(|signature| (SIGNATURE, signature)));
    let body = Bytes::copy_from_slice(message.as_bytes());
    let outgoing = OutgoingRequest {
        url: webhook.url.expose(),
        headers,
        body,
        head_timeout_ms: webhook.timeout_ms,
    };
    match client.post(outgoing, |_| false).await {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
        Ok(answer) => Err(format!("it answered {}", answer.status)),
        Err(failed) => Err(failed.to_string()),
    }
}

fn signature(secret: &Secret, message: &str) -> String {
    use std::fmt::Write;
    let digest = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()),
        message.as_bytes(),
    );
    digest
        .as_ref()
        .iter()
        .fold("sha256=".to_owned(), |mut text, byte| {
            // writing to a String cannot fail
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Taken or given up: it is not sent again.
async fn taken(control: &Control, message: UndeliveredAlert) {
    loop {
        let done = message.clone();
        match control
            .store
            .write(move |books| books.mark_alert_delivered(&done).map_err(ApiError::from))
            .await
        {
            Ok(()) => return,
            Err(problem) => {
                tracing::debug!("a sent alert cannot be noted and is tried again: {problem}")
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_hmac_of_the_body() {
        // RFC 4231, test case 2
        let signed = signature(&Secret::new("Jefe"), "what do ya want for nothing?");
        assert_eq!(
            signed,
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
