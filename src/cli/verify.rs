//! `gatekeeper verify`: what the running server thinks of a key. It never prints the key.

use std::io::Read;

use serde_json::{Value, json};

use super::Failure;
use super::admin::Reach;
use super::print::{self, budgets, cell, models, print};
use crate::server;

const KEY_BYTES_MAX: u64 = 4096;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The key, or - to read it from standard input (other users can see a command line)
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    key: String,
    #[command(flatten)]
    reach: Reach,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let key = if args.key == "-" { read_key()? } else { args.key };
    server::block_on(verify(key, args.reach))
}

fn read_key() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().take(KEY_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| Failure::refused(format!("standard input cannot be read: {error}")))?;
    Ok(text.trim().to_owned())
}

async fn verify(key: String, reach: Reach) -> Result<(), Failure> {
    let verdict = reach.admin()?.post("/v1/keys/verify", &json!({"key": key})).await?;
    if reach.json {
        print::json(&verdict)?;
    }
    if verdict["valid"] != true {
        return Err(Failure::refused(format!("the key is not valid: {}", cell(&verdict["reason"]))));
    }
    if reach.json { Ok(()) } else { print(&shown(&verdict)) }
}

fn shown(verdict: &Value) -> String {
    let key = &verdict["key"];
    if key["team"].is_null() {
        return format!(
            "valid: administrative key {} ({}); it administers and calls no models\n",
            cell(&key["name"]),
            cell(&key["id"])
        );
    }
    let may_call = match verdict["models"].as_array() {
        Some(names) if names.is_empty() => "none of the configured ones".to_owned(),
        _ => models(&verdict["models"]),
    };
    format!(
        "valid: key {} ({}) of team {}\n  may call  {may_call}\n  budgets   {}\n  expires   {}\n",
        cell(&key["name"]),
        cell(&key["id"]),
        cell(&key["team"]),
        budgets(&verdict["budgets"]),
        key["expires_at"].as_str().unwrap_or("never"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_key_is_told_with_what_it_may_call() {
        let verdict = json!({
            "valid": true, "reason": null, "key": {"id": "key_1", "name": "laptop", "team": "eng", "expires_at": null},
            "models": ["gpt-5.1"], "budgets": [{"limit": "10", "period": "total", "action": "block", "model": null, "remaining": "9"}],
        });
        let text = shown(&verdict);
        assert_eq!(
            text,
            "valid: key laptop (key_1) of team eng\n  may call  gpt-5.1\n  budgets   $10 total, $9 left\n  expires   never\n"
        );
        assert!(shown(&json!({"valid": true, "key": {"id": "adm_1", "name": "ops"}})).contains("administrative key ops"));
    }
}
