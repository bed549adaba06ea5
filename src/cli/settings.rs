//! Flags shared by the commands that read the configuration: file and data folder.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::Overrides;
use crate::process::ADMIN_SOCKET;

/// Data folder of the demo, unless it is started with another.
pub const DEMO_FOLDER: &str = "gatekeeper-demo";

/// Configuration file and data folder.
#[derive(Clone, Debug, Args)]
pub struct SettingsArgs {
    /// Configuration file [default: ./gatekeeper.toml, else /etc/gatekeeper/gatekeeper.toml]
    #[arg(long, value_name = "FILE", env = "GATEKEEPER_CONFIG")]
    config: Option<PathBuf>,
    /// Data folder; overrides `data` in the configuration
    #[arg(long, value_name = "FOLDER", env = "GATEKEEPER_DATA")]
    data: Option<PathBuf>,
}

impl SettingsArgs {
    /// True if the file or the data folder was named.
    pub fn is_named(&self) -> bool {
        self.config.is_some() || self.data.is_some()
    }

    /// The demo's data folder in the current folder, where no other is named, the configured one has no server and the demo runs.
    pub fn demo_folder(&self, configured: &Path) -> Option<PathBuf> {
        let has_server = |folder: &Path| folder.join(ADMIN_SOCKET).exists();
        let demo = PathBuf::from(DEMO_FOLDER);
        (!self.is_named() && !has_server(configured) && has_server(&demo)).then_some(demo)
    }

    pub fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            data: self.data.clone(),
            listen: None,
        }
    }
}
