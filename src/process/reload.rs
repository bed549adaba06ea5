//! Reload of the configuration: providers, routes and aliases of the file replace those in force. A file with an error leaves them as
//! they are, and the log and the audit log say why. Settings of other sections take effect at the next start.

use std::sync::Arc;

use crate::config::{Config, ConfigErrors, WrittenConfig};
use crate::control::Control;
use crate::price::Sheet;
use crate::process::route_catalogue;
use crate::route::{RouteCell, RouteTable};
use crate::store::seal::SealKey;
use crate::upstream::{Egress, TlsFileError};

/// Sections that a reload puts in force.
const RELOADED: [&str; 3] = ["providers.", "routes.", "aliases."];

/// Routes in force, and the settings of the start.
pub(super) struct ConfigReload {
    pub routes: Arc<RouteCell>,
    pub control: Control,
    pub seal_key: SealKey,
    /// the file as it was at the start
    pub started: WrittenConfig,
}

/// Table of the providers and routes of a configuration.
pub(super) fn route_table(config: &Config) -> RouteTable {
    let routes = RouteTable::new(&config.providers, Arc::new(Sheet::embedded()));
    let routes = routes.with_routing(&config.routing);
    route_catalogue::warn_of_unreachable(&routes);
    routes
}

/// Outgoing connections to the providers and the webhook.
pub(super) fn egress(config: &Config) -> Result<Egress, TlsFileError> {
    let providers = config.providers.iter().map(|provider| &provider.connection);
    let webhook = config
        .alerts
        .webhook
        .iter()
        .map(|webhook| &webhook.connection);
    let timeout_ms = config.limits.connect_timeout_ms;
    Egress::open(&config.egress, timeout_ms, providers.chain(webhook))
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
        self.routes.replace(route_table(&config));
        tracing::info!(
            providers = config.providers.len(),
            routes = config.routing.routes.len(),
            "providers, routes and aliases reloaded"
        );
        for setting in self.pending(written) {
            tracing::warn!(%setting, "setting takes effect at the next start");
        }
    }

    async fn refuse(&self, reason: String) {
        tracing::error!(%reason, "configuration refused; the old one stays in force");
        if let Err(error) = self.control.record_refused_config(reason).await {
            tracing::error!(%error, "failed to audit the refused configuration");
        }
    }

    /// Changed settings that a reload does not put in force.
    fn pending(&self, written: &WrittenConfig) -> Vec<String> {
        let (before, now) = (&self.started.settings, &written.settings);
        let is_reloaded = |name: &str| RELOADED.iter().any(|section| name.starts_with(section));
        let mut names: Vec<String> = before
            .keys()
            .chain(now.keys())
            .filter(|name| before.get(*name) != now.get(*name) && !is_reloaded(name))
            .cloned()
            .collect();
        names.sort();
        names.dedup();
        names
    }
}
