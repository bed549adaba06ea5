//! `gatekeeper import litellm-keys`: LiteLLM's virtual keys become keys of the running server, with the hashes of their secrets, names,
//! teams, budgets, spend and ends. A key that was imported before is left as it is, so that the command can be repeated.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::input::read;
use super::litellm_key::{self, KeyReader, KeyRow, LitellmKey};
use crate::cli::admin::{AdminClient, ServerArgs};
use crate::cli::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::parse::expiry;
use crate::cli::values::cell;
use crate::domain::clock::{Clock, SystemClock};

/// 100,000 keys.
const FILE_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Reasons shown; the summary counts all.
const REASONS_SHOWN: usize = 50;

#[derive(Clone, Debug, clap::Args)]
pub struct LitellmKeysArgs {
    /// Rows of LiteLLM's table of keys: JSON lines, an array, or an answer of its `/key/list`
    file: PathBuf,
    /// Team of the keys that have none
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// Latest end of every key: 90d, 12h or an instant such as 2026-12-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    expires: Option<String>,
    /// Show what would be imported, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Counts for the summary.
#[derive(Debug, Default)]
struct Report {
    imported: usize,
    present: usize,
    left_out: usize,
    teams: Vec<String>,
    /// key and reason
    reasons: Vec<(String, String)>,
}

pub async fn run(args: LitellmKeysArgs) -> Result<(), Failure> {
    let export = Export::parse(&read(&args.file, FILE_BYTES_MAX)?)
        .map_err(|cause| Failure::runtime(format!("{}: {cause}", args.file.display())))?;
    let master_key = std::env::var("LITELLM_MASTER_KEY").ok();
    let reader = KeyReader::new(master_key.as_deref(), SystemClock { boot: None }.wall_ms());
    let mut importer = Importer {
        admin: args.server.admin()?,
        args: &args,
        teams: Vec::new(),
        report: Report::default(),
    };
    importer.teams = importer.admin.list("/v1/teams").await?;
    for row in &export.keys {
        let label = label(row);
        match reader.read(row) {
            KeyRow::LeftOut(reason) => importer.report.leave_out(label, reason),
            KeyRow::Import(key) => importer.import(*key, label, &export.teams).await?,
        }
    }
    importer.report.show(&args)
}

/// Keys and teams of an export.
struct Export {
    keys: Vec<Value>,
    teams: Vec<Value>,
}

impl Export {
    fn parse(text: &str) -> Result<Export, String> {
        let mut keys = Vec::new();
        let mut teams = Vec::new();
        for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
            // the error of the parser repeats no text
            let document = document.map_err(|error| {
                format!(
                    "invalid JSON at line {}; export the rows as JSON",
                    error.line()
                )
            })?;
            match document {
                Value::Array(rows) => keys.extend(rows),
                Value::Object(mut members) if members.contains_key("keys") => {
                    for (name, rows) in [("keys", &mut keys), ("teams", &mut teams)] {
                        if let Some(Value::Array(found)) = members.remove(name) {
                            rows.extend(found);
                        }
                    }
                }
                row => keys.push(row),
            }
        }
        if keys.iter().any(|row| !row.is_object()) {
            return Err(
                "keys without their members; ask LiteLLM for `/key/list?return_full_object=true`"
                    .to_owned(),
            );
        }
        Ok(Export { keys, teams })
    }
}

/// Name for messages: never the token.
fn label(row: &Value) -> String {
    let names = ["key_alias", "key_name"];
    let name = names
        .iter()
        .find_map(|name| row[*name].as_str())
        .unwrap_or("a key without a name");
    name.chars().take(64).collect()
}

struct Importer<'a> {
    admin: AdminClient,
    args: &'a LitellmKeysArgs,
    /// of the server
    teams: Vec<Value>,
    report: Report,
}

impl Importer<'_> {
    async fn import(
        &mut self,
        mut key: LitellmKey,
        label: String,
        teams: &[Value],
    ) -> Result<(), Failure> {
        let of_team = |id: &str| {
            teams
                .iter()
                .find(|team| team["team_id"] == id || team["team_alias"] == id)
        };
        let row = key.team.as_deref().and_then(of_team);
        let alias = row
            .and_then(|row| row["team_alias"].as_str())
            .map(str::to_owned);
        let Some(team) = alias.or(key.team.take()).or(self.args.team.clone()) else {
            let reason = "no team; name one with --team".to_owned();
            self.report.leave_out(label, reason);
            return Ok(());
        };
        self.report
            .reasons
            .extend(key.remarks.drain(..).map(|remark| (label.clone(), remark)));
        if let Some(end) = &self.args.expires {
            key.body["expires"] = earlier(&key.body["expires"], end);
        }
        if self.args.dry_run {
            self.report.imported += 1;
            return Ok(());
        }
        key.body["team"] = self.team(&team, row).await?;
        self.post(key.body, label).await
    }

    /// Id of the team, which is created if it is missing.
    async fn team(&mut self, name: &str, row: Option<&Value>) -> Result<Value, Failure> {
        let known = |team: &&Value| team["name"] == name || team["id"] == name;
        if let Some(team) = self.teams.iter().find(known) {
            return Ok(team["id"].clone());
        }
        let mut body = json!({ "name": name });
        if let Some(row) = row {
            let mut remarks = Vec::new();
            body["budgets"] = litellm_key::budgets(row, &mut remarks);
            self.report.reasons.extend(
                remarks
                    .into_iter()
                    .map(|remark| (format!("team {name}"), remark)),
            );
        }
        let team = self.admin.post("/v1/teams", &body).await?;
        self.report.teams.push(name.to_owned());
        let id = team["id"].clone();
        self.teams.push(team);
        Ok(id)
    }

    async fn post(&mut self, mut body: Value, label: String) -> Result<(), Failure> {
        let first = self.send(&body).await?;
        let answer = match first {
            // the name is taken by a key with another secret
            (409, error) if error["param"] == "name" => {
                let digits = cell(&body["sha256"]);
                let name: String = cell(&body["name"]).chars().take(55).collect();
                body["name"] = json!(format!("{name}-{}", &digits[..8]));
                self.send(&body).await?
            }
            answer => answer,
        };
        match answer {
            (200..300, _) => self.report.imported += 1,
            (409, error) if error["param"] == "sha256" && is_of_key(&error) => {
                self.report.present += 1
            }
            (_, error) => self.report.leave_out(label, cell(&error["message"])),
        }
        Ok(())
    }

    /// Status, and the error of a refusal.
    async fn send(&self, body: &Value) -> Result<(u16, Value), Failure> {
        let sent = self
            .admin
            .call("POST", "/v1/keys/import", Some(body.to_string()))
            .await;
        let (status, text) = sent.map_err(|error| Failure::runtime(error.to_string()))?;
        if matches!(status, 401 | 403) {
            let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
            return Err(Failure::runtime(cell(&answer["error"]["message"])));
        }
        let mut answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok((status, answer["error"].take()))
    }
}

/// A key of the server has the secret, not an administrator.
fn is_of_key(error: &Value) -> bool {
    error["message"]
        .as_str()
        .is_some_and(|message| message.starts_with("key_"))
}

/// The earlier of an instant and the end that a flag sets.
fn earlier(own: &Value, end: &str) -> Value {
    use crate::domain::zone::Zone;
    let own_ms = own.as_str().and_then(Zone::parse_rfc3339);
    let end_ms = Zone::parse_rfc3339(end).or_else(|| {
        let at_ms = SystemClock { boot: None }.wall_ms();
        Some(at_ms + duration_ms(end)?)
    });
    match (own_ms, end_ms) {
        (Some(own_ms), Some(end_ms)) if own_ms <= end_ms => own.clone(),
        _ => json!(end),
    }
}

/// `90d`, `12h`, `30m`.
fn duration_ms(text: &str) -> Option<u64> {
    let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit_ms = match unit {
        "d" => 86_400_000,
        "h" => 3_600_000,
        "m" => 60_000,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(unit_ms)
}

impl Report {
    fn leave_out(&mut self, label: String, reason: String) {
        self.left_out += 1;
        self.reasons.push((label, reason));
    }

    fn show(&self, args: &LitellmKeysArgs) -> Result<(), Failure> {
        if args.server.json {
            let reasons = self
                .reasons
                .iter()
                .map(|(key, reason)| json!({ "key": key, "reason": reason }));
            return print_json(&json!({
                "imported": self.imported,
                "present": self.present,
                "left_out": self.left_out,
                "teams_created": self.teams,
                "dry_run": args.dry_run,
                "remarks": reasons.collect::<Vec<_>>(),
            }));
        }
        let mut text = String::new();
        for (key, reason) in self.reasons.iter().take(REASONS_SHOWN) {
            text += &format!("{key}: {reason}\n");
        }
        if self.reasons.len() > REASONS_SHOWN {
            text += &format!("and {} more\n", self.reasons.len() - REASONS_SHOWN);
        }
        for team in &self.teams {
            text += &format!("created team {team}\n");
        }
        let verb = if args.dry_run {
            "to import"
        } else {
            "imported"
        };
        text += &format!(
            "{} keys {verb}, {} imported before, {} left out\n",
            self.imported, self.present, self.left_out
        );
        print(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn litellm_export_is_an_array_lines_or_an_answer() {
        for text in [
            r#"[{"token":"a"},{"token":"b"}]"#,
            "{\"token\":\"a\"}\n{\"token\":\"b\"}\n",
            r#"{"keys":[{"token":"a"},{"token":"b"}],"total_count":2}"#,
        ] {
            assert_eq!(
                Export::parse(text).expect("an export").keys.len(),
                2,
                "{text}"
            );
        }
        assert!(Export::parse(r#"{"keys":["a"]}"#).is_err());
        assert!(Export::parse("{").is_err());
    }

    #[test]
    fn litellm_key_ends_at_the_earlier_of_two_ends() {
        let own = json!("2030-01-01T00:00:00Z");
        assert_eq!(earlier(&own, "2031-01-01T00:00:00Z"), own);
        assert_eq!(earlier(&own, "1d"), json!("1d"));
        assert_eq!(earlier(&Value::Null, "90d"), json!("90d"));
    }
}
