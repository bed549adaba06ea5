//! The verdict on a log as JSON, for the command and the API.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::audit::verify::{Coverage, Verification};
use crate::domain::zone::Zone;

impl Coverage {
    pub fn as_str(&self) -> &'static str {
        match self {
            Coverage::Unchanged => "unchanged",
            Coverage::Restored { .. } => "restored",
            Coverage::Broken => "broken",
            Coverage::BeforeStart => "before_start",
        }
    }
}

impl Verification {
    pub fn to_json(&self) -> Value {
        let saved = self.saved.iter().map(|(head, coverage)| {
            json!({ "origin": head.origin, "size": head.size, "coverage": coverage.as_str() })
        });
        let restores = self.restores.iter().map(|restore| {
            let at = Zone::utc().rfc3339(restore.at_ms);
            json!({ "event": restore.event, "generation": restore.generation, "at": at })
        });
        let findings = self.findings.iter().map(|finding| {
            json!({ "kind": finding.kind.as_str(), "first": finding.first, "last": finding.last, "says": finding.says })
        });
        json!({
            "verified": self.is_intact(),
            "first": self.first,
            "last": self.size,
            "root": STANDARD.encode(self.root),
            "checkpoints": self.checkpoints,
            "signed": self.newest.as_ref().map(|head| head.size),
            "saved": saved.collect::<Vec<_>>(),
            "restores": restores.collect::<Vec<_>>(),
            "findings": findings.collect::<Vec<_>>(),
            "unlisted": self.unlisted,
        })
    }
}
