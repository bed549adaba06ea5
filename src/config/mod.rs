//! What the process is told: TOML file, environment and flags, resolved into one `Config` with every fault named at once.

mod alerts;
mod credential;
mod fetch;
mod file;
mod provider;
mod reasoning_memory;
mod resolve;
mod secret;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::money::Money;
use crate::domain::secret::Secret;
use crate::provider::{Endpoint, OnDisconnect, Preset, Signer};

pub use file::{ConfigError, ConfigErrors};
pub use provider::checked_url;
pub use resolve::{LoadedConfig, Overrides, load, load_base, parse, parse_listen};
pub use secret::{Environment, SecretSource, process_environment};

/// Settings as they hold for the life of the process.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// the data folder: `gatekeeper.redb`, `ledger/`, `memory.redb`, `seal.key`, `admin.sock`, `lock`
    pub folder: PathBuf,
    /// IANA name of the zone in which hours, days, weeks and months are cut
    pub timezone: String,
    pub workers: usize,
    /// whether every listed model also has a name that Claude Code's picker shows
    pub picker_aliases: bool,
    pub ledger: LedgerConfig,
    pub retention: Retention,
    pub limits: Limits,
    pub alerts: AlertConfig,
    pub reasoning_memory: ReasoningMemoryConfig,
    pub seal_key: SealKeySource,
    /// `None`: images by URL are not fetched
    pub fetch: Option<FetchConfig>,
    pub providers: Vec<Arc<Provider>>,
}

impl Config {
    /// The file of the books. It exists once the folder was initialised.
    pub fn books(folder: &Path) -> PathBuf {
        folder.join("gatekeeper.redb")
    }

    /// How long a request may wait before its hold is granted: for its images, and then for room in a budget.
    pub fn waits_ms(&self) -> u64 {
        let images_ms = self
            .fetch
            .as_ref()
            .map_or(0, |fetch| fetch.timeout_ms * IMAGES_MAX as u64);
        images_ms + self.limits.queue_wait_ms
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// a request goes on after `write()`: survives `kill -9`, not a power cut within the last cycle
    Os,
    /// a request goes on after `fdatasync`
    Disk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overrun {
    Refuse,
    Clamp,
}

#[derive(Clone, Copy, Debug)]
pub struct LedgerConfig {
    pub sync: Sync,
    pub segment_bytes: u64,
    /// free space under which new requests are refused
    pub disk_reserve_mb: u64,
    pub budget_overrun: Overrun,
}

impl Default for LedgerConfig {
    fn default() -> LedgerConfig {
        LedgerConfig {
            sync: Sync::Os,
            segment_bytes: 64 * MIB,
            disk_reserve_mb: 256,
            budget_overrun: Overrun::Refuse,
        }
    }
}

/// Whole days that each kind of row is kept; 0: for ever. Day by day older ones are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// single requests with their corrections
    pub requests_days: u64,
    /// what was refused; never longer than requests
    pub refused_days: u64,
    /// sums by the hour
    pub hours_days: u64,
    /// sums by the day
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

/// What the gateway may fetch for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchConfig {
    /// addresses that do not belong to the Internet and may be asked all the same
    pub private_hosts: Vec<std::net::IpAddr>,
    pub bytes_max: usize,
    /// for one image
    pub timeout_ms: u64,
}

/// Images that are fetched for one request: more addresses are a crawl, not a question.
pub const IMAGES_MAX: usize = 20;

/// Bytes of one `_mb` in the file.
pub const MIB: u64 = 1024 * 1024;

/// Every wait has a deadline, everything that grows has a bound. Times in ms.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub body_bytes_max: usize,
    /// a client's body must be whole within this time
    pub body_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    /// until the upstream's response head
    pub head_timeout_ms: u64,
    /// between two reads of an upstream's body
    pub idle_timeout_ms: u64,
    /// a whole upstream call
    pub call_timeout_ms: u64,
    /// a client that reads nothing for this long is gone
    pub client_stall_ms: u64,
    /// a whole unary answer, or one event of a stream
    pub answer_bytes_max: usize,
    /// silence on a stream after which a ping is sent
    pub ping_ms: u64,
    pub queue_max: usize,
    pub queue_wait_ms: u64,
    /// SIGTERM lets running requests finish for this long
    pub drain_ms: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes_max: 32 << 20,
            body_timeout_ms: 60_000,
            connect_timeout_ms: 10_000,
            head_timeout_ms: 300_000,
            idle_timeout_ms: 120_000,
            call_timeout_ms: 1_800_000,
            client_stall_ms: 60_000,
            answer_bytes_max: 32 << 20,
            ping_ms: 15_000,
            queue_max: 1000,
            queue_wait_ms: 10_000,
            drain_ms: 30_000,
        }
    }
}

/// Where the key of all seals is.
#[derive(Clone, Debug)]
pub enum SealKeySource {
    /// in a file of the data folder, which is made where there is none
    Folder,
    /// told by the operator, at least 32 letters; empty where secrets are not read
    Configured(Secret),
}

/// How long what models thought is kept for clients that cannot carry it.
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

const DAY_MS: u64 = 86_400_000;

/// What becomes of alerts, besides the log and the audit log.
#[derive(Clone, Debug)]
pub struct AlertConfig {
    /// of a budget's limit
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

/// Where alerts are sent to.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// many have a token in them
    pub url: Secret,
    /// the key of the signature
    pub secret: Option<Secret>,
    /// one try
    pub timeout_ms: u64,
}

/// One `[providers.NAME]`: a vendor's preset with an address and a credential.
#[derive(Clone, Debug)]
pub struct Provider {
    pub name: String,
    pub preset: &'static Preset,
    /// scheme, host, port and path prefix, without a trailing slash
    pub base_url: String,
    pub api_key: Option<Secret>,
    /// in place of a key that goes along
    pub signer: Option<Signer>,
    pub price: PriceSetting,
    /// bare names that resolve to this provider besides those of its sheet
    pub models: Vec<String>,
    /// what one request may cost at most where nothing else bounds it
    pub request_ceiling: Option<Money>,
    /// names that are priced as a model of the sheet: a model of the customer's naming
    pub priced_as: BTreeMap<String, String>,
    /// for vendors whose addresses have one
    pub api_version: Option<String>,
    pub unsupported: Unsupported,
    pub on_disconnect: OnDisconnect,
}

/// What becomes of a member of a request that a vendor which borrows the dialect does not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsupported {
    /// it is left out, and the answer's head names it
    #[default]
    Drop,
    /// the request is refused
    Error,
}

impl Provider {
    pub fn has_credential(&self) -> bool {
        self.api_key.is_some() || self.signer.is_some()
    }

    /// The address of a call.
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
                    path.replace("{model}", &segment(model))
                )
            }
            _ if path.contains("{model}") => format!(
                "{}{}",
                self.base_url,
                path.replace("{model}", &segment(model))
            ),
            _ => format!("{}{path}", self.base_url),
        }
    }
}

/// A name as one segment of a path.
fn segment(name: &str) -> String {
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceSetting {
    /// the shipped list prices, under this vendor's name
    Sheet(&'static str),
    Free,
    /// pico-USD per token
    Fixed {
        input: u64,
        output: u64,
    },
}
