//! Arguments and views that providers, routes and aliases have in common on the command line: members of their section as
//! `--set KEY=VALUE`, and the place where each is declared.

use std::io::Read;

use serde_json::{Map, Value, json};

use crate::cli::admin::percent_encode;
use crate::cli::failure::Failure;
use crate::cli::values::cell;

/// Larger inputs cannot be keys.
const STDIN_BYTES_MAX: u64 = 64 * 1024;

/// Keys of the section with their values.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct MemberArgs {
    /// Key of the section in docs/configuration.md with its value, in JSON or as plain text; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl MemberArgs {
    pub fn add_to(&self, body: &mut Value) -> Result<(), Failure> {
        for written in &self.set {
            let (key, value) = written.split_once('=').ok_or_else(|| {
                Failure::usage(format!(
                    "--set {written}: missing `=`; write --set KEY=VALUE"
                ))
            })?;
            body[key] = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        }
        Ok(())
    }
}

/// Adds a member if it is given.
pub fn add(body: &mut Value, member: &str, value: &Option<impl serde::Serialize>) {
    if let Some(value) = value {
        body[member] = json!(value);
    }
}

/// Sets members to null, which takes them away.
pub fn unset(body: &mut Value, members: &[String]) {
    for member in members {
        body[member] = Value::Null;
    }
}

/// Reads a secret from standard input, where no process list shows it.
pub fn secret_from_stdin() -> Result<String, Failure> {
    let text = stdin_text()?;
    let secret = text.trim();
    match secret.is_empty() {
        true => Err(Failure::usage(
            "--key-stdin: empty standard input; write e.g. `printenv OPENAI_API_KEY | gatekeeper providers add openai --key-stdin`",
        )),
        false => Ok(secret.to_owned()),
    }
}

/// Reads members from standard input, a JSON object.
pub fn members_from_stdin(body: &mut Value) -> Result<(), Failure> {
    let members: Map<String, Value> = serde_json::from_str(&stdin_text()?).map_err(|_| {
        Failure::usage("--members-stdin: standard input must be a JSON object of keys and values")
    })?;
    for (name, value) in members {
        body[name] = value;
    }
    Ok(())
}

fn stdin_text() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(STDIN_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| Failure::runtime(format!("failed to read standard input: {error}")))?;
    Ok(text)
}

/// Path of an object of a kind such as `routes`.
pub fn path(resource: &str, name: &str) -> String {
    format!("/v1/{resource}/{}", percent_encode(name))
}

/// A member that a role may not see; empty then.
pub fn visible(object: &Value, member: &str) -> String {
    match &object[member] {
        Value::Null => String::new(),
        value => cell(value),
    }
}

/// Place where an object is declared.
pub fn place(object: &Value) -> String {
    match object["managed_by_file"].as_bool() {
        Some(true) => "file".to_owned(),
        Some(false) => "API".to_owned(),
        None => String::new(),
    }
}

/// Reason why an object is not in force; empty if it is.
pub fn fault(object: &Value) -> String {
    visible(object, "fault")
}
