//! Configuration: resolves the TOML file, environment and flags into one `Config`, or reports every error at once.
//! A message must never repeat a secret. `reference` lists every key of the file.

mod alerts;
mod base_url;
mod credential;
mod fetch;
mod file;
mod members;
mod provider;
mod reasoning_memory;
pub mod reference;
mod resolve;
mod routes;
mod secret;
mod settings;
mod written;

pub use base_url::parse_base_url;
pub use file::{ConfigError, ConfigErrors};
pub use resolve::{LoadedConfig, Overrides, load, load_base, parse, parse_listen};
pub use routes::{RetryPolicy, RouteConfig, RouteTimeouts, RoutingConfig, Strategy, TargetConfig};
pub use secret::{Environment, SecretSource, process_environment};
pub use settings::{
    AlertConfig, Config, FetchConfig, IMAGES_MAX, LedgerConfig, Limits, MIB, Overrun, PriceSetting,
    Provider, ReasoningMemoryConfig, Retention, SealKeySource, Sync, UnsupportedFieldPolicy,
    Webhook,
};
pub use written::{Setting, WrittenConfig};
