//! Resolver: takes flags, environment and file, in this order of precedence, and returns a valid `Config` or every
//! error at once. The environment is read only through the lookup that is passed in.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::cache::CacheConfig;
use super::file::{self, ConfigErrors, Section, Spanned};
use super::listener::{self, parse_listen};
use super::routes::{self, RoutingConfig};
use super::secret::{Environment, process_environment};
use super::settings::{Config, LedgerConfig, Limits, LogFormat, MIB, Overrun, Retention, Sync};
use super::written::WrittenConfig;
use super::{
    alerts, audit, cache, capture, egress, fetch, otlp, provider, reasoning_memory, sign_in,
};
use crate::domain::zone::Zone;

/// Flags and their environment variables; they override the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`, `$GATEKEEPER_CONFIG`
    pub config: Option<PathBuf>,
    /// `--data`, `$GATEKEEPER_DATA`
    pub data: Option<PathBuf>,
    /// `--listen`, `$GATEKEEPER_LISTEN`
    pub listen: Option<String>,
}

/// The settings, and the file they were read from, if any.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    pub config: Config,
    pub file: Option<PathBuf>,
}

/// Files tried in order if none is named.
const FILES_DEFAULT: [&str; 2] = ["gatekeeper.toml", "/etc/gatekeeper/gatekeeper.toml"];
const DATA_DEFAULT: &str = "gatekeeper-data";
const LISTEN_DEFAULT: &str = "127.0.0.1:4000";
const FILE_BYTES_MAX: u64 = MIB;

/// Reads and resolves all settings, including credentials.
pub fn load(overrides: &Overrides) -> Result<LoadedConfig, ConfigErrors> {
    load_with(overrides, Some(&process_environment))
}

/// Like `load`, but without providers: for commands that call none and therefore need no credential.
pub fn load_base(overrides: &Overrides) -> Result<LoadedConfig, ConfigErrors> {
    load_with(overrides, None)
}

fn load_with(
    overrides: &Overrides,
    environment: Option<Environment<'_>>,
) -> Result<LoadedConfig, ConfigErrors> {
    let file = overrides.config.clone().or_else(|| {
        FILES_DEFAULT
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
    });
    let text = match &file {
        Some(path) => read(path)?,
        None => String::new(),
    };
    let path = file.as_deref().unwrap_or(Path::new("gatekeeper.toml"));
    let config = resolve(path, &text, overrides, environment)?;
    Ok(LoadedConfig { config, file })
}

/// Resolves a text as the contents of the file at `path`.
pub fn parse(
    path: &Path,
    text: &str,
    overrides: &Overrides,
    environment: Environment<'_>,
) -> Result<Config, ConfigErrors> {
    resolve(path, text, overrides, Some(environment))
}

fn read(path: &Path) -> Result<String, ConfigErrors> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    let message = match read {
        Err(error) => format!("failed to read the file ({error}); check its path and owner"),
        Ok(length) if length as u64 > FILE_BYTES_MAX => {
            "file larger than 1 MiB; check the path".to_owned()
        }
        Ok(_) => return Ok(text),
    };
    let mut errors = ConfigErrors::default();
    errors.add(path.display().to_string(), message);
    Err(errors)
}

fn resolve(
    path: &Path,
    text: &str,
    overrides: &Overrides,
    environment: Option<Environment<'_>>,
) -> Result<Config, ConfigErrors> {
    let mut errors = ConfigErrors::default();
    let errs = &mut errors;
    let mut top = file::parse(&path.display().to_string(), text, errs);
    // routes take what they leave out from it
    let cache: CacheConfig;
    let limits: Limits;
    let config = Config {
        listen: listen(top.string("listen", errs), overrides, errs),
        listener: listener::resolve(&mut top, path, errs),
        egress: egress::resolve(top.section("egress", errs), environment, path, errs),
        folder: folder(top.string("data", errs), path, overrides, errs),
        timezone: timezone(top.string("timezone", errs), errs),
        workers: top.integer("workers", processors(), 1..=256, errs) as usize,
        picker_aliases: top.choice(
            "picker_aliases",
            false,
            &[("on", true), ("off", false)],
            errs,
        ),
        user_header: user_header(top.string("user_header", errs), errs),
        ledger: ledger(top.section("ledger", errs), errs),
        retention: retention(top.section("retention", errs), errs),
        limits: {
            limits = self::limits(top.section("limits", errs), errs);
            limits
        },
        alerts: alerts::resolve(top.section("alerts", errs), environment, errs),
        audit: audit::resolve(top.section("audit", errs), environment, errs),
        oidc: sign_in::resolve(top.section("sign_in", errs), environment, errs),
        otlp: otlp::resolve(top.section("otlp", errs), environment, errs),
        log_format: log_format(top.section("log", errs), errs),
        reasoning_memory: reasoning_memory::resolve(top.section("reasoning_memory", errs), errs),
        capture: capture::resolve(top.section("capture", errs), errs),
        cache: {
            cache = cache::resolve(top.section("cache", errs), errs);
            cache
        },
        seal_key: reasoning_memory::seal_key(top.string("seal_key", errs), environment, errs),
        fetch: fetch::resolve(top.section("fetch", errs), errs),
        providers: match (top.section("providers", errs), environment) {
            (section, Some(environment)) => provider::resolve_all(section, path, environment, errs),
            (_, None) => Vec::new(),
        },
        routing: RoutingConfig {
            aliases: routes::resolve_aliases(top.section("aliases", errs), errs),
            routes: routes::resolve_all(top.section("routes", errs), &cache.policy, errs),
            probe_interval_ms: limits.probe_interval_ms,
        },
        written: WrittenConfig::of(text),
    };
    top.finish(errs);
    if errors.0.is_empty() {
        Ok(config)
    } else {
        Err(errors)
    }
}

fn listen(
    written: Option<Spanned<String>>,
    overrides: &Overrides,
    errors: &mut ConfigErrors,
) -> SocketAddr {
    let from_file = written.unwrap_or_else(|| listen_setting("listen", LISTEN_DEFAULT));
    let text = overrides
        .listen
        .as_deref()
        .map_or(from_file, |listen| listen_setting("--listen", listen));
    let placeholder = SocketAddr::from(([127, 0, 0, 1], 0));
    text.parse(errors, |text| parse_listen(text))
        .unwrap_or(placeholder)
}

fn listen_setting(location: &str, value: &str) -> Spanned<String> {
    Spanned {
        location: location.to_owned(),
        key: "listen".to_owned(),
        value: value.to_owned(),
    }
}

/// Resolves a relative `data` against the folder of the file, so that it is independent of the working directory.
fn folder(
    written: Option<Spanned<String>>,
    path: &Path,
    overrides: &Overrides,
    errors: &mut ConfigErrors,
) -> PathBuf {
    let base = path.parent().unwrap_or(Path::new(""));
    let from_file = written.and_then(|written| {
        written.parse(errors, |folder| match folder.as_str() {
            "" => Err("empty path; write the path of the data folder".to_owned()),
            folder => Ok(base.join(folder)),
        })
    });
    overrides
        .data
        .clone()
        .or(from_file)
        .unwrap_or_else(|| PathBuf::from(DATA_DEFAULT))
}

fn user_header(written: Option<Spanned<String>>, errors: &mut ConfigErrors) -> Option<String> {
    written?.parse(errors, |name| {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        match !name.is_empty() && name.bytes().all(is_token) {
            true => Ok(name.to_ascii_lowercase()),
            false => Err("invalid header name; use e.g. x-openwebui-user-email".to_owned()),
        }
    })
}

fn timezone(written: Option<Spanned<String>>, errors: &mut ConfigErrors) -> String {
    let zone = written.and_then(|written| {
        written.parse(errors, |name| match Zone::parse(name) {
            Some(_) => Ok(name.clone()),
            None => Err(format!(
                "invalid timezone `{name}`; use an IANA name such as Europe/Berlin or UTC"
            )),
        })
    });
    zone.unwrap_or_else(|| "UTC".to_owned())
}

fn processors() -> u64 {
    std::thread::available_parallelism()
        .map_or(1, |count| count.get() as u64)
        .min(256)
}

fn log_format(mut section: Section<'_>, errors: &mut ConfigErrors) -> LogFormat {
    let words = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = section.choice("format", LogFormat::default(), &words, errors);
    section.finish(errors);
    format
}

fn ledger(mut section: Section<'_>, errors: &mut ConfigErrors) -> LedgerConfig {
    let default = LedgerConfig::default();
    let ledger = LedgerConfig {
        sync: section.choice(
            "sync",
            default.sync,
            &[("os", Sync::Os), ("disk", Sync::Disk)],
            errors,
        ),
        mapped: section.choice(
            "append",
            default.mapped,
            &[("mapped", true), ("written", false)],
            errors,
        ),
        segment_bytes: MIB
            * section.integer("segment_mb", default.segment_bytes / MIB, 1..=1024, errors),
        disk_reserve_mb: section.integer(
            "disk_reserve_mb",
            default.disk_reserve_mb,
            0..=1_000_000,
            errors,
        ),
        budget_overrun: section.choice(
            "budget_overrun",
            default.budget_overrun,
            &[("refuse", Overrun::Refuse), ("clamp", Overrun::Clamp)],
            errors,
        ),
    };
    section.finish(errors);
    ledger
}

fn retention(mut section: Section<'_>, errors: &mut ConfigErrors) -> Retention {
    const DAYS_MAX: u64 = 36_500;
    let default = Retention::default();
    let mut days = |key, default| section.integer(key, default, 0..=DAYS_MAX, errors);
    let retention = Retention {
        requests_days: days("requests_days", default.requests_days),
        refused_days: days("refused_days", default.refused_days),
        hours_days: days("hours_days", default.hours_days),
        days_days: days("days_days", default.days_days),
    };
    section.finish(errors);
    retention
}

fn limits(mut section: Section<'_>, errors: &mut ConfigErrors) -> Limits {
    const DAY_S: u64 = 86_400;
    let default = Limits::default();
    let mut megabytes = |key, default: usize, max_mb| {
        (section.integer(key, default as u64 / MIB, 1..=max_mb, errors) * MIB) as usize
    };
    let body_bytes_max = megabytes("body_mb", default.body_bytes_max, 1024);
    let bodies_bytes_max = megabytes("bodies_mb", default.bodies_bytes_max, 65_536);
    let answer_bytes_max = megabytes("answer_mb", default.answer_bytes_max, 1024);
    let first_content_timeout_ms =
        section.integer("first_content_timeout_s", 0, 0..=DAY_S, errors) * 1000;
    let mut seconds = |key, default_ms: u64, max_s| {
        section.integer(key, default_ms / 1000, 1..=max_s, errors) * 1000
    };
    let limits = Limits {
        body_bytes_max,
        // a single body always has room
        bodies_bytes_max: bodies_bytes_max.max(body_bytes_max),
        answer_bytes_max,
        body_timeout_ms: seconds("body_timeout_s", default.body_timeout_ms, 3600),
        connect_timeout_ms: seconds("connect_timeout_s", default.connect_timeout_ms, 300),
        head_timeout_ms: seconds("head_timeout_s", default.head_timeout_ms, DAY_S),
        first_content_timeout_ms,
        idle_timeout_ms: seconds("idle_timeout_s", default.idle_timeout_ms, DAY_S),
        call_timeout_ms: seconds("call_timeout_s", default.call_timeout_ms, DAY_S),
        probe_interval_ms: seconds("probe_interval_s", default.probe_interval_ms, 3600),
        client_head_timeout_ms: seconds("client_head_s", default.client_head_timeout_ms, 3600),
        client_idle_timeout_ms: seconds("client_idle_s", default.client_idle_timeout_ms, 3600),
        client_stall_ms: seconds("client_stall_s", default.client_stall_ms, 3600),
        ping_ms: seconds("ping_s", default.ping_ms, 3600),
        queue_wait_ms: seconds("queue_wait_s", default.queue_wait_ms, 600),
        drain_ms: seconds("drain_s", default.drain_ms, 3600),
        queue_max: section.integer("queue_max", default.queue_max as u64, 0..=100_000, errors)
            as usize,
        connections_max: count(&mut section, "connections_max", errors),
        connections_per_address_max: count(&mut section, "connections_per_address_max", errors),
    };
    section.finish(errors);
    limits
}

/// A number of connections; 0 leaves it to the process.
fn count(section: &mut Section<'_>, key: &'static str, errors: &mut ConfigErrors) -> Option<usize> {
    let count = section.integer(key, 0, 0..=100_000, errors);
    Some(count as usize).filter(|count| *count > 0)
}

#[cfg(test)]
mod tests;
