//! `gatekeeper doctor`: examines what an instance needs of its machine and its network, one line per check with a remedy. May run
//! while the server runs; must never change the books, call a model or print a secret.

mod destinations;
mod finding;
mod machine;
mod server;

use super::failure::Failure;
use super::price_sheet;
use super::settings::SettingsArgs;
use crate::cli::output::{print, print_json};
use crate::cli::style::OutputArgs;
use crate::config::{self, LoadedConfig};
use crate::process;
use finding::{Finding, Findings};

/// Exit code if a check found a fault. Warnings leave it at 0.
const EXIT_FAULT: u8 = 15;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Examine this machine only; open no connection to another
    #[arg(long)]
    offline: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let mut loaded = config::load(&args.settings.overrides())?;
    let demo = args.settings.demo_folder(&loaded.config.folder);
    let is_demo = demo.is_some();
    loaded.config.folder = demo.unwrap_or(loaded.config.folder);
    let findings = process::block_on(examine(loaded, is_demo, args.offline));
    if args.json {
        print_json(&findings.to_json())?;
    } else {
        print(&findings.render(&args.output.style()))?;
    }
    match findings.faults() {
        0 => Ok(()),
        1 => Err(Failure::mismatch("doctor: 1 check failed", EXIT_FAULT)),
        count => Err(Failure::mismatch(
            format!("doctor: {count} checks failed"),
            EXIT_FAULT,
        )),
    }
}

/// The demo has no configuration file, and its provider runs in its own process.
async fn examine(loaded: LoadedConfig, is_demo: bool, offline: bool) -> Findings {
    let config = &loaded.config;
    let mut findings = Findings::default();
    findings.add(match is_demo {
        true => Finding::ok("configuration", "the demo's own"),
        false => configuration(&loaded),
    });
    let sheet = price_sheet::in_force(&config.folder).await;
    findings.extend(machine::examine(config, &sheet.as_of));
    findings.extend(server::examine(config).await);
    if !offline && !is_demo {
        findings.extend(destinations::examine(config).await);
    }
    findings
}

fn configuration(loaded: &LoadedConfig) -> Finding {
    let file = loaded.file.as_deref();
    let file = file.map_or("no file; defaults apply".to_owned(), |file| {
        file.display().to_string()
    });
    Finding::ok("configuration", file)
}
