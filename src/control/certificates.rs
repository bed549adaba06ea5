//! Audit of the listener's certificate: the process replaces it, the control plane records it.

use serde_json::json;

use crate::auth::role::Actor;
use crate::control::plane::Control;
use crate::domain::api_error::ApiError;

impl Control {
    /// Records that the certificate was replaced, or the reason why the old one stays in force.
    pub async fn record_certificate(&self, refused: Option<String>) -> Result<(), ApiError> {
        let (action, detail) = match refused {
            None => ("certificate.replaced", json!({})),
            Some(reason) => ("certificate.refused", json!({ "reason": reason })),
        };
        self.record(&Actor::Process, action, "listener", detail)
            .await?;
        Ok(())
    }
}
