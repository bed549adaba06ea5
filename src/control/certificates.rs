//! Audit of the listener's certificate: the process replaces it, the control plane records it.

use serde_json::json;

use crate::auth::role::Actor;
use crate::control::change::{AffectedLimits, ChangeOutcome};
use crate::control::plane::Control;
use crate::domain::api_error::ApiError;

impl Control {
    /// Records that the certificate was replaced, or the reason why the old one stays in force.
    pub async fn record_certificate(&self, refused: Option<String>) -> Result<(), ApiError> {
        let (action, detail) = match refused {
            None => ("certificate.replaced", json!({})),
            Some(reason) => ("certificate.refused", json!({ "reason": reason })),
        };
        let outcome = ChangeOutcome {
            answer: (),
            subject: "listener".to_owned(),
            detail,
            affected: AffectedLimits::default(),
        };
        self.apply(&Actor::Process, action, |_, _| Ok(outcome))
            .await
    }
}
