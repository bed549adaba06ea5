//! Watch of the listener's certificate: reads the files again when they change and on request, and records the outcome in the log
//! and the audit log.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::control::Control;
use crate::server::{Certificates, Reload};

/// Interval between two looks at the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Running watch; its owner stops it.
pub(super) struct CertificateWatch {
    certificates: Arc<Certificates>,
    control: Control,
    shutdown: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl CertificateWatch {
    pub(super) fn start(certificates: Arc<Certificates>, control: &Control) -> CertificateWatch {
        let (shutdown, mut stopped) = watch::channel(false);
        let (watched, events) = (certificates.clone(), control.clone());
        let task = tokio::spawn(async move {
            let is_stopped = |value: &bool| *value;
            while tokio::time::timeout(CHECK_INTERVAL, stopped.wait_for(is_stopped))
                .await
                .is_err()
            {
                record(&events, watched.reload_if_changed()).await;
            }
        });
        CertificateWatch {
            certificates,
            control: control.clone(),
            shutdown,
            task,
        }
    }

    pub(super) async fn reload(&self) {
        record(&self.control, self.certificates.reload()).await;
    }

    pub(super) async fn stop(self) {
        self.shutdown.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "watch of the certificate failed");
        }
    }
}

async fn record(control: &Control, reload: Reload) {
    let refused = match reload {
        Reload::Unchanged => return,
        Reload::Replaced => {
            tracing::info!("certificate replaced");
            None
        }
        Reload::Refused(error) => {
            tracing::error!(%error, "certificate refused; the old one stays in force");
            Some(error.to_string())
        }
    };
    if let Err(error) = control.record_certificate(refused).await {
        tracing::error!(%error, "failed to audit the certificate");
    }
}
