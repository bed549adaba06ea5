//! `gatekeeper serve`: loads the configuration, sets up logging and runs the gateway until a signal stops it. Requires an
//! initialized data folder.

use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use super::settings::SettingsArgs;
use super::signals::Signals;
use crate::cli::data_dir;
use crate::cli::output::print;
use crate::config::{self, LoadedConfig};
use crate::process::{self, Platform, RunningServer};

/// actix-web reports its own starts and stops at level `info`.
const QUIET_LIBRARIES: &str = "actix_server=warn,actix_web=warn,actix_http=warn";

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Listen address; overrides `listen` in the configuration
    #[arg(long, value_name = "ADDRESS", env = "GATEKEEPER_LISTEN")]
    listen: Option<String>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let overrides = config::Overrides {
        listen: args.listen,
        ..args.settings.overrides()
    };
    let loaded = config::load(&overrides)?;
    data_dir::require_initialized(&loaded.config.folder)?;
    init_logging("info");
    process::block_on(serve(loaded))
}

async fn serve(loaded: LoadedConfig) -> Result<(), Failure> {
    let mut signals = Signals::install()?;
    let running = process::start(loaded.config.clone(), Platform::system()).await?;
    log_start(&loaded, &running);
    print(&format!(
        "gatekeeper listens on http://{}\n",
        running.address
    ))?;
    signals.run_until_stopped(running).await?;
    print("gatekeeper has stopped\n")
}

/// Everything that an operator asks about a running process, in one line.
fn log_start(loaded: &LoadedConfig, running: &RunningServer) {
    let config = &loaded.config;
    let file = loaded
        .file
        .as_deref()
        .map(|file| file.display().to_string());
    let names = config
        .providers
        .iter()
        .map(|provider| provider.name.as_str());
    let providers = names.collect::<Vec<_>>().join(",");
    let sync = match config.ledger.sync {
        config::Sync::Os => "os",
        config::Sync::Disk => "disk",
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = file.as_deref().unwrap_or("none"),
        data = %config.folder.display(),
        address = %running.address,
        providers = providers.as_str(),
        keys = running.keys,
        sync,
        zone = config.timezone.as_str(),
        "gatekeeper started"
    );
}

/// Logs to standard error. `$GATEKEEPER_LOG` overrides the default filter, e.g. `debug` or `gatekeeper=debug`.
pub fn init_logging(default_filter: &str) {
    let filter = EnvFilter::try_from_env("GATEKEEPER_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("{default_filter},{QUIET_LIBRARIES}")));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    // fails if a test has set a subscriber, which is then kept
    let _already_set = subscriber.try_init();
}
