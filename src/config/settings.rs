//! Resolved settings: the types that the rest of the program reads, with their defaults. Values are validated by the
//! resolver and not checked again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache::CacheConfig;
use super::listener::ListenerConfig;
use super::routes::{PROBE_INTERVAL_MS, RoutingConfig};
use super::secret::SecretSource;
use super::timeouts::CallTimeouts;
use super::written::WrittenConfig;
use crate::domain::egress::{ConnectionConfig, EgressConfig};
use crate::domain::money::Money;
use crate::domain::network::Network;
use crate::domain::pattern::Pattern;
use crate::domain::provider_key::{DeploymentLimits, ProviderKey};
use crate::domain::role::Role;
use crate::domain::secret::Secret;
use crate::price::{Factor, OwnRates};
use crate::provider::{Endpoint, OnDisconnect, Preset, Signer};

/// Settings, fixed for the life of the process.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub listener: ListenerConfig,
    pub egress: EgressConfig,
    /// data folder: `gatekeeper.redb`, `ledger/`, `memory.redb`, `seal.key`, `admin.sock`, `lock`
    pub folder: PathBuf,
    /// IANA timezone of budget windows and reports
    pub timezone: String,
    pub workers: usize,
    /// adds an `anthropic/` alias per model, since Claude Code's picker shows no other names
    pub picker_aliases: bool,
    /// request header that names the end user, in lower case
    pub user_header: Option<String>,
    pub ledger: LedgerConfig,
    pub retention: Retention,
    pub limits: Limits,
    pub alerts: AlertConfig,
    pub audit: AuditConfig,
    /// `None` if no issuer signs people in
    pub oidc: Option<OidcConfig>,
    /// collector of traces
    pub otlp: Option<OtlpConfig>,
    pub log_format: LogFormat,
    pub reasoning_memory: ReasoningMemoryConfig,
    pub cache: CacheConfig,
    pub capture: CaptureConfig,
    pub seal_key: SealKeySource,
    /// `None` if images by URL are not fetched
    pub fetch: Option<FetchConfig>,
    pub providers: Vec<Arc<Provider>>,
    pub routing: RoutingConfig,
    /// the file as it is written
    pub written: WrittenConfig,
}

impl Config {
    /// Path of the accounting database; the file exists once the data folder is initialized.
    pub fn books_path(folder: &Path) -> PathBuf {
        folder.join("gatekeeper.redb")
    }

    /// Longest time between the arrival of a request and its hold: image fetches, then the budget queue.
    pub fn admission_wait_ms_max(&self) -> u64 {
        let images_ms = self.fetch.as_ref().map_or(0, |fetch| fetch.timeout_ms);
        images_ms + self.limits.queue_wait_ms
    }
}

/// Durability that a ledger record needs before its request proceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// a request proceeds after `write()`: the record survives `kill -9`, but not always a power cut
    Os,
    /// a request proceeds after `fdatasync`: the record survives a power cut
    Disk,
}

/// Treatment of an output cap that exceeds the remaining budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overrun {
    /// refuse the request
    Refuse,
    /// lower the cap to the remaining budget
    Clamp,
}

#[derive(Clone, Copy, Debug)]
pub struct LedgerConfig {
    pub sync: Sync,
    /// records are stored into a mapping of the log where the file system allows it, instead of written
    pub mapped: bool,
    pub segment_bytes: u64,
    /// free disk space below which new requests are refused
    pub disk_reserve_mb: u64,
    pub budget_overrun: Overrun,
}

impl Default for LedgerConfig {
    fn default() -> LedgerConfig {
        LedgerConfig {
            sync: Sync::Os,
            mapped: true,
            segment_bytes: 64 * MIB,
            disk_reserve_mb: 256,
            budget_overrun: Overrun::Refuse,
        }
    }
}

/// Retention of each kind of row in whole days; 0 keeps it forever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// usage records with their corrections
    pub requests_days: u64,
    /// refused requests; at most `requests_days`
    pub refused_days: u64,
    /// hourly roll-ups
    pub hours_days: u64,
    /// daily roll-ups
    pub days_days: u64,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            requests_days: 400,
            refused_days: 30,
            hours_days: 400,
            days_days: 0,
        }
    }
}

/// Limits of fetching images by URL for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchConfig {
    /// addresses outside the public Internet that may be contacted
    pub private_hosts: Vec<Network>,
    pub bytes_max: usize,
    /// of all images of a request
    pub timeout_ms: u64,
}

/// Images fetched per request; a request with more URLs is refused.
pub const IMAGES_MAX: usize = 20;

/// Bytes per unit of a `_mb` key.
pub const MIB: u64 = 1024 * 1024;

/// Size limits and timeouts of a request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub body_bytes_max: usize,
    /// of all long request bodies in flight
    pub bodies_bytes_max: usize,
    /// to receive a complete request body
    pub body_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    /// until the head of the upstream response
    pub head_timeout_ms: u64,
    /// until the first content of a stream; 0 for no bound
    pub first_content_timeout_ms: u64,
    /// between two chunks of an upstream body
    pub idle_timeout_ms: u64,
    /// of an upstream call, to its last byte
    pub call_timeout_ms: u64,
    /// cooldown of a deployment that fails, until its next probe
    pub probe_interval_ms: u64,
    /// to receive a complete request head
    pub client_head_timeout_ms: u64,
    /// time without a request after which a client's connection is closed
    pub client_idle_timeout_ms: u64,
    /// open client connections; `None`: as many as the process's descriptors allow
    pub connections_max: Option<usize>,
    /// open client connections of one address; `None`: half of all
    pub connections_per_address_max: Option<usize>,
    /// time without reading after which a client counts as disconnected
    pub client_stall_ms: u64,
    /// of a unary response body or of one stream event
    pub answer_bytes_max: usize,
    /// idle time of a stream after which a ping is sent
    pub ping_ms: u64,
    pub queue_max: usize,
    pub queue_wait_ms: u64,
    /// time for in-flight requests to finish after SIGTERM
    pub drain_ms: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes_max: 32 << 20,
            bodies_bytes_max: 256 << 20,
            body_timeout_ms: 60_000,
            connect_timeout_ms: 10_000,
            head_timeout_ms: 300_000,
            first_content_timeout_ms: 0,
            idle_timeout_ms: 120_000,
            call_timeout_ms: 1_800_000,
            probe_interval_ms: PROBE_INTERVAL_MS,
            client_head_timeout_ms: 15_000,
            client_idle_timeout_ms: 75_000,
            connections_max: None,
            connections_per_address_max: None,
            client_stall_ms: 60_000,
            answer_bytes_max: 32 << 20,
            ping_ms: 15_000,
            queue_max: 1000,
            queue_wait_ms: 10_000,
            drain_ms: 30_000,
        }
    }
}

/// Source of the key that seals opaque provider state and stored reasoning.
#[derive(Clone, Debug)]
pub enum SealKeySource {
    /// `seal.key` in the data folder, created if absent
    Folder,
    /// set by the operator, at least 32 bytes
    Configured(Secret),
    /// source of a configured key, for commands that start without reading secrets
    Unread(SecretSource),
}

/// Bounds of the captured calls. Capture itself is turned on per team and key.
#[derive(Clone, Copy, Debug)]
pub struct CaptureConfig {
    /// `false`: no team or key can turn it on
    pub enabled: bool,
    pub file_bytes_max: u64,
    pub queue_bytes_max: usize,
    /// larger images are stored as their hash
    pub media_bytes_max: usize,
}

impl Default for CaptureConfig {
    fn default() -> CaptureConfig {
        CaptureConfig {
            enabled: true,
            file_bytes_max: 1024 * MIB,
            queue_bytes_max: 32 * MIB as usize,
            media_bytes_max: 64 * 1024,
        }
    }
}

/// Bounds of the reasoning stored for clients whose dialect cannot carry it.
#[derive(Clone, Copy, Debug)]
pub struct ReasoningMemoryConfig {
    pub enabled: bool,
    pub keep_ms: u64,
    pub entries_max: u64,
    pub bytes_max: u64,
}

impl Default for ReasoningMemoryConfig {
    fn default() -> ReasoningMemoryConfig {
        ReasoningMemoryConfig {
            enabled: true,
            keep_ms: 7 * DAY_MS,
            entries_max: 100_000,
            bytes_max: 1024 * MIB,
        }
    }
}

pub(super) const DAY_MS: u64 = 86_400_000;

/// Budget alerts: threshold and webhook, in addition to the log and the audit log.
#[derive(Clone, Debug)]
pub struct AlertConfig {
    /// of the budget's limit
    pub threshold_percent: u8,
    pub webhook: Option<Webhook>,
}

impl Default for AlertConfig {
    fn default() -> AlertConfig {
        AlertConfig {
            threshold_percent: 85,
            webhook: None,
        }
    }
}

/// Copies of the audit log for other systems.
#[derive(Clone, Debug, Default)]
pub struct AuditConfig {
    pub forward: Option<Webhook>,
    pub file: Option<PathBuf>,
    pub syslog: Option<SyslogAddress>,
}

/// Sign-in through an OpenID Connect issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcConfig {
    /// exactly as in its tokens
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Option<Secret>,
    /// of verified e-mail addresses, in lower case; empty: all
    pub allowed_domains: Vec<String>,
    /// claim whose values `role_map` maps; `None`: roles are given by administrators
    pub role_claim: Option<String>,
    pub role_map: Vec<RoleMapping>,
    pub private_hosts: Vec<Network>,
    /// per answer of the issuer
    pub timeout_ms: u64,
}

/// Role that a value of the role claim gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleMapping {
    pub claim: String,
    pub role: Role,
    /// an id or a name
    pub organization: Option<String>,
    /// an id or a name
    pub team: Option<String>,
}

/// Receiver of syslog messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    Udp(SocketAddr),
    Unix(PathBuf),
}

/// Collector of traces.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// with the path of traces
    pub url: String,
    pub headers: Vec<(String, Secret)>,
    /// part of the requests, from 0 to 1
    pub sample_ratio: f64,
    pub connection: ConnectionConfig,
    /// per export
    pub timeout_ms: u64,
}

/// Form of the lines on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Receiver of alerts, or of the audit log.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// secret, because many webhook URLs contain a token
    pub url: Secret,
    /// HMAC key of the signature
    pub secret: Option<Secret>,
    pub connection: ConnectionConfig,
    /// per attempt
    pub timeout_ms: u64,
}

/// One `[providers.NAME]`: a vendor's preset with a base URL and a credential.
#[derive(Clone, Debug)]
pub struct Provider {
    pub name: String,
    pub preset: &'static Preset,
    /// scheme, host, port and path prefix, without a trailing slash
    pub base_url: String,
    /// sent with every request, names in lower case
    pub headers: Vec<(String, Secret)>,
    /// none for a provider without credential; calls are spread among several
    pub api_keys: Vec<ProviderKey>,
    /// of each of its deployments
    pub limits: DeploymentLimits,
    pub timeouts: CallTimeouts,
    /// signs requests instead of sending a key
    pub signer: Option<Signer>,
    pub price: PriceSetting,
    /// prices of some models over `price`, the most specific pattern first
    pub prices: Vec<PriceEntry>,
    /// place whose list prices apply: region, data zone or residency of the address
    pub place: Option<String>,
    /// bare names that resolve to this provider, in addition to those of its price sheet
    pub models: Vec<String>,
    /// clients may name its models without the provider
    pub bare_names: bool,
    /// a fixed price applies to every model, not only to `models`
    pub prices_all_models: bool,
    /// request members that go up to a vendor of a borrowed dialect, besides those of the gateway's table
    pub takes: Vec<String>,
    /// cost ceiling of a request whose cost is otherwise unbounded
    pub request_ceiling: Option<Money>,
    /// custom model names, each with the model of the price sheet whose rates apply
    pub priced_as: BTreeMap<String, String>,
    /// for vendors with versioned URLs
    pub api_version: Option<String>,
    pub unsupported: UnsupportedFieldPolicy,
    pub on_disconnect: OnDisconnect,
    pub connection: ConnectionConfig,
}

/// Treatment of a request field that the vendor does not support.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnsupportedFieldPolicy {
    /// remove the field and name it in a response header
    #[default]
    Drop,
    /// refuse the request
    Error,
}

impl Provider {
    /// Returns true if a fixed price of this provider applies to the model.
    pub fn fixed_price_covers(&self, model: &str) -> bool {
        self.prices_all_models || self.models.iter().any(|listed| listed == model)
    }

    pub fn has_credential(&self) -> bool {
        !self.api_keys.is_empty() || self.signer.is_some()
    }

    /// URL of a call.
    pub fn url(&self, endpoint: &Endpoint, model: &str, streamed: bool) -> String {
        let path = endpoint
            .stream_path
            .filter(|_| streamed)
            .unwrap_or(endpoint.path);
        match (endpoint.versioned_path, &self.api_version) {
            (Some(path), Some(version)) => {
                format!(
                    "{}{}?api-version={version}",
                    self.base_url,
                    path.replace("{model}", &path_segment(model))
                )
            }
            _ if path.contains("{model}") => format!(
                "{}{}",
                self.base_url,
                path.replace("{model}", &path_segment(model))
            ),
            _ => [&self.base_url, path].concat(),
        }
    }
}

/// Percent-encodes a name as one path segment.
fn path_segment(name: &str) -> String {
    use std::fmt::Write;
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            segment.push(char::from(byte));
        } else {
            // writing to a String cannot fail
            let _ = write!(segment, "%{byte:02X}");
        }
    }
    segment
}

/// Source of a provider's rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceSetting {
    /// embedded price sheet of this vendor
    Sheet(&'static str),
    Free,
    /// rates of the operator
    Own(OwnRates),
    /// cost that the vendor reports with each response
    Reported,
}

/// Price of the models of a provider that match a pattern.
#[derive(Clone, Debug)]
pub struct PriceEntry {
    pub pattern: Pattern,
    /// `None`: the rates of `price`
    pub rates: Option<OwnRates>,
    /// discount or surcharge on all token rates
    pub factor: Factor,
    /// place of the deployment, such as Azure's data zone
    pub place: Option<String>,
}

impl Provider {
    /// The entry of `prices` for a model, by the most specific pattern.
    pub fn price_entry(&self, model: &str) -> Option<&PriceEntry> {
        let mut entries = self.prices.iter();
        entries.find(|entry| entry.pattern.matches(model))
    }
}
