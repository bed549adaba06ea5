//! `gatekeeper audit verify`: checks an export or a proof with nothing but its files, the public key and a kept checkpoint. Says which
//! checkpoint it trusted and what that covers.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::export::{CHECKPOINTS, EVENTS, PUBLIC_KEYS, START};
use crate::audit::checkpoint::notes;
use crate::audit::note::PublicKey;
use crate::audit::proof::InclusionProof;
use crate::audit::tree::Frontier;
use crate::audit::verify::{Coverage, Provenance, Verification, Verifier};
use crate::cli::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::domain::zone::Zone;

/// The log is not the one that was signed.
const EXIT_DIFFERS: u8 = 14;
const LINE_BYTES_MAX: usize = 64 << 20;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Folder of an export, or file of a proof
    #[arg(value_name = "FOLDER|FILE")]
    path: PathBuf,
    /// Checkpoint kept outside the server, several if given more than once: shows that nothing up to it was changed or dropped
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Public key kept outside the server, as `gatekeeper init` printed it [default: the one in the export]
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    if args.path.is_dir() {
        verify_export(&args)
    } else {
        verify_proof(&args)
    }
}

fn verify_export(args: &Args) -> Result<(), Failure> {
    let folder = &args.path;
    let keys = public_keys(
        args.public_key
            .as_deref()
            .unwrap_or(&folder.join(PUBLIC_KEYS)),
    )?;
    let start = start(&folder.join(START))?;
    let mut verifier = Verifier::new(keys, start, 1);
    for note in notes(&read(&folder.join(CHECKPOINTS))?) {
        verifier.add_checkpoint(Provenance::Own, note);
    }
    for file in &args.checkpoint {
        for note in notes(&read(file)?) {
            verifier.add_checkpoint(Provenance::Saved, note);
        }
    }
    read_events(&folder.join(EVENTS), &mut verifier)?;
    let result = verifier.finish();
    if args.json {
        print_json(&result.to_json())?;
    } else {
        print(&render(&result, args))?;
    }
    if result.is_intact() {
        return Ok(());
    }
    let message = "the log differs from the one that was signed";
    Err(Failure::mismatch(message, EXIT_DIFFERS))
}

/// Passes each line to the verifier, without its line feed.
fn read_events(path: &Path, verifier: &mut Verifier) -> Result<(), Failure> {
    let failed = |error: std::io::Error| unreadable(path, &error.to_string());
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return Ok(());
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(unreadable(path, "a line is longer than 64 MiB"));
        }
        verifier.event(line.strip_suffix(b"\n").unwrap_or(&line), |_, _, _| {});
    }
}

fn verify_proof(args: &Args) -> Result<(), Failure> {
    let Some(key_file) = &args.public_key else {
        return Err(Failure::usage(
            "missing --public-key: a proof is checked with the key that `gatekeeper init` printed",
        ));
    };
    let proof = InclusionProof::parse(&read(&args.path)?)
        .map_err(|error| unreadable(&args.path, &error.to_string()))?;
    let head = proof.verify(&public_keys(key_file)?).map_err(|error| {
        let message = format!("{} proves nothing: {error}", args.path.display());
        Failure::mismatch(message, EXIT_DIFFERS)
    })?;
    let seq = proof.index + 1;
    if args.json {
        let event: Value = serde_json::from_str(&proof.event).unwrap_or_default();
        return print_json(
            &json!({ "verified": true, "event": event, "seq": seq, "origin": head.origin, "size": head.size }),
        );
    }
    print(&format!(
        "{}\n\nverified: event {seq} of {}, in the log of {} events that its checkpoint signs\n",
        proof.event, head.origin, head.size
    ))
}

fn public_keys(path: &Path) -> Result<Vec<PublicKey>, Failure> {
    let text = read(path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys: Option<Vec<PublicKey>> = lines.map(PublicKey::parse).collect();
    match keys {
        Some(keys) if !keys.is_empty() => Ok(keys),
        _ => Err(unreadable(
            path,
            "it has no public key, such as `gatekeeper init` prints: gatekeeper/…+…+…",
        )),
    }
}

/// Tree before the first event; an export of the whole log needs none.
fn start(path: &Path) -> Result<Frontier, Failure> {
    if !path.exists() {
        return Ok(Frontier::default());
    }
    let tree: Value = serde_json::from_str(&read(path)?).unwrap_or_default();
    let peaks: Option<Vec<[u8; 32]>> = tree["peaks"].as_array().and_then(|peaks| {
        let peak = |peak: &Value| STANDARD.decode(peak.as_str()?).ok()?.try_into().ok();
        peaks.iter().map(peak).collect()
    });
    tree["size"]
        .as_u64()
        .zip(peaks)
        .and_then(|(size, peaks)| Frontier::new(size, peaks))
        .ok_or_else(|| unreadable(path, "it is not the start of an export"))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error.to_string()))
}

fn unreadable(path: &Path, reason: &str) -> Failure {
    Failure::runtime(format!("failed to read {}: {reason}", path.display()))
}

fn render(result: &Verification, args: &Args) -> String {
    let mut text = format!(
        "events       {} to {}, {} to {}\n",
        result.first,
        result.size,
        instant(result.first_ms),
        instant(result.last_ms)
    );
    match &result.newest {
        Some(head) => {
            text += &format!(
                "checkpoints  {} of the export match; the newest signs {} events of {}\n",
                result.checkpoints, head.size, head.origin
            );
        }
        None => text += "checkpoints  none of the export matches\n",
    }
    text += match &args.public_key {
        Some(_) => "public key   given with --public-key\n",
        None => {
            "public key   from the export itself; compare it with the one that `gatekeeper init` printed\n"
        }
    };
    for restore in &result.restores {
        text += &format!(
            "restore      event {} at {}: generation {} continues a backup of {} events\n",
            restore.event,
            instant(restore.at_ms),
            restore.generation,
            restore.event - 1
        );
    }
    text += &render_trust(result);
    for finding in &result.findings {
        text += &format!("DIFFERS      {}\n", finding.says);
    }
    if result.unlisted > 0 {
        text += &format!("DIFFERS      {} further differences\n", result.unlisted);
    }
    text + if result.is_intact() { "verified\n" } else { "" }
}

/// The kept checkpoints and what they cover.
fn render_trust(result: &Verification) -> String {
    if result.saved.is_empty() {
        return "trusted      no checkpoint kept outside the server (--checkpoint): that the newest events were not dropped \
                before the export is not shown\n"
            .to_owned();
    }
    let line = |(head, coverage): &(_, Coverage)| {
        let head: &crate::audit::checkpoint::Checkpoint = head;
        let covers = match coverage {
            Coverage::Unchanged => format!("events 1 to {} are complete and unchanged", head.size),
            Coverage::Restored { after } => format!(
                "a restore replaced what followed event {after}; up to there the log is compared with earlier checkpoints"
            ),
            Coverage::Broken => "the log does not contain the events that it signs".to_owned(),
            Coverage::BeforeStart => {
                "the export begins after it, so it shows nothing here".to_owned()
            }
        };
        format!(
            "trusted      kept checkpoint of {} events: {covers}\n",
            head.size
        )
    };
    let covered = result
        .saved
        .iter()
        .filter(|(_, coverage)| *coverage == Coverage::Unchanged);
    let covered = covered.map(|(head, _)| head.size).max().unwrap_or(0);
    let mut text: String = result.saved.iter().map(line).collect();
    if covered < result.size {
        text += &format!(
            "not covered  whether events were dropped after event {}: keep a newer checkpoint\n",
            covered.max(result.first - 1)
        );
    }
    text
}

fn instant(at_ms: u64) -> String {
    Zone::utc().rfc3339(at_ms)
}
