//! Facts of the instance that an operator looks up: identity, the file of the process, certificate of the listener, last backup.

use std::sync::Arc;

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::plane::Control;
use crate::control::run_facts::CertificateEnd;
use crate::domain::api_error::ApiError;
use crate::store::LastBackup;

/// Facts of the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceStatus {
    /// in hexadecimal
    pub id: String,
    pub seal_key_id: String,
    /// of the file of the process; `None` until it is hashed
    pub binary_sha256: Option<String>,
    /// `None`: the listener has no certificate
    pub certificate_end_ms: Option<u64>,
    /// of these books
    pub last_backup: Option<LastBackup>,
}

impl Control {
    /// Names the certificate of the listener; the first call counts.
    pub fn note_certificate(&self, end: Arc<CertificateEnd>) {
        let _already_named = self.run_facts.certificate_end.set(end);
    }

    /// Facts of the instance.
    pub async fn instance(
        &self,
        _grant: &Grant<may::ReadSettings>,
    ) -> Result<InstanceStatus, ApiError> {
        Ok(InstanceStatus {
            id: format!("{:032x}", u128::from_be_bytes(self.store.instance())),
            seal_key_id: self.seal_key_id.to_string(),
            binary_sha256: self.run_facts.binary_sha256.get().cloned(),
            certificate_end_ms: self.certificate_end_ms(),
            last_backup: self.last_backup().await?,
        })
    }

    /// Instant at which the certificate of the listener ends.
    pub fn certificate_end_ms(&self) -> Option<u64> {
        let end = self.run_facts.certificate_end.get();
        end.and_then(|read| read())
    }

    /// Last backup that was taken of these books.
    pub async fn last_backup(&self) -> Result<Option<LastBackup>, ApiError> {
        self.read(|store| store.last_backup()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::test_control::{NOW_MS, TestControl, grant};

    #[tokio::test]
    async fn instance_names_its_last_backup_and_the_end_of_its_certificate() {
        let instance = TestControl::open().await;
        let before = instance.control.instance(&grant(may::ReadSettings)).await;
        let before = before.expect("facts");
        assert_eq!(
            (before.last_backup, before.certificate_end_ms),
            (None, None)
        );
        let taken = instance.control.backup(&grant(may::TakeBackup), "1").await;
        drop(taken.expect("a copy"));
        instance.control.note_certificate(Arc::new(|| Some(7)));
        let after = instance.control.instance(&grant(may::ReadSettings)).await;
        let after = after.expect("facts");
        let expected = LastBackup {
            at_ms: NOW_MS,
            actor: "process".to_owned(),
        };
        assert_eq!(
            (after.last_backup, after.certificate_end_ms),
            (Some(expected), Some(7))
        );
        assert_eq!(after.id.len(), 32);
    }
}
