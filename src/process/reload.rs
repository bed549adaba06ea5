//! Reload of the configuration: providers, routes and aliases of the file replace those in force. A file with an error leaves them as
//! they are, and the log and the audit log say why. Settings of other sections take effect at the next start.

use std::sync::Arc;

use crate::config::{Config, ConfigErrors};
use crate::control::{Control, Declarations, FileDeclarations};
use crate::price::Sheet;
use crate::process::route_catalogue;
use crate::store::seal::SealKey;
use crate::store::{Store, StoreError};
use crate::upstream::{Egress, TlsFileError};

/// Declarations in force, and the control plane that records a reload.
pub(super) struct ConfigReload {
    pub declarations: Arc<Declarations>,
    pub control: Control,
    pub seal_key: SealKey,
}

/// Providers and routes of the configuration and of the books.
pub(super) fn declarations(
    config: &Config,
    store: &Store,
    seal_key: &SealKey,
    sheet: Arc<Sheet>,
) -> Result<Arc<Declarations>, StoreError> {
    let declarations = Declarations::open(store, of_file(config), seal_key.clone(), sheet)?;
    route_catalogue::warn_of_names(&declarations.routes().load());
    Ok(Arc::new(declarations))
}

fn of_file(config: &Config) -> FileDeclarations {
    FileDeclarations {
        providers: config.providers.clone(),
        routing: config.routing.clone(),
    }
}

/// Settings of outgoing connections, with the files of every destination read.
pub fn egress(config: &Config) -> Result<Egress, TlsFileError> {
    let providers = config.providers.iter().map(|provider| &provider.connection);
    let receivers = [&config.alerts.webhook, &config.audit.forward];
    let receivers = receivers.into_iter().flatten();
    let receivers = receivers.map(|receiver| &receiver.connection);
    let timeout_ms = config.limits.connect_timeout_ms;
    let collector = config.otlp.iter().map(|otlp| &otlp.connection);
    let destinations = providers.chain(receivers).chain(collector);
    Egress::open(&config.egress, timeout_ms, destinations)
}

impl ConfigReload {
    pub async fn run(&self, loaded: Result<Config, ConfigErrors>) {
        let config = match loaded {
            Ok(config) => config,
            Err(errors) => return self.refuse(errors.to_string()).await,
        };
        if let Err(error) = egress(&config) {
            return self.refuse(format!("unusable certificates {error}")).await;
        }
        let written = &config.written;
        if let Err(error) = self.control.record_config(written, &self.seal_key).await {
            tracing::error!(%error, "configuration not reloaded; its audit event cannot be written");
            return;
        }
        self.declarations.replace_file(of_file(&config)).await;
        route_catalogue::warn_of_names(&self.declarations.routes().load());
        tracing::info!(
            providers = config.providers.len(),
            routes = config.routing.routes.len(),
            "providers, routes and aliases reloaded"
        );
        for setting in self.control.note_settings(written) {
            tracing::warn!(%setting, "setting takes effect at the next start");
        }
    }

    async fn refuse(&self, reason: String) {
        tracing::error!(%reason, "configuration refused; the old one stays in force");
        if let Err(error) = self.control.record_refused_config(reason).await {
            tracing::error!(%error, "failed to audit the refused configuration");
        }
    }
}
