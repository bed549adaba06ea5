//! The one place that makes audit events: actor, address and request id of the call, action, subject and detail. A change appends its
//! event in its own transaction; an event that accompanies no change has a transaction of its own.

use std::fmt::Display;

use serde_json::Value;

use crate::auth::role::Actor;
use crate::control::call_origin::CallOrigin;
use crate::control::plane::Control;
use crate::domain::api_error::ApiError;
use crate::store::seal::SealKey;
use crate::store::{AuditEvent, ChangeTransaction, StoreError};

impl Control {
    /// The same control plane for one call: its audit events name the origin.
    #[must_use]
    pub fn for_call(&self, origin: CallOrigin) -> Control {
        Control {
            origin: origin.into(),
            ..self.clone()
        }
    }

    /// An event of this call.
    pub(in crate::control) fn event(
        &self,
        actor: impl Display,
        at_ms: u64,
        action: &'static str,
        subject: String,
        detail: Value,
    ) -> AuditEvent {
        AuditEvent {
            at_ms,
            actor: actor.to_string(),
            address: self.origin.address.clone(),
            request: self.origin.request.map(|request| request.to_string()),
            action,
            subject,
            detail,
        }
    }

    /// Opens the key that signs the log; the log announces a new one. Returns its public key in text form.
    pub async fn open_audit(&self, seal_key: &SealKey) -> Result<String, ApiError> {
        let (control, at_ms) = (self.clone(), self.now_ms());
        let announce = move |action: &'static str, detail: Value| {
            control.event(Actor::Process, at_ms, action, "audit".into(), detail)
        };
        let public = self.store.open_audit_key(seal_key, announce).await?;
        Ok(public.to_string())
    }

    /// Records an event that accompanies no change of the books, before the step that it records.
    pub async fn record(
        &self,
        actor: &Actor,
        action: &'static str,
        subject: impl Into<String>,
        detail: Value,
    ) -> Result<u64, ApiError> {
        let event = self.event(actor, self.now_ms(), action, subject.into(), detail);
        let append = move |books: &mut ChangeTransaction<'_>| books.append_audit(&event);
        Ok(self.store.write::<u64, StoreError>(append).await?)
    }
}
