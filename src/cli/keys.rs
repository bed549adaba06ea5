//! `gatekeeper keys`: creates, lists and disables keys of the running server. The secret of a new key is printed once;
//! it must never be stored.

use clap::{ArgGroup, Subcommand};
use serde_json::{Value, json};

use super::admin::{AdminClient, ServerArgs};
use super::failure::Failure;
use crate::cli::parse::{BudgetArgument, LimitArguments, expiry, model_list};
use crate::cli::table::{budgets, cell, limits, models, print, print_json, table};
use crate::process;

/// Team names listed in the error about an unknown team.
const TEAMS_SHOWN: usize = 20;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create a virtual key of a team or, with --admin, an administrative key
    Create(CreateArgs),
    /// List keys with their budgets
    List(ServerArgs),
    /// Disable a key; requests with it are refused from now on
    Disable(DisableArgs),
}

#[derive(Clone, Debug, clap::Args)]
#[command(group(ArgGroup::new("owner").args(["team", "parent", "admin"]).required(true).multiple(true)))]
pub struct CreateArgs {
    /// Team that owns the key
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// Parent key, e.g. key_3; its budgets and limits apply in addition to the key's own
    #[arg(long, value_name = "KEY")]
    parent: Option<String>,
    /// Name of the key [default: name of the team or parent with a random suffix]
    #[arg(long, visible_alias = "label", value_name = "NAME")]
    name: Option<String>,
    /// Models that the key may call, within those of its team; `*` is a wildcard; '' allows none [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    models: Option<Vec<String>>,
    /// Budget: '$10' in total, '$10/day', '$10/week' or '$10/month'; may be repeated
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    budget: Vec<BudgetArgument>,
    #[command(flatten)]
    limits: LimitArguments,
    /// Expiry: 7d, 12h, 30m or an instant such as 2026-12-31T00:00:00Z [default: never]
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    expires: Option<String>,
    /// Create an administrative key: it administers everything and cannot call models
    #[arg(long, requires = "name", conflicts_with_all = ["team", "parent", "models", "budget", "rpm", "tpm", "max_parallel", "expires"])]
    admin: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct DisableArgs {
    /// Id of the key, e.g. key_3, from `gatekeeper keys list`
    id: String,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(args) => process::block_on(create(args)),
        Command::List(server) => process::block_on(list(server)),
        Command::Disable(args) => process::block_on(disable(args)),
    }
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let is_set = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.trim().is_empty());
    if !args.admin && !is_set(&args.parent) && !is_set(&args.team) {
        let message = "missing owner of the key; use --team NAME, --parent KEY for a child key, or --admin for an \
                       administrative key";
        return Err(Failure::usage(message));
    }
    let admin = args.server.admin()?;
    let mut notice = String::new();
    let (body, owner) = match (&args.parent, &args.team) {
        (Some(parent), _) => {
            let parent_key = admin.get(&format!("/v1/keys/{}", key_id(parent)?)).await?;
            (
                virtual_key(&args, &cell(&parent_key["name"]))?,
                format!(" below {} ({parent})", cell(&parent_key["name"])),
            )
        }
        (None, Some(team)) => {
            if find_or_create_team(&admin, team).await? {
                notice = format!("created team {team}, the first one, with access to all models\n");
            }
            (virtual_key(&args, team)?, format!(" of team {team}"))
        }
        (None, None) => (json!({"admin": true, "name": args.name}), String::new()),
    };
    let key = admin.post("/v1/keys", &body).await?;
    if args.server.json {
        eprint!("{notice}");
        return print_json(&key);
    }
    print(&format!("{notice}{}", render_created(&key, &owner)))
}

/// Builds the request body for a virtual key. `owner` is the name of its team or parent key.
fn virtual_key(args: &CreateArgs, owner: &str) -> Result<Value, Failure> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => generate_name(owner)?,
    };
    let budgets: Vec<Value> = args.budget.iter().map(BudgetArgument::json).collect();
    let mut body = json!({"name": name, "models": model_list(&args.models), "expires": args.expires, "budgets": budgets});
    for (field, value) in [("team", &args.team), ("parent", &args.parent)] {
        if let Some(value) = value {
            body[field] = json!(value);
        }
    }
    args.limits.add_to(&mut body);
    Ok(body)
}

/// Generates a name with a random suffix, because names are unique in a team.
fn generate_name(owner: &str) -> Result<String, Failure> {
    let mut random = [0; 3];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::runtime(format!("failed to read random numbers: {error}")))?;
    let [one, two, three] = random;
    Ok(format!("{owner}-{one:02x}{two:02x}{three:02x}"))
}

/// Returns true if the team was created. The first team is created on demand; if other teams exist, an unknown name is
/// taken for a typing error.
async fn find_or_create_team(admin: &AdminClient, name: &str) -> Result<bool, Failure> {
    let teams = admin.list("/v1/teams").await?;
    if teams.is_empty() {
        admin.post("/v1/teams", &json!({"name": name})).await?;
        return Ok(true);
    }
    if teams
        .iter()
        .any(|team| team["name"] == name || team["id"] == name)
    {
        return Ok(false);
    }
    Err(Failure::runtime(unknown_team(name, &teams)))
}

fn unknown_team(name: &str, teams: &[Value]) -> String {
    let names: Vec<String> = teams
        .iter()
        .take(TEAMS_SHOWN)
        .map(|team| cell(&team["name"]))
        .collect();
    let more = teams.len().saturating_sub(TEAMS_SHOWN);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!(
        "unknown team `{name}`; the teams are {}{more}; create it with `gatekeeper teams create {name}`",
        names.join(", ")
    )
}

/// Renders a new key. `owner` is empty for an administrative key.
fn render_created(key: &Value, owner: &str) -> String {
    let (id, name, secret) = (cell(&key["id"]), cell(&key["name"]), cell(&key["key"]));
    let summary = match owner {
        "" => format!("created administrative key {name} ({id}); it cannot call models\n"),
        owner => format!(
            "created key {name} ({id}){owner}\n  models   {}\n  budgets  {}\n  limits   {}\n  expires  {}\n",
            models(&key["models"]),
            budgets(&key["budgets"]),
            limits(&key["limits"]),
            expires(key)
        ),
    };
    format!("{summary}\n  {secret}\n\nThe key is shown only now.\n")
}

fn expires(key: &Value) -> String {
    key["expires_at"].as_str().unwrap_or("never").to_owned()
}

async fn list(server: ServerArgs) -> Result<(), Failure> {
    let admin = server.admin()?;
    let keys = admin.list("/v1/keys").await?;
    if server.json {
        return print_json(&Value::Array(keys));
    }
    if keys.is_empty() {
        return print("no keys yet; create one with `gatekeeper keys create --team NAME`\n");
    }
    let teams = admin.list("/v1/teams").await?;
    let rows: Vec<Vec<String>> = keys.iter().map(|key| row(key, &teams)).collect();
    print(&table(
        &[
            "ID", "KEY", "TEAM", "STATE", "EXPIRES", "MODELS", "BUDGETS", "LIMITS",
        ],
        &rows,
    ))
}

fn row(key: &Value, teams: &[Value]) -> Vec<String> {
    let team = teams
        .iter()
        .find(|team| team["id"] == key["team"])
        .map_or(cell(&key["team"]), |team| cell(&team["name"]));
    let state = if key["disabled"] == true {
        "disabled"
    } else {
        "active"
    };
    let (models, budgets, limits) = (
        models(&key["models"]),
        budgets(&key["budgets"]),
        limits(&key["limits"]),
    );
    let name = match key["parent"].as_str() {
        Some(parent) => format!("{} (below {parent})", cell(&key["name"])),
        None => cell(&key["name"]),
    };
    vec![
        cell(&key["id"]),
        name,
        team,
        state.to_owned(),
        expires(key),
        models,
        budgets,
        limits,
    ]
}

async fn disable(args: DisableArgs) -> Result<(), Failure> {
    let path = format!("/v1/keys/{}", key_id(&args.id)?);
    let key = args
        .server
        .admin()?
        .patch(&path, &json!({"disabled": true}))
        .await?;
    if args.server.json {
        return print_json(&key);
    }
    print(&format!(
        "disabled key {} ({}); requests with it are refused from now on\n",
        cell(&key["name"]),
        args.id
    ))
}

/// Checks that the text is an id, so that it is safe in a path.
fn key_id(text: &str) -> Result<&str, Failure> {
    if text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Ok(text);
    }
    Err(Failure::usage(
        "invalid key id; name the key by its id, e.g. key_3, as shown by `gatekeeper keys list`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_team_error_lists_teams_and_command() {
        let teams: Vec<Value> = (0..25)
            .map(|number| json!({"name": format!("t{number}")}))
            .collect();
        let message = unknown_team("eng", &teams);
        assert!(
            message.contains("t0, t1")
                && message.contains("and 5 more")
                && message.contains("gatekeeper teams create eng"),
            "{message}"
        );
    }

    #[test]
    fn created_key_secret_is_alone_on_its_line() {
        let key = json!({"id": "key_1", "name": "eng-1", "key": "sk-gk-eng-x", "models": [], "budgets": []});
        let text = render_created(&key, " of team eng");
        assert!(
            text.lines().any(|line| line.trim() == "sk-gk-eng-x"),
            "{text}"
        );
        assert!(text.contains("expires  never"), "{text}");
    }
}
