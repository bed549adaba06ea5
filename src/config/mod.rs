//! Configuration: resolves the TOML file, environment and flags into one `Config`, or reports every error at once.
//! A message must never repeat a secret. `reference` lists every key of the file.

mod alerts;
mod api_keys;
mod audit;
mod base_url;
mod cache;
mod capture;
mod credential;
mod declared;
mod egress;
mod fetch;
mod file;
mod listener;
mod members;
mod mirror;
mod otlp;
mod price;
mod provider;
mod reasoning_memory;
pub mod reference;
mod resolve;
mod routes;
mod secret;
mod settings;
mod sign_in;
mod timeouts;
mod written;

pub use base_url::parse_base_url;
pub use cache::CacheConfig;
pub use declared::{
    API_KEYS, InvalidMember, SECRET_MEMBERS, declared_alias, declared_provider, declared_route,
    key_secret,
};
pub use file::{ConfigError, ConfigErrors};
pub use listener::{ListenerConfig, TlsSource, parse_listen};
pub use mirror::MirrorConfig;
pub use resolve::{LoadedConfig, Overrides, load, load_base, parse};
pub use routes::{RetryPolicy, RouteConfig, RoutingConfig, Strategy, TargetConfig};
pub use secret::{Environment, SecretSource, process_environment};
pub use settings::{
    AlertConfig, AuditConfig, Config, FetchConfig, IMAGES_MAX, LedgerConfig, Limits, LogFormat,
    MIB, OidcConfig, OtlpConfig, Overrun, PriceEntry, PriceSetting, Provider,
    ReasoningMemoryConfig, Retention, RoleMapping, SealKeySource, Sync, SyslogAddress,
    UnsupportedFieldPolicy, Webhook,
};
pub use timeouts::CallTimeouts;
pub use written::{Setting, WrittenConfig};
