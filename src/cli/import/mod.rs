//! `gatekeeper import`: takes over the configuration and the keys of another gateway. Must never print a secret.

mod deployment;
mod input;
mod litellm;
mod litellm_key;
mod litellm_keys;
mod rates;
mod reader;
mod remarks;
mod toml_file;
mod yaml;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::failure::Failure;
use crate::cli::import::input::read;
use crate::cli::output::print;
use crate::process;

const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Translate LiteLLM's config.yaml into gatekeeper.toml, and list what has no counterpart
    Litellm(LitellmArgs),
    /// Take over LiteLLM's virtual keys by the hashes of their secrets; clients keep their keys
    LitellmKeys(litellm_keys::LitellmKeysArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct LitellmArgs {
    /// LiteLLM's configuration, such as config.yaml
    file: PathBuf,
    /// File to write; without it the translation is printed
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit with 1 if anything could not be translated
    #[arg(long)]
    strict: bool,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Litellm(args) => translate(&args),
        Command::LitellmKeys(args) => process::block_on(litellm_keys::run(args)),
    }
}

fn translate(args: &LitellmArgs) -> Result<(), Failure> {
    let text = read(&args.file, FILE_BYTES_MAX)?;
    let translated = litellm::translate(&text).map_err(|(line, cause)| {
        Failure::runtime(format!("{}:{line}: {cause}", args.file.display()))
    })?;
    match &args.out {
        Some(path) => write(path, &translated.toml)?,
        None => print(&translated.toml)?,
    }
    let remarks: Vec<String> = translated
        .remarks
        .iter()
        .map(|remark| format!("{}:{}: {}", args.file.display(), remark.line, remark.text))
        .collect();
    for remark in &remarks {
        eprintln!("{remark}");
    }
    eprintln!(
        "{} providers, {} routes, {} remarks",
        translated.providers,
        translated.routes,
        remarks.len()
    );
    if args.strict && !remarks.is_empty() {
        return Err(Failure::runtime("not everything could be translated"));
    }
    Ok(())
}

/// Writes a new file; an existing one is never replaced.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let written =
        std::fs::File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        Failure::runtime(format!(
            "{}: failed to write the file ({error}); name one that does not exist",
            path.display()
        ))
    })
}
