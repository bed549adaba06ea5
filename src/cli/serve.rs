//! `gatekeeper serve`: loads the configuration, sets up logging and runs the gateway until a signal stops it. Requires an
//! initialized data folder, unless `--create` makes one.

use std::net::TcpListener;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::admin::AdminClient;
use super::failure::Failure;
use super::service_manager::{self, ServiceManager};
use super::settings::SettingsArgs;
use super::signals::Signals;
use crate::cli::data_dir;
use crate::cli::output::print;
use crate::config::{self, ListenerConfig, LoadedConfig, LogFormat};
use crate::process::{self, Platform, RunningServer};

/// actix-web reports its own starts and stops at level `info`, and every malformed request as an error, with which any client could
/// fill the log.
const QUIET_LIBRARIES: &str = "actix_server=warn,actix_web=warn,actix_http=warn,actix_http::h1=off";

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Listen address; overrides `listen` in the configuration
    #[arg(long, value_name = "ADDRESS", env = "GATEKEEPER_LISTEN")]
    listen: Option<String>,
    /// Create the data folder if it is absent or empty, without an administrative key: use the local admin socket
    #[arg(long)]
    create: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let overrides = config::Overrides {
        listen: args.listen,
        ..args.settings.overrides()
    };
    let loaded = config::load(&overrides)?;
    let listener = service_manager::inherited_listener()?;
    let folder = &loaded.config.folder;
    init_logging("info", loaded.config.log_format);
    protect_memory();
    if args.create && !data_dir::is_initialized(folder) {
        data_dir::create(folder)?;
        process::block_on(process::init_without_key(&loaded.config))?;
    }
    data_dir::require_initialized(folder)?;
    process::block_on(serve(loaded, &overrides, listener))
}

/// Keeps secrets and prompts out of core files and away from other processes of the same user.
fn protect_memory() {
    let no_core = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let limited = setrlimit(Resource::Core, no_core);
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = limited.and(hidden) {
        tracing::warn!(%error, "failed to protect the memory of the process");
    }
}

async fn serve(
    loaded: LoadedConfig,
    overrides: &config::Overrides,
    listener: Option<TcpListener>,
) -> Result<(), Failure> {
    let mut signals = Signals::install()?;
    let manager = ServiceManager::from_environment();
    let admin = AdminClient::in_folder(&loaded.config.folder);
    let platform = Platform {
        listener,
        ..Platform::system()
    };
    let running = process::start(loaded.config.clone(), platform).await?;
    log_start(&loaded, &running);
    print(&render_addresses(&loaded.config.listener, &running))?;
    manager.ready();
    let drain_ms = loaded.config.limits.drain_ms;
    let load = || Some(config::load(overrides).map(|loaded| loaded.config));
    let on_stop = || manager.stopping(drain_ms);
    tokio::select! {
        stopped = signals.run_until_stopped(running, on_stop, load) => stopped?,
        never = manager.keep_alive(&admin) => match never {},
    }
    print("gatekeeper has stopped\n")
}

fn render_addresses(listener: &ListenerConfig, running: &RunningServer) -> String {
    let scheme = if listener.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let mut text = format!("gatekeeper listens on {scheme}://{}\n", running.address);
    if let Some(admin) = running.admin_address {
        text += &format!("control plane on {scheme}://{admin}\n");
    }
    if let Some(url) = &listener.public_url {
        text += &format!("browsers reach it at {url}\n");
    }
    text
}

/// Everything that an operator asks about a running process, in one line.
fn log_start(loaded: &LoadedConfig, running: &RunningServer) {
    let config = &loaded.config;
    let file = loaded
        .file
        .as_deref()
        .map(|file| file.display().to_string());
    let in_force = running.gateway.providers();
    let names = in_force.iter().map(|provider| provider.name.as_str());
    let providers = names.collect::<Vec<_>>().join(",");
    let sync = match config.ledger.sync {
        config::Sync::Os => "os",
        config::Sync::Disk => "disk",
    };
    let append = if running.ledger.wal().metrics().mapped {
        "mapped"
    } else {
        "written"
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = file.as_deref().unwrap_or("none"),
        data = %config.folder.display(),
        address = %running.address,
        providers = providers.as_str(),
        keys = running.keys,
        sync,
        append,
        zone = config.timezone.as_str(),
        "gatekeeper started"
    );
    if config.listener.tls.is_none() && !running.address.ip().is_loopback() {
        tracing::warn!(
            address = %running.address,
            "keys and prompts cross the network unencrypted; set tls_cert and tls_key, or listen on 127.0.0.1 behind a proxy"
        );
    }
    if in_force.is_empty() {
        tracing::warn!(
            "no providers configured, so every model is unknown; add one, e.g. with `gatekeeper providers add openai --key-stdin`"
        );
    }
}

/// Logs to standard error. `$GATEKEEPER_LOG` overrides the default filter, e.g. `debug` or `gatekeeper=debug`.
pub fn init_logging(default_filter: &str, format: LogFormat) {
    let wanted = std::env::var("GATEKEEPER_LOG").ok();
    let wanted = wanted.filter(|text| !text.is_empty());
    let wanted: Option<Targets> = wanted.and_then(|text| text.parse().ok());
    let default = format!("{default_filter},{QUIET_LIBRARIES}");
    let targets = wanted.unwrap_or_else(|| default.parse().expect("a filter of constants"));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let registry = tracing_subscriber::registry().with(targets);
    // fails if a test has set a subscriber, which is then kept
    let _already_set = match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            let lines = lines.with_current_span(false).with_span_list(false);
            registry.with(lines).try_init()
        }
    };
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn protected_process_writes_no_core_file_and_is_closed_to_others() {
        protect_memory();
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
        let behavior = dumpable_behavior().expect("the kernel tells it");
        assert_eq!(behavior, DumpableBehavior::NotDumpable);
    }
}
