//! From what is written and what is told on the command line to one `Config`: takes flags, file and defaults, in this
//! order of weight, and answers with settings that hold, or with every fault at once.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::file::{self, Faults, Section, Written};
use super::secret::{Environment, process_environment};
use super::{Config, LedgerConfig, Limits, MIB, Overrun, Sync, provider};

/// Flags and their environment variables: what outweighs the file.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// `--config`, `$GATEKEEPER_CONFIG`
    pub config: Option<PathBuf>,
    /// `--data`, `$GATEKEEPER_DATA`
    pub data: Option<PathBuf>,
    /// `--listen`, `$GATEKEEPER_LISTEN`
    pub listen: Option<String>,
}

/// The settings, and the file that they come from, if there is one.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub file: Option<PathBuf>,
}

/// Where a file is looked for when none is named.
const PLACES: [&str; 2] = ["gatekeeper.toml", "/etc/gatekeeper/gatekeeper.toml"];
const DATA_DEFAULT: &str = "gatekeeper-data";
const LISTEN_DEFAULT: &str = "127.0.0.1:4000";
const FILE_BYTES_MAX: u64 = MIB;

/// Reads and resolves everything, credentials too.
pub fn load(told: &Told) -> Result<Loaded, Faults> {
    load_with(told, Some(&process_environment))
}

/// As `load`, but without providers: for commands that call none, so that they need no credential.
pub fn load_base(told: &Told) -> Result<Loaded, Faults> {
    load_with(told, None)
}

fn load_with(told: &Told, environment: Option<Environment<'_>>) -> Result<Loaded, Faults> {
    let file = told.config.clone().or_else(|| PLACES.iter().map(PathBuf::from).find(|place| place.exists()));
    let text = match &file {
        Some(path) => read(path)?,
        None => String::new(),
    };
    let path = file.as_deref().unwrap_or(Path::new("gatekeeper.toml"));
    let config = resolve(path, &text, told, environment)?;
    Ok(Loaded { config, file })
}

/// Resolves a text as if it stood in a file of that path.
pub fn parse(path: &Path, text: &str, told: &Told, environment: Environment<'_>) -> Result<Config, Faults> {
    resolve(path, text, told, Some(environment))
}

fn read(path: &Path) -> Result<String, Faults> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    let mut faults = Faults::default();
    match read {
        Err(error) => faults.add(path.display().to_string(), format!("cannot be read ({error}); check the path and its owner")),
        Ok(length) if length as u64 > FILE_BYTES_MAX => faults.add(path.display().to_string(), "is larger than 1 MiB"),
        Ok(_) => return Ok(text),
    }
    Err(faults)
}

fn resolve(path: &Path, text: &str, told: &Told, environment: Option<Environment<'_>>) -> Result<Config, Faults> {
    let mut faults = Faults::default();
    let mut top = file::parse(&path.display().to_string(), text, &mut faults);
    let config = Config {
        listen: listen(top.text("listen", &mut faults), told, &mut faults),
        folder: folder(top.text("data", &mut faults), path, told, &mut faults),
        timezone: timezone(top.text("timezone", &mut faults), &mut faults),
        workers: top.whole("workers", processors(), 1..=256, &mut faults) as usize,
        ledger: ledger(top.section("ledger", &mut faults), &mut faults),
        limits: limits(top.section("limits", &mut faults), &mut faults),
        providers: match (top.section("providers", &mut faults), environment) {
            (section, Some(environment)) => provider::resolve_all(section, environment, &mut faults),
            (_, None) => Vec::new(),
        },
    };
    top.finish(&mut faults);
    if faults.0.is_empty() { Ok(config) } else { Err(faults) }
}

fn listen(written: Option<Written<String>>, told: &Told, faults: &mut Faults) -> SocketAddr {
    let text = written.unwrap_or_else(|| given("listen", LISTEN_DEFAULT));
    let text = told.listen.as_deref().map_or(text, |listen| given("--listen", listen));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    text.checked(faults, |text| parse_listen(text)).unwrap_or(any)
}

/// An address to listen on. `localhost` is put in numbers here: a static binary resolves no names of its own machine.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let parsed = numeric.as_deref().unwrap_or(text).parse();
    parsed.map_err(|_| format!("`{text}` is no address to listen on; write it like 127.0.0.1:4000, 0.0.0.0:4000 or [::]:4000"))
}

fn given(place: &str, value: &str) -> Written<String> {
    Written { place: place.to_owned(), key: "listen".to_owned(), value: value.to_owned() }
}

/// A relative `data` in the file counts from the file's own folder, so that it means the same from everywhere.
fn folder(written: Option<Written<String>>, path: &Path, told: &Told, faults: &mut Faults) -> PathBuf {
    let beside = path.parent().unwrap_or(Path::new(""));
    let from_file = written.and_then(|written| {
        written.checked(faults, |folder| match folder.as_str() {
            "" => Err("is empty; write the path of the data folder".to_owned()),
            folder => Ok(beside.join(folder)),
        })
    });
    told.data.clone().or(from_file).unwrap_or_else(|| PathBuf::from(DATA_DEFAULT))
}

fn timezone(written: Option<Written<String>>, faults: &mut Faults) -> String {
    let zone = written.and_then(|written| {
        written.checked(faults, |name| match jiff::tz::TimeZone::get(name) {
            Ok(_) => Ok(name.clone()),
            Err(_) => Err(format!("`{name}` is no zone of the IANA list; write it like \"Europe/Berlin\" or \"UTC\"")),
        })
    });
    zone.unwrap_or_else(|| "UTC".to_owned())
}

fn processors() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u64).min(256)
}

fn ledger(mut section: Section<'_>, faults: &mut Faults) -> LedgerConfig {
    let usual = LedgerConfig::default();
    let ledger = LedgerConfig {
        sync: section.word("sync", usual.sync, &[("os", Sync::Os), ("disk", Sync::Disk)], faults),
        segment_bytes: section.whole("segment_mb", usual.segment_bytes / MIB, 1..=1024, faults) * MIB,
        disk_reserve_mb: section.whole("disk_reserve_mb", usual.disk_reserve_mb, 0..=1_000_000, faults),
        budget_overrun: section.word(
            "budget_overrun",
            usual.budget_overrun,
            &[("refuse", Overrun::Refuse), ("clamp", Overrun::Clamp)],
            faults,
        ),
    };
    section.finish(faults);
    ledger
}

fn limits(mut section: Section<'_>, faults: &mut Faults) -> Limits {
    const DAY_S: u64 = 86_400;
    let usual = Limits::default();
    let mut megabytes = |key, usual: usize, most| (section.whole(key, usual as u64 / MIB, 1..=most, faults) * MIB) as usize;
    let body_bytes_max = megabytes("body_mb", usual.body_bytes_max, 1024);
    let answer_bytes_max = megabytes("answer_mb", usual.answer_bytes_max, 1024);
    let mut seconds = |key, usual_ms: u64, most_s| section.whole(key, usual_ms / 1000, 1..=most_s, faults) * 1000;
    let limits = Limits {
        body_bytes_max,
        answer_bytes_max,
        body_timeout_ms: seconds("body_timeout_s", usual.body_timeout_ms, 3600),
        connect_timeout_ms: seconds("connect_timeout_s", usual.connect_timeout_ms, 300),
        head_timeout_ms: seconds("head_timeout_s", usual.head_timeout_ms, DAY_S),
        idle_timeout_ms: seconds("idle_timeout_s", usual.idle_timeout_ms, DAY_S),
        call_timeout_ms: seconds("call_timeout_s", usual.call_timeout_ms, DAY_S),
        client_stall_ms: seconds("client_stall_s", usual.client_stall_ms, 3600),
        ping_ms: seconds("ping_s", usual.ping_ms, 3600),
        queue_wait_ms: seconds("queue_wait_s", usual.queue_wait_ms, 600),
        drain_ms: seconds("drain_s", usual.drain_ms, 3600),
        queue_max: section.whole("queue_max", usual.queue_max as u64, 0..=100_000, faults) as usize,
    };
    section.finish(faults);
    limits
}

#[cfg(test)]
mod tests;
