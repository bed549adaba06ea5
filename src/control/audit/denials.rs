//! Background task that records denied uses: as events, within the bounds of `auth::denials`, and one event for the counted rest of a
//! minute. What cannot be stored waits, within the same bounds.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use crate::auth::denials::{Denial, UnlistedDenials};
use crate::auth::role::Actor;
use crate::control::plane::Control;
use crate::store::{AuditEvent, ChangeTransaction, StoreError};

const INTERVAL: Duration = Duration::from_secs(1);

impl Control {
    /// Notes a denied attempt of this call; nothing waits for its event.
    pub(in crate::control) fn note_denial(
        &self,
        action: &'static str,
        subject: Option<String>,
        address: Option<IpAddr>,
        reason: &'static str,
    ) {
        let denial = Denial {
            at_ms: self.now_ms(),
            action,
            subject,
            address,
            request: self.origin.request,
            reason,
        };
        self.denials.note(denial, self.time.boot_ms());
    }
}

/// Records until shutdown, and once more then.
pub(in crate::control) async fn run(control: Control, mut shutdown: watch::Receiver<bool>) {
    loop {
        record(&control, false).await;
        tokio::select! {
            _ = shutdown.wait_for(|is_shutdown| *is_shutdown) => break,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
    record(&control, true).await;
}

async fn record(control: &Control, is_last: bool) {
    let (denials, unlisted) = control.denials.take(control.time.boot_ms(), is_last);
    if denials.is_empty() && unlisted.is_none() {
        return;
    }
    let listed = denials.iter().map(|denial| listed_event(control, denial));
    let counted = unlisted
        .iter()
        .map(|unlisted| counted_event(control, *unlisted));
    let events: Vec<AuditEvent> = listed.chain(counted).collect();
    let append = move |books: &mut ChangeTransaction<'_>| {
        events
            .iter()
            .try_for_each(|event| books.append_audit(event).map(drop))
    };
    if let Err(error) = control.store.write::<(), StoreError>(append).await {
        tracing::debug!(%error, "failed to record denied uses; retrying");
        control.denials.put_back(denials, unlisted);
    }
}

fn listed_event(control: &Control, denial: &Denial) -> AuditEvent {
    let address = denial.address.map(|address| address.to_string());
    let subject = denial.subject.clone().or_else(|| address.clone());
    // a failed sign-in shows nothing about who tried
    let known = denial
        .subject
        .clone()
        .filter(|_| !denial.action.starts_with("sign_in."));
    let actor = known.unwrap_or_else(|| "unknown".to_owned());
    let event = control.event(
        actor,
        denial.at_ms,
        denial.action,
        subject.unwrap_or_default(),
        json!({ "reason": denial.reason }),
    );
    AuditEvent {
        address,
        request: denial.request.map(|request| request.to_string()),
        ..event
    }
}

fn counted_event(control: &Control, unlisted: UnlistedDenials) -> AuditEvent {
    let detail = json!({ "count": unlisted.count });
    let (actor, action) = (Actor::Process, "use.denied_unlisted");
    control.event(actor, unlisted.at_ms, action, "instance".into(), detail)
}
