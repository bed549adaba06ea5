//! `gatekeeper verify`: shows the status and permissions of a key on the running server. Must never print the key.

use std::io::Read;

use serde_json::{Value, json};

use super::admin::ServerArgs;
use super::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::style::Style;
use crate::cli::values::{budgets, cell, limits};
use crate::process;

const KEY_BYTES_MAX: u64 = 4096;
const MODELS_SHOWN: usize = 20;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Key, or - to read it from standard input (other users can see the command line)
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    key: String,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let key = if args.key == "-" {
        read_key()?
    } else {
        args.key
    };
    process::block_on(verify(key, args.server))
}

fn read_key() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin()
        .take(KEY_BYTES_MAX)
        .read_to_string(&mut text);
    read.map_err(|error| Failure::runtime(format!("failed to read standard input: {error}")))?;
    Ok(text.trim().to_owned())
}

async fn verify(key: String, server: ServerArgs) -> Result<(), Failure> {
    let status = server
        .admin()?
        .post("/v1/keys/verify", &json!({"key": key}))
        .await?;
    if server.json {
        print_json(&status)?;
    }
    if status["valid"] != true {
        return Err(Failure::runtime(format!(
            "key refused: {} ({})",
            cell(&status["message"]),
            cell(&status["code"])
        )));
    }
    if server.json {
        Ok(())
    } else {
        print(&render_status(&status, &server.style()))
    }
}

fn render_status(status: &Value, style: &Style) -> String {
    if status["kind"] == "administrative" {
        return format!(
            "valid: administrative key {}; it cannot call models\n",
            cell(&status["admin_key"])
        );
    }
    let key = &status["key"];
    let owners = status["above"]
        .as_array()
        .map(|owners| {
            owners
                .iter()
                .map(|owner| render_owner(owner, style))
                .collect::<String>()
        })
        .unwrap_or_default();
    format!(
        "valid: key {} ({}) of team {}\n  may call  {}\n  budgets   {}\n  limits    {}\n{owners}  expires   {}\n",
        cell(&key["name"]),
        cell(&key["id"]),
        cell(&status["team_name"]),
        render_models(&status["models"]),
        budgets(&key["budgets"], style),
        limits(&key["limits"]),
        expires(&key["expires_at"], style),
    )
}

fn expires(at: &Value, style: &Style) -> String {
    match at {
        Value::Null => "never".to_owned(),
        at => style.date(at),
    }
}

/// Renders `above     eng (team_2): $10.00/month, $9.00 left; limits none`.
fn render_owner(owner: &Value, style: &Style) -> String {
    let (name, id) = (cell(&owner["name"]), cell(&owner["owner"]));
    format!(
        "  above     {name} ({id}): {}; limits {}\n",
        budgets(&owner["budgets"], style),
        limits(&owner["limits"])
    )
}

/// Renders the first configured models that the key may call.
fn render_models(models: &Value) -> String {
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
    fn valid_key_is_rendered_with_models_budgets_and_owners() {
        let budget = json!({"limit": "10", "period": "total", "action": "block", "model": null, "remaining": "9"});
        let key = json!({"id": "key_1", "name": "laptop", "team": "team_1", "expires_at": null, "budgets": [budget]});
        let mut status = json!({"valid": true, "kind": "virtual", "key": key, "team_name": "eng", "models": ["gpt-5.1"]});
        let text = render_status(&status, &Style::default());
        assert_eq!(
            text,
            "valid: key laptop (key_1) of team eng\n  may call  gpt-5.1\n  budgets   $10.00 total, $9.00 left\n  limits    none\n  expires   never\n"
        );
        let monthly = json!([{"limit": "5", "period": "monthly", "remaining": "1", "resets_at": "2026-12-01T00:00:00Z"}]);
        status["above"] =
            json!([{"owner": "team_2", "name": "eng", "budgets": monthly, "limits": []}]);
        let above = "  above     eng (team_2): $5.00/month, $1.00 left until 1 Dec 2026 00:00 UTC; limits none\n";
        assert!(
            render_status(&status, &Style::default()).contains(above),
            "{}",
            render_status(&status, &Style::default())
        );
        let administrative =
            json!({"valid": true, "kind": "administrative", "admin_key": "adm_1", "models": []});
        assert!(
            render_status(&administrative, &Style::default()).contains("administrative key adm_1")
        );
    }

    #[test]
    fn models_beyond_the_display_limit_are_counted() {
        assert!(render_models(&Value::from_iter(["m"; 900])).ends_with("m, … (900 models)"));
        assert_eq!(render_models(&json!([])), "none of the configured models");
    }
}
