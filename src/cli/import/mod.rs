//! `gatekeeper import`: translates the configuration of another gateway. Reads and writes local files alone; must never print a secret.

mod deployment;
mod litellm;
mod rates;
mod remarks;
mod toml_file;
mod yaml;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::failure::Failure;
use crate::cli::output::print;

const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Translate LiteLLM's config.yaml into gatekeeper.toml, and list what has no counterpart
    Litellm(LitellmArgs),
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
    let Command::Litellm(args) = command;
    let translated = litellm::translate(&read(&args.file)?).map_err(|(line, cause)| {
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

fn read(path: &Path) -> Result<String, Failure> {
    use std::io::Read;
    let mut text = String::new();
    let failed = |cause: String| Failure::runtime(format!("{}: {cause}", path.display()));
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| failed(format!("failed to read the file ({error}); check its path")))?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(failed("file larger than 4 MiB; check the path".to_owned()));
    }
    Ok(text)
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
