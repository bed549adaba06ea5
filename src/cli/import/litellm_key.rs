//! One key of LiteLLM's table of virtual keys as the body of `POST /v1/keys/import`. A row that must not or cannot be taken over is left
//! out with its reason. No reason repeats a value that may be a secret.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::domain::zone::Zone;

/// Aliases under which LiteLLM lists its own master key.
const MASTER_ALIASES: [&str; 2] = ["litellm_proxy_master_key", "LITELLM_PROXY_MASTER_KEY"];
/// Team of the sessions of LiteLLM's user interface.
const INTERFACE_TEAM: &str = "litellm-dashboard";
/// Master key of LiteLLM's examples.
const EXAMPLE_MASTER_KEY: &str = "sk-1234";
/// Settings of a key without a counterpart.
const UNKNOWN: [&str; 5] = [
    "aliases",
    "config",
    "permissions",
    "allowed_routes",
    "allowed_cache_controls",
];
const NAME_CHARS_MAX: usize = 64;
const HINT_CHARS: usize = 4;

/// Result of reading a row.
#[derive(Debug, PartialEq)]
pub(super) enum KeyRow {
    Import(Box<LitellmKey>),
    /// left out, with the reason
    LeftOut(String),
}

/// A key to take over.
#[derive(Debug, PartialEq)]
pub(super) struct LitellmKey {
    /// body of the call; the caller adds the team
    pub body: Value,
    /// name or id of the team in LiteLLM
    pub team: Option<String>,
    /// settings without a counterpart
    pub remarks: Vec<String>,
}

/// Reader of rows.
pub(super) struct KeyReader {
    /// SHA-256 of master keys, as hexadecimal digits
    pub master_hashes: Vec<String>,
    pub now_ms: u64,
}

impl KeyReader {
    /// Knows the master key of LiteLLM's examples, and the one given.
    pub fn new(master_key: Option<&str>, now_ms: u64) -> KeyReader {
        let keys = [Some(EXAMPLE_MASTER_KEY), master_key];
        KeyReader {
            master_hashes: keys.into_iter().flatten().map(sha256).collect(),
            now_ms,
        }
    }

    pub fn read(&self, row: &Value) -> KeyRow {
        self.parse(row).unwrap_or_else(KeyRow::LeftOut)
    }

    fn parse(&self, row: &Value) -> Result<KeyRow, String> {
        let alias = text(row, "key_alias");
        let token = text(row, "token").ok_or("no member `token`")?;
        let hash = match token.starts_with("sk-") {
            true => sha256(token),
            false => token.to_ascii_lowercase(),
        };
        if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("`token` is no SHA-256".to_owned());
        }
        if self.master_hashes.contains(&hash) || alias.is_some_and(|a| MASTER_ALIASES.contains(&a))
        {
            return Err("the master key is never imported".to_owned());
        }
        if text(row, "team_id") == Some(INTERFACE_TEAM) {
            return Err("a session of LiteLLM's user interface".to_owned());
        }
        let expires = text(row, "expires").map(instant).transpose()?;
        if expires
            .as_ref()
            .is_some_and(|(_, at_ms)| *at_ms <= self.now_ms)
        {
            return Err("expired".to_owned());
        }
        let mut remarks = Vec::new();
        let hint = hint(row);
        let mut body = json!({
            "sha256": hash,
            "hint": hint,
            "name": name(alias, &hint, &hash),
            "models": models(row),
            "budgets": budgets(row, &mut remarks),
            "disabled": row["blocked"] == true,
        });
        if let Some((at, _)) = expires {
            body["expires"] = json!(at);
        }
        if let Some(spent) = amount(&row["spend"]) {
            body["spent_usd"] = json!(spent);
        }
        add_limits(&mut body, row);
        note_unknown(row, &mut remarks);
        let team = text(row, "team_alias").or(text(row, "team_id"));
        Ok(KeyRow::Import(Box::new(LitellmKey {
            body,
            team: team.map(str::to_owned),
            remarks,
        })))
    }
}

fn add_limits(body: &mut Value, row: &Value) {
    let limits = [
        ("rpm_limit", "rpm"),
        ("tpm_limit", "tpm"),
        ("max_parallel_requests", "max_parallel"),
    ];
    for (theirs, ours) in limits {
        if let Some(limit) = row[theirs].as_u64().filter(|limit| *limit > 0) {
            body[ours] = json!(limit.min(u64::from(u32::MAX)));
        }
    }
}

/// Notes settings without a counterpart.
fn note_unknown(row: &Value, remarks: &mut Vec<String>) {
    let is_set = |value: &Value| match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    let unknown = UNKNOWN.iter().filter(|name| is_set(&row[**name]));
    remarks.extend(unknown.map(|name| format!("{name} has no counterpart")));
}

/// Budgets of a key or a team: the hard one, the soft one as a warning, and those of single models.
pub(super) fn budgets(row: &Value, remarks: &mut Vec<String>) -> Value {
    let table = &row["litellm_budget_table"];
    let member = |name: &str| match &row[name] {
        Value::Null => table[name].clone(),
        own => own.clone(),
    };
    let period = period(text_of(&member("budget_duration")), remarks);
    let mut budgets = Vec::new();
    for (name, action) in [("max_budget", "block"), ("soft_budget", "warn")] {
        if let Some(limit) = amount(&member(name)) {
            budgets.push(json!({ "limit": limit, "period": period, "action": action }));
        }
    }
    let of_models = member("model_max_budget");
    for (model, terms) in of_models.as_object().unwrap_or(&Map::new()) {
        let limit = amount(terms).or_else(|| {
            let names = ["budget_limit", "max_budget"];
            names.iter().find_map(|name| amount(&terms[*name]))
        });
        let duration = text(terms, "time_period").or(text(terms, "budget_duration"));
        if let Some(limit) = limit {
            let period = self::period(duration, remarks);
            budgets.push(
                json!({ "limit": limit, "period": period, "action": "block", "model": model }),
            );
        }
    }
    Value::Array(budgets)
}

/// LiteLLM counts a window from the creation of the key, Gatekeeper by the calendar.
fn period(duration: Option<&str>, remarks: &mut Vec<String>) -> &'static str {
    match duration {
        None => "total",
        Some("24h" | "1d" | "daily") => "daily",
        Some("7d" | "1w" | "weekly") => "weekly",
        Some("30d" | "31d" | "28d" | "1mo" | "monthly") => "monthly",
        Some(other) => {
            let other: String = other
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(16)
                .collect();
            remarks.push(format!("budget_duration {other} becomes monthly"));
            "monthly"
        }
    }
}

fn models(row: &Value) -> Value {
    let models: Vec<&str> = row["models"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match models.as_slice() {
        [] => Value::Null,
        ["no-default-models"] => json!([]),
        names
            if names
                .iter()
                .any(|name| matches!(*name, "all-team-models" | "all-proxy-models")) =>
        {
            Value::Null
        }
        names => json!(names),
    }
}

/// The last characters of `key_name`, which is `sk-...Ab3x`.
fn hint(row: &Value) -> String {
    let name = text(row, "key_name").unwrap_or_default();
    let tail: Vec<char> = name.chars().rev().take(HINT_CHARS).collect();
    let tail: String = tail.into_iter().rev().collect();
    match tail.chars().all(|letter| letter.is_ascii_alphanumeric()) {
        true => tail,
        false => String::new(),
    }
}

fn name(alias: Option<&str>, hint: &str, hash: &str) -> String {
    let printable = |letter: &char| !letter.is_control();
    let alias: String = alias
        .unwrap_or_default()
        .trim()
        .chars()
        .filter(printable)
        .take(NAME_CHARS_MAX)
        .collect();
    match (alias.trim(), hint) {
        ("", "") => format!("litellm-{}", &hash[..8]),
        ("", hint) => format!("litellm-{hint}"),
        (alias, _) => alias.to_owned(),
    }
}

/// A time as LiteLLM's database or API writes it, in RFC 3339, with its instant.
fn instant(written: &str) -> Result<(String, u64), String> {
    let mut at = written.trim().replacen(' ', "T", 1);
    let time = at.split_once('T').map_or("", |(_, time)| time);
    let offset = time
        .find(['+', '-', 'Z'])
        .map(|start| time[start..].to_owned());
    match offset {
        None => at.push('Z'),
        Some(offset) if offset.len() == 3 => at.push_str(":00"),
        Some(_) => {}
    }
    let at_ms = Zone::parse_rfc3339(&at).ok_or("`expires` is no instant")?;
    Ok((at, at_ms))
}

/// An amount of dollars as a decimal text; LiteLLM computes with floats.
fn amount(value: &Value) -> Option<String> {
    let amount = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    if !(amount > 0.0 && amount < 1e9) {
        return None;
    }
    let digits = format!("{amount:.12}");
    Some(
        digits
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
    )
}

fn text<'v>(row: &'v Value, name: &str) -> Option<&'v str> {
    text_of(&row[name])
}

fn text_of(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

fn sha256(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(row: Value) -> KeyRow {
        let reader = KeyReader::new(Some("sk-our-master"), 1_000);
        reader.read(&row)
    }

    #[test]
    fn litellm_master_keys_and_sessions_are_left_out() {
        for (row, expected) in [
            (json!({ "token": sha256("sk-1234") }), "master key"),
            (json!({ "token": sha256("sk-our-master") }), "master key"),
            (json!({ "token": "sk-our-master" }), "master key"),
            (
                json!({ "token": sha256("x"), "key_alias": "litellm_proxy_master_key" }),
                "master key",
            ),
            (
                json!({ "token": sha256("x"), "team_id": "litellm-dashboard" }),
                "user interface",
            ),
            (
                json!({ "token": sha256("x"), "expires": "1970-01-01 00:00:00+00" }),
                "expired",
            ),
            (json!({ "token": "secret-but-no-hash" }), "no SHA-256"),
            (json!({ "key_alias": "a" }), "no member"),
        ] {
            match read(row) {
                KeyRow::LeftOut(reason) => assert!(reason.contains(expected), "{reason}"),
                KeyRow::Import(key) => panic!("{key:?}"),
            }
        }
    }

    #[test]
    fn litellm_key_keeps_budget_spend_expiry_and_limits() {
        let row = json!({ "token": sha256("sk-abc"), "key_name": "sk-...Ab3x", "key_alias": "chatbot", "spend": 1.25e-1,
            "max_budget": 50.0, "soft_budget": 40, "budget_duration": "30d", "expires": "2030-01-31 10:00:00.5+00",
            "models": ["gpt-4o", "claude-*"], "team_alias": "support", "blocked": true, "rpm_limit": 60,
            "model_max_budget": { "gpt-4o": { "budget_limit": "5", "time_period": "1d" } }, "aliases": { "a": "b" } });
        let KeyRow::Import(key) = read(row) else {
            panic!("left out");
        };
        let expected = json!({ "sha256": sha256("sk-abc"), "hint": "Ab3x", "name": "chatbot", "models": ["gpt-4o", "claude-*"],
            "budgets": [{ "limit": "50", "period": "monthly", "action": "block" },
                { "limit": "40", "period": "monthly", "action": "warn" },
                { "limit": "5", "period": "daily", "action": "block", "model": "gpt-4o" }],
            "disabled": true, "expires": "2030-01-31T10:00:00.5+00:00", "spent_usd": "0.125", "rpm": 60 });
        assert_eq!(key.body, expected);
        assert_eq!(key.team.as_deref(), Some("support"));
        assert_eq!(key.remarks, ["aliases has no counterpart"]);
    }

    #[test]
    fn litellm_key_without_alias_is_named_after_its_end() {
        let row = json!({ "token": sha256("sk-abc"), "key_name": "sk-...Ab3x", "models": ["all-team-models"] });
        let KeyRow::Import(key) = read(row) else {
            panic!("left out");
        };
        assert_eq!(
            (&key.body["name"], &key.body["models"]),
            (&json!("litellm-Ab3x"), &Value::Null)
        );
    }
}
