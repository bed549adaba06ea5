//! `gatekeeper verify`: what the running server thinks of a key. It never prints the key.

use std::io::Read;

use serde_json::{Value, json};

use super::Failure;
use super::admin::ServerArgs;
use crate::cli::table;
use crate::cli::table::{budgets, cell, limits, print};
use crate::process;

const KEY_BYTES_MAX: u64 = 4096;
const MODELS_SHOWN: usize = 20;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The key, or - to read it from standard input (other users can see a command line)
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    key: String,
    #[command(flatten)]
    reach: ServerArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let key = if args.key == "-" {
        read_key()?
    } else {
        args.key
    };
    process::block_on(verify(key, args.reach))
}

fn read_key() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin()
        .take(KEY_BYTES_MAX)
        .read_to_string(&mut text);
    read.map_err(|error| Failure::refused(format!("standard input cannot be read: {error}")))?;
    Ok(text.trim().to_owned())
}

async fn verify(key: String, reach: ServerArgs) -> Result<(), Failure> {
    let verdict = reach
        .admin()?
        .post("/v1/keys/verify", &json!({"key": key}))
        .await?;
    if reach.json {
        table::json(&verdict)?;
    }
    if verdict["valid"] != true {
        return Err(Failure::refused(format!(
            "the key is refused: {} ({})",
            cell(&verdict["message"]),
            cell(&verdict["code"])
        )));
    }
    if reach.json {
        Ok(())
    } else {
        print(&shown(&verdict))
    }
}

fn shown(verdict: &Value) -> String {
    if verdict["kind"] == "administrative" {
        return format!(
            "valid: administrative key {}; it administers and calls no models\n",
            cell(&verdict["admin_key"])
        );
    }
    let key = &verdict["key"];
    let above = verdict["above"]
        .as_array()
        .map(|above| above.iter().map(above_it).collect::<String>())
        .unwrap_or_default();
    format!(
        "valid: key {} ({}) of team {}\n  may call  {}\n  budgets   {}\n  limits    {}\n{above}  expires   {}\n",
        cell(&key["name"]),
        cell(&key["id"]),
        cell(&verdict["team_name"]),
        may_call(&verdict["models"]),
        budgets(&key["budgets"]),
        limits(&key["limits"]),
        key["expires_at"].as_str().unwrap_or("never"),
    )
}

/// `above     eng (team_2): $10 monthly, $9 left; limits none`
fn above_it(owner: &Value) -> String {
    let (name, id) = (cell(&owner["name"]), cell(&owner["owner"]));
    format!(
        "  above     {name} ({id}): {}; limits {}\n",
        budgets(&owner["budgets"]),
        limits(&owner["limits"])
    )
}

/// The configured models that the key may call, as far as a person reads on.
fn may_call(models: &Value) -> String {
    let names: Vec<String> = models.as_array().into_iter().flatten().map(cell).collect();
    match names.len() {
        0 => "none of the configured models".to_owned(),
        1..=MODELS_SHOWN => names.join(", "),
        count => format!("{}, … ({count} models)", names[..MODELS_SHOWN].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_key_is_told_with_what_it_may_call() {
        let budget = json!({"limit": "10", "period": "total", "action": "block", "model": null, "remaining": "9"});
        let key = json!({"id": "key_1", "name": "laptop", "team": "team_1", "expires_at": null, "budgets": [budget]});
        let mut verdict = json!({"valid": true, "kind": "virtual", "key": key, "team_name": "eng", "models": ["gpt-5.1"]});
        let text = shown(&verdict);
        assert_eq!(
            text,
            "valid: key laptop (key_1) of team eng\n  may call  gpt-5.1\n  budgets   $10 total, $9 left\n  limits    none\n  expires   never\n"
        );
        let monthly = json!([{"limit": "5", "period": "monthly", "remaining": "1", "resets_at": "2026-12-01T00:00:00Z"}]);
        verdict["above"] =
            json!([{"owner": "team_2", "name": "eng", "budgets": monthly, "limits": []}]);
        let above = "  above     eng (team_2): $5 monthly, $1 left until 2026-12-01T00:00:00Z; limits none\n";
        assert!(shown(&verdict).contains(above), "{}", shown(&verdict));
        let administrative =
            json!({"valid": true, "kind": "administrative", "admin_key": "adm_1", "models": []});
        assert!(shown(&administrative).contains("administrative key adm_1"));
    }

    #[test]
    fn many_models_are_counted() {
        assert!(may_call(&Value::from_iter(["m"; 900])).ends_with("m, … (900 models)"));
        assert_eq!(may_call(&json!([])), "none of the configured models");
    }
}
