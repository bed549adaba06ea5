//! `gatekeeper completions`: prints a completion script for a shell.

use clap::Command;

use super::failure::Failure;
use crate::cli::output::print;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
For bash:  gatekeeper completions bash > ~/.local/share/bash-completion/completions/gatekeeper
For zsh:   gatekeeper completions zsh > ~/.zfunc/_gatekeeper
For fish:  gatekeeper completions fish > ~/.config/fish/completions/gatekeeper.fish")]
pub struct Args {
    /// Shell
    shell: Shell,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub fn run(args: &Args, mut command: Command) -> Result<(), Failure> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "gatekeeper", &mut script);
    print(&String::from_utf8_lossy(&script))
}
