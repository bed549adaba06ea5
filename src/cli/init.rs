//! `gatekeeper init`: creates the data folder and prints its administrative key, once. It never touches a folder that has
//! books or anything else in it.

use super::{Failure, SettingsArgs};
use crate::cli::data_dir;
use crate::cli::table::print;
use crate::config;
use crate::process;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: SettingsArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let config = config::load_base(&args.place.told())?.config;
    let shown = config.folder.display();
    if data_dir::is_initialised(&config.folder) {
        return Err(Failure::refused(format!(
            "the data folder {shown} is initialised already; start it with `gatekeeper serve`, and make a further administrative key \
             with `gatekeeper keys create --admin --name NAME`"
        )));
    }
    data_dir::create(&config.folder)?;
    let key = process::block_on(process::init(&config))?;
    let key = key.expose();
    print(&format!(
        "\
The data folder {shown} is ready. This is its administrative key; it is shown only now:

  {key}

It administers and cannot call models. Next:
  1. name a provider in gatekeeper.toml:   [providers.NAME], api_key = \"env:VARIABLE\"
  2. gatekeeper check
  3. gatekeeper serve
  4. gatekeeper keys create --team eng --budget '$10' --expires 7d
"
    ))
}
