//! `gatekeeper keys`: creates, lists and disables keys of the running server. A new key's secret is printed once and kept
//! nowhere here.

use clap::{ArgGroup, Subcommand};
use serde_json::{Value, json};

use super::Failure;
use super::admin::{AdminClient, ServerArgs};
use crate::cli::parse::{BudgetArgument, LimitArguments, expiry};
use crate::cli::table;
use crate::cli::table::{budgets, cell, limits, models, print, table};
use crate::process;

/// Team names shown beside an unknown one.
const TEAMS_SHOWN: usize = 20;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create a virtual key of a team, or with --admin an administrative key
    Create(CreateArgs),
    /// List the keys with their budgets
    List(ServerArgs),
    /// Disable a key: it is refused from the next request on
    Disable(DisableArgs),
}

#[derive(Clone, Debug, clap::Args)]
#[command(group(ArgGroup::new("whose").args(["team", "parent", "admin"]).required(true).multiple(true)))]
pub struct CreateArgs {
    /// The team that the key belongs to
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// A key that this one stands below, like key_3: it has all limits of that key besides its own
    #[arg(long, value_name = "KEY")]
    parent: Option<String>,
    /// What people call the key [default: the team's name and some letters]
    #[arg(long, visible_alias = "label", value_name = "NAME")]
    name: Option<String>,
    /// Models that it may call, within those of its team, with `*` for any letters [default: all of them]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    models: Vec<String>,
    /// What it may spend: '$10' in total, '$10/day', '$10/week', '$10/month'; may be given more than once
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    budget: Vec<BudgetArgument>,
    #[command(flatten)]
    limits: LimitArguments,
    /// When it ends: 7d, 12h, 30m or an instant like 2026-12-31T00:00:00Z [default: never]
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    expires: Option<String>,
    /// An administrative key: it administers everything and calls no model
    #[arg(long, requires = "name", conflicts_with_all = ["team", "parent", "models", "budget", "rpm", "tpm", "max_parallel", "expires"])]
    admin: bool,
    #[command(flatten)]
    reach: ServerArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct DisableArgs {
    /// The key's id, like key_3, from `gatekeeper keys list`
    id: String,
    #[command(flatten)]
    reach: ServerArgs,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(args) => process::block_on(create(args)),
        Command::List(reach) => process::block_on(list(reach)),
        Command::Disable(args) => process::block_on(disable(args)),
    }
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let named = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.trim().is_empty());
    if !args.admin && !named(&args.parent) && !named(&args.team) {
        let message = "say whose key it is: --team NAME, or --parent KEY for one below another key, or --admin for an \
                       administrative key";
        return Err(Failure::usage(message));
    }
    let admin = args.reach.admin()?;
    let mut notice = String::new();
    let (wanted, place) = match (&args.parent, &args.team) {
        (Some(parent), _) => {
            let above = admin.get(&format!("/v1/keys/{}", key_id(parent)?)).await?;
            (
                virtual_key(&args, &cell(&above["name"]))?,
                format!(" below {} ({parent})", cell(&above["name"])),
            )
        }
        (None, Some(team)) => {
            if find_or_create_team(&admin, team).await? {
                notice = format!("created team {team}, the first one; it may call every model\n");
            }
            (virtual_key(&args, team)?, format!(" of team {team}"))
        }
        (None, None) => (json!({"admin": true, "name": args.name}), String::new()),
    };
    let key = admin.post("/v1/keys", &wanted).await?;
    if args.reach.json {
        eprint!("{notice}");
        return table::json(&key);
    }
    print(&format!("{notice}{}", created(&key, &place)))
}

/// `above` is the name of the team or key that it is made in.
fn virtual_key(args: &CreateArgs, above: &str) -> Result<Value, Failure> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => invented_name(above)?,
    };
    let budgets: Vec<Value> = args.budget.iter().map(BudgetArgument::json).collect();
    let mut wanted =
        json!({"name": name, "models": args.models, "expires": args.expires, "budgets": budgets});
    for (member, value) in [("team", &args.team), ("parent", &args.parent)] {
        if let Some(value) = value {
            wanted[member] = json!(value);
        }
    }
    args.limits.put_into(&mut wanted);
    Ok(wanted)
}

/// Names are unique in a team, so an invented one has some chance in it.
fn invented_name(above: &str) -> Result<String, Failure> {
    let mut letters = [0; 3];
    getrandom::fill(&mut letters).map_err(|error| {
        Failure::refused(format!("the system gives no random numbers: {error}"))
    })?;
    let [one, two, three] = letters;
    Ok(format!("{above}-{one:02x}{two:02x}{three:02x}"))
}

/// Whether the team had to be created: on an instance without any the first use must succeed; with others there, a name
/// that is not among them is a typing error.
async fn find_or_create_team(admin: &AdminClient, wanted: &str) -> Result<bool, Failure> {
    let teams = admin.list("/v1/teams").await?;
    if teams.is_empty() {
        admin.post("/v1/teams", &json!({"name": wanted})).await?;
        return Ok(true);
    }
    if teams
        .iter()
        .any(|team| team["name"] == wanted || team["id"] == wanted)
    {
        return Ok(false);
    }
    Err(Failure::refused(unknown_team(wanted, &teams)))
}

fn unknown_team(wanted: &str, teams: &[Value]) -> String {
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
        "there is no team `{wanted}`; the teams are {}{more}; create it with `gatekeeper teams create {wanted}`",
        names.join(", ")
    )
}

/// `place` is empty for an administrative key.
fn created(key: &Value, place: &str) -> String {
    let (id, name, secret) = (cell(&key["id"]), cell(&key["name"]), cell(&key["key"]));
    let what = match place {
        "" => format!(
            "created administrative key {name} ({id}); it administers and calls no models\n"
        ),
        place => format!(
            "created key {name} ({id}){place}\n  models   {}\n  budgets  {}\n  limits   {}\n  expires  {}\n",
            models(&key["models"]),
            budgets(&key["budgets"]),
            limits(&key["limits"]),
            expires(key)
        ),
    };
    format!("{what}\n  {secret}\n\nThe key is shown only now.\n")
}

fn expires(key: &Value) -> String {
    key["expires_at"].as_str().unwrap_or("never").to_owned()
}

async fn list(reach: ServerArgs) -> Result<(), Failure> {
    let admin = reach.admin()?;
    let keys = admin.list("/v1/keys").await?;
    if reach.json {
        return table::json(&Value::Array(keys));
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
        .reach
        .admin()?
        .patch(&path, &json!({"disabled": true}))
        .await?;
    if args.reach.json {
        return table::json(&key);
    }
    print(&format!(
        "disabled key {} ({}); it is refused from the next request on\n",
        cell(&key["name"]),
        args.id
    ))
}

/// A key in a path is named by its id.
fn key_id(text: &str) -> Result<&str, Failure> {
    if text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Ok(text);
    }
    Err(Failure::usage(
        "a key is named by its id, like key_3; `gatekeeper keys list` shows it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_team_is_told_the_teams_and_the_command() {
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
    fn the_secret_of_a_new_key_stands_alone_on_its_line() {
        let key = json!({"id": "key_1", "name": "eng-1", "key": "sk-gk-eng-x", "models": [], "budgets": []});
        let text = created(&key, " of team eng");
        assert!(
            text.lines().any(|line| line.trim() == "sk-gk-eng-x"),
            "{text}"
        );
        assert!(text.contains("expires  never"), "{text}");
    }
}
