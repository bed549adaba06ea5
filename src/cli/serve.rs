//! `gatekeeper serve`: from the configuration to a running gateway, until somebody asks it to stop.

use tracing_subscriber::EnvFilter;

use super::signals::Signals;
use super::{Failure, SettingsArgs};
use crate::cli::data_dir;
use crate::cli::table::print;
use crate::config::{self, Config};
use crate::process::{self, Platform};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: SettingsArgs,
    /// The address to listen on; outweighs `listen` in the configuration
    #[arg(long, value_name = "ADDRESS", env = "GATEKEEPER_LISTEN")]
    listen: Option<String>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let told = config::Overrides {
        listen: args.listen,
        ..args.place.told()
    };
    let config = config::load(&told)?.config;
    data_dir::require_initialised(&config.folder)?;
    log("info");
    process::block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let mut signals = Signals::catch()?;
    let running = process::start(config, Platform::system()).await?;
    print(&format!(
        "gatekeeper listens on http://{}\n",
        running.address
    ))?;
    signals.until_stopped(running).await?;
    print("gatekeeper has stopped\n")
}

/// Events go to standard error; `$GATEKEEPER_LOG` chooses more or fewer, like `debug` or `gatekeeper=debug`.
pub fn log(usual: &str) {
    let filter =
        EnvFilter::try_from_env("GATEKEEPER_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    // somebody else's subscriber (a test's) is as good
    let _already_set = subscriber.try_init();
}
