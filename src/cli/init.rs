//! `gatekeeper init`: creates the data folder and prints its administrative key, once. Must never change a folder that
//! contains anything.

use super::failure::Failure;
use super::settings::SettingsArgs;
use crate::cli::data_dir;
use crate::cli::output::print;
use crate::config;
use crate::process::{self, Platform};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let config = config::load_base(&args.settings.overrides())?.config;
    let folder = config.folder.display();
    if data_dir::is_initialized(&config.folder) {
        return Err(Failure::runtime(format!(
            "data folder {folder} already initialized; start the server with `gatekeeper serve`, and create another administrative key \
             with `gatekeeper keys create --admin --name NAME`"
        )));
    }
    data_dir::create(&config.folder)?;
    let created = process::block_on(process::init(&config, Platform::system()))?;
    let (key, audit_key) = (created.admin_key.expose(), created.audit_key);
    print(&format!(
        "\
Data folder {folder} created. Its administrative key is shown only now:

  {key}

The key administers the gateway and cannot call models.

This public key signs the audit log. Keep it on another machine, where `gatekeeper audit verify` checks the log:

  {audit_key}

Next:
  1. gatekeeper serve
  2. gatekeeper providers add openai --key-stdin   (or a section [providers.NAME] in gatekeeper.toml; gatekeeper check)
  3. gatekeeper keys create --team eng --budget '$10' --expires 7d
"
    ))
}
