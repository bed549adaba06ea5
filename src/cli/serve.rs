//! `gatekeeper serve`: loads the configuration, sets up logging and runs the gateway until a signal stops it. Requires an
//! initialized data folder.

use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use super::settings::SettingsArgs;
use super::signals::Signals;
use crate::cli::data_dir;
use crate::cli::table::print;
use crate::config::{self, Config};
use crate::process::{self, Platform};

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
    let config = config::load(&overrides)?.config;
    data_dir::require_initialized(&config.folder)?;
    init_logging("info");
    process::block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let mut signals = Signals::install()?;
    let running = process::start(config, Platform::system()).await?;
    print(&format!(
        "gatekeeper listens on http://{}\n",
        running.address
    ))?;
    signals.run_until_stopped(running).await?;
    print("gatekeeper has stopped\n")
}

/// Logs to standard error. `$GATEKEEPER_LOG` overrides the default filter, e.g. `debug` or `gatekeeper=debug`.
pub fn init_logging(default_filter: &str) {
    let filter = EnvFilter::try_from_env("GATEKEEPER_LOG")
        .unwrap_or_else(|_| EnvFilter::new(default_filter));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    // fails if a test has set a subscriber, which is then kept
    let _already_set = subscriber.try_init();
}
