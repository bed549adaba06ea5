//! `gatekeeper apply` and `gatekeeper export`: organizations, teams, keys, budgets and limits as a TOML file. The server compares and
//! changes; here the file is read and written, and the plan shown.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::admin::ServerArgs;
use super::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::style::{Style, Tone};
use crate::cli::values::{cell, rows};
use crate::process;

#[derive(Clone, Debug, clap::Args)]
pub struct ApplyArgs {
    /// TOML file, as `gatekeeper export` writes it
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Show the plan, change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn apply(args: &ApplyArgs) -> Result<(), Failure> {
    let path = args.file.display();
    let text = fs::read_to_string(&args.file)
        .map_err(|error| Failure::usage(format!("failed to read {path}: {error}")))?;
    let mut state = parse(&text).map_err(|error| Failure::usage(format!("{path}: {error}")))?;
    state["dry_run"] = json!(args.dry_run);
    process::block_on(async {
        let plan = args.server.admin()?.post("/v1/state", &state).await?;
        if args.server.json {
            return print_json(&plan);
        }
        print(&render_plan(&plan, &args.server.style()))
    })
}

pub fn export(server: &ServerArgs) -> Result<(), Failure> {
    process::block_on(async {
        let state = server.admin()?.get("/v1/state").await?;
        if server.json {
            return print_json(&state);
        }
        print(&render_file(&state))
    })
}

/// The file as the body of the call. Metadata is a text of JSON, because TOML has no null.
fn parse(text: &str) -> Result<Value, String> {
    let mut state: Value = toml::from_str(text).map_err(|error| error.to_string())?;
    read_metadata(&mut state)?;
    Ok(state)
}

fn read_metadata(value: &mut Value) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(read_metadata),
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match member.as_str().filter(|_| name == "metadata") {
                    None => read_metadata(member)?,
                    Some(text) => {
                        let parsed = serde_json::from_str(text);
                        *member = parsed.map_err(|error| format!("invalid `metadata`: {error}"))?;
                    }
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn render_plan(plan: &Value, style: &Style) -> String {
    let (steps, dry_run) = (rows(&plan["steps"]), plan["dry_run"] == true);
    if steps.is_empty() {
        return "no change; everything is as the file says\n".to_owned();
    }
    let mut text = String::new();
    for step in steps {
        let (sign, tone) = match step["action"].as_str() {
            Some("create") => ("+", Tone::Good),
            _ => ("~", Tone::Warning),
        };
        let line = format!("{sign} {} {}", cell(&step["kind"]), cell(&step["name"]));
        // writing to a String cannot fail
        let _ = writeln!(text, "{}", style.paint(tone, &line));
        for (name, value) in step["detail"].as_object().into_iter().flatten() {
            text += &detail_line(name, value);
        }
    }
    let count = steps.len();
    let objects = if count == 1 { "object" } else { "objects" };
    let _ = match dry_run {
        true => writeln!(
            text,
            "\n{count} {objects} would change; nothing was changed"
        ),
        false => writeln!(text, "\n{count} {objects} changed"),
    };
    text + &secrets(plan)
}

/// Members that say nothing to a reader of the plan.
const HIDDEN: [&str; 5] = ["name", "organization", "team", "hint", "user"];

fn detail_line(name: &str, value: &Value) -> String {
    if HIDDEN.contains(&name) || is_default(value) {
        return String::new();
    }
    match (value.get("from"), value.get("to")) {
        (Some(from), Some(to)) => format!("    {name}  {} -> {}\n", short(from), short(to)),
        _ => format!("    {name}  {}\n", short(value)),
    }
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_default),
        _ => false,
    }
}

/// A value on one line, without ids and absent members.
fn short(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(short).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            let shown = members
                .iter()
                .filter(|(name, value)| *name != "id" && !value.is_null());
            let shown: Vec<String> = shown
                .map(|(name, value)| format!("{name} {}", short(value)))
                .collect();
            format!("({})", shown.join(" "))
        }
        _ => cell(value),
    }
}

fn secrets(plan: &Value) -> String {
    let keys = rows(&plan["keys"]);
    if keys.is_empty() {
        return String::new();
    }
    let lines: String = keys
        .iter()
        .map(|key| format!("  {}  {}\n", cell(&key["name"]), cell(&key["key"])))
        .collect();
    format!("\nNew keys, shown only now:\n{lines}")
}

/// The document as TOML: tables nested as organization, team, key.
fn render_file(state: &Value) -> String {
    let mut text = String::from(
        "# State of a gateway: `gatekeeper apply -f FILE` makes a gateway agree with it. Secrets and users are not in it.\n",
    );
    for organization in rows(&state["organizations"]) {
        table(&mut text, "organizations", organization);
        for team in rows(&organization["teams"]) {
            table(&mut text, "organizations.teams", team);
            for key in rows(&team["keys"]) {
                table(&mut text, "organizations.teams.keys", key);
            }
        }
    }
    text
}

/// One `[[path]]`; lists of tables below it are written by the caller.
fn table(text: &mut String, path: &str, object: &Value) {
    let _ = writeln!(text, "\n[[{path}]]");
    let empty = Map::new();
    let members = object.as_object().unwrap_or(&empty);
    let first = members.iter().filter(|(name, _)| *name == "name");
    let others = members
        .iter()
        .filter(|(name, _)| !["name", "teams", "keys"].contains(&name.as_str()));
    for (name, value) in first.chain(others) {
        let value = match name.as_str() {
            "metadata" => toml_text(&value.to_string()),
            _ => toml_value(value),
        };
        let _ = writeln!(text, "{name} = {value}");
    }
}

fn toml_value(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml_value).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{name} = {}", toml_value(value)))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::String(text) => toml_text(text),
        other => other.to_string(),
    }
}

/// A basic string: JSON's escapes are TOML's, but for DEL.
fn toml_text(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_of_a_document_reads_as_the_document() {
        let state = json!({"organizations": [{
            "name": "a \"b\" \\ c",
            "models": [],
            "teams": [{
                "name": "t",
                "metadata": {"x": null, "y": [1.5, "z\u{7f}"]},
                "budgets": [{"limit": "10", "period": "daily", "action": "warn"}],
                "keys": [{"name": "k", "disabled": true, "expires_at": "2027-01-31T00:00:00Z"}],
            }, {"name": "u"}],
        }, {"name": "empty"}]});
        let text = render_file(&state);
        assert_eq!(parse(&text), Ok(state), "{text}");
    }

    #[test]
    fn plan_shows_what_differs_and_secrets_once() {
        let plan = json!({"dry_run": false, "steps": [
            {"action": "create", "kind": "key", "name": "acme/t/k", "detail": {"name": "k", "hint": "abcd", "models": ["m"], "tags": []}},
            {"action": "change", "kind": "team", "name": "acme/t", "detail": {"budgets": {
                "from": [], "to": [{"id": "bud_1", "limit": "5", "period": "daily", "model": null}]}}},
        ], "keys": [{"name": "acme/t/k", "key": "sk-gk-k-x"}]});
        let text = render_plan(&plan, &Style::default());
        for part in [
            "+ key acme/t/k\n    models  m\n",
            "~ team acme/t\n    budgets  none -> (limit 5 period daily)\n",
            "2 objects changed",
            "acme/t/k  sk-gk-k-x",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("abcd"));
        let none = json!({"dry_run": true, "steps": [], "keys": []});
        assert!(render_plan(&none, &Style::default()).contains("no change"));
    }
}
