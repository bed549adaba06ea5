//! `gatekeeper keys`: creates, lists and changes keys of the running server. The secret of a new key is printed once; it must
//! never be stored.

mod lifecycle;
mod list;
mod owner;

use clap::{ArgGroup, Subcommand};
use serde_json::{Value, json};

use super::admin::AdminClient;
use super::changes::{ChangeArgs, MaxCostArgs, ModelsChangeArgs, require_change};
use super::failure::Failure;
use super::resolve;
use crate::cli::parse::{BudgetArgument, LimitArguments, expiry, expiry_change, model_list};
use crate::cli::resource::ResourceArgs;
use crate::cli::style::Style;
use crate::cli::values::{budgets, cell, limits, max_cost, models};
use crate::process;
use list::{KeyPages, KeyState, state_of};
use owner::OwnerRow;

/// Team names listed in the error about an unknown team.
const TEAMS_SHOWN: usize = 20;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create a virtual key of a team or, with --admin, an administrative key
    Create(CreateArgs),
    /// List virtual keys with the models and the budget that hold for them
    List(ListArgs),
    /// Change models, budgets, limits or expiry of a key
    Update(UpdateArgs),
    /// Give a key a new secret; the present one works until the grace period ends
    Rotate(lifecycle::RotateArgs),
    /// Delete a key with its budgets; its name stays in reports
    Delete(lifecycle::DeleteArgs),
    /// Disable a key; requests with it are refused from now on
    Disable(DisableArgs),
    /// Enable a disabled key
    Enable(NamedKeyArgs),
}

#[derive(Clone, Debug, clap::Args)]
#[command(group(ArgGroup::new("owner").args(["team", "parent", "admin"]).required(true).multiple(true)))]
pub struct CreateArgs {
    /// Team that owns the key
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// Parent key, by id or name; its budgets and limits apply in addition to the key's own
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
    #[command(flatten)]
    max_cost: MaxCostArgs,
    /// Expiry: 7d, 12h, 30m or an instant such as 2026-12-31T00:00:00Z [default: never]
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    expires: Option<String>,
    /// Create an administrative key, which cannot call models: an owner's, or one with --role
    #[arg(long, requires = "name", conflicts_with_all = ["parent", "models", "budget", "rpm", "tpm", "max_parallel", "max_cost"])]
    admin: bool,
    /// Role of an administrative key: owner, auditor or viewer; admin, auditor or viewer with --organization; admin or viewer with --team
    #[arg(long, requires = "admin")]
    role: Option<String>,
    /// Organization of the role, by id or name
    #[arg(long, requires = "role", conflicts_with = "team", value_name = "NAME")]
    organization: Option<String>,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    /// Only keys of this team, by id or name
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// Only keys in this state
    #[arg(long)]
    state: Option<KeyState>,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct UpdateArgs {
    /// Key, by id, name, `team/key` or a prefix that only one has
    key: String,
    #[command(flatten)]
    models: ModelsChangeArgs,
    /// Expiry: 7d, 12h, 30m, an instant such as 2026-12-31T00:00:00Z, or `never`
    #[arg(long, value_name = "TIME", value_parser = expiry_change)]
    expires: Option<Value>,
    #[command(flatten)]
    changes: ChangeArgs,
    #[command(flatten)]
    max_cost: MaxCostArgs,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct DisableArgs {
    /// End the running requests of the key, too
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    key: NamedKeyArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct NamedKeyArgs {
    /// Key, by id, name, `team/key` or a prefix that only one has
    key: String,
    #[command(flatten)]
    server: ResourceArgs,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(args) => process::block_on(create(args)),
        Command::List(args) => process::block_on(list(args)),
        Command::Update(args) => process::block_on(update(args)),
        Command::Rotate(args) => process::block_on(lifecycle::rotate(args)),
        Command::Delete(args) => process::block_on(lifecycle::delete(args)),
        Command::Disable(args) => {
            let mut body = json!({"disabled": true});
            if args.now {
                body["now"] = json!(true);
            }
            process::block_on(set_disabled(args.key, &body))
        }
        Command::Enable(args) => process::block_on(set_disabled(args, &json!({"disabled": false}))),
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
        _ if args.admin => (administrative(&args), String::new()),
        (Some(parent), _) => {
            let parent = resolve::key(&admin, parent).await?;
            let mut body = virtual_key(&args, &cell(&parent["name"]))?;
            body["parent"] = parent["id"].clone();
            let (name, id) = (cell(&parent["name"]), cell(&parent["id"]));
            (body, format!(" below {name} ({id})"))
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
    }
    args.server.show(&key, |style| {
        format!("{notice}{}", render_created(&key, &owner, style))
    })
}

/// Body of a new administrative key.
fn administrative(args: &CreateArgs) -> Value {
    let mut body = json!({"admin": true, "name": args.name, "expires": args.expires});
    let members = [
        ("role", &args.role),
        ("organization", &args.organization),
        ("team", &args.team),
    ];
    for (member, value) in members {
        if let Some(value) = value {
            body[member] = json!(value);
        }
    }
    body
}

/// Builds the request body for a virtual key. `owner` is the name of its team or parent key.
fn virtual_key(args: &CreateArgs, owner: &str) -> Result<Value, Failure> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => generate_name(owner)?,
    };
    let budgets: Vec<Value> = args.budget.iter().map(BudgetArgument::json).collect();
    let mut body = json!({"name": name, "models": model_list(&args.models), "expires": args.expires, "budgets": budgets});
    if let Some(team) = &args.team {
        body["team"] = json!(team);
    }
    args.limits.add_to(&mut body);
    args.max_cost.add_to(&mut body);
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
fn render_created(key: &Value, owner: &str, style: &Style) -> String {
    let (id, name, secret) = (cell(&key["id"]), cell(&key["name"]), cell(&key["key"]));
    let summary = match owner {
        "" => format!("created administrative key {name} ({id}); it cannot call models\n"),
        owner => format!(
            "created key {name} ({id}){owner}\n{}",
            render_terms(key, style)
        ),
    };
    format!("{summary}\n  {secret}\n\nThe key is shown only now.\n")
}

fn render_terms(key: &Value, style: &Style) -> String {
    let expires = match &key["expires_at"] {
        Value::Null => "never".to_owned(),
        at => style.date(at),
    };
    format!(
        "  models   {}\n  budgets  {}\n  limits   {}\n{}  expires  {expires}\n",
        models(&key["models"]),
        budgets(&key["budgets"], style),
        limits(&key["limits"]),
        max_cost(key, style),
    )
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let pages = KeyPages::fetch(&admin, args.team.as_deref()).await?;
    let tenants = pages.tenants()?;
    let style = args.server.style();
    let is_shown = |key: &&OwnerRow<'_>| {
        args.state
            .is_none_or(|state| state_of(key, &style) == state)
    };
    let keys: Vec<&OwnerRow<'_>> = tenants.keys().filter(is_shown).collect();
    let ids = keys.iter().map(|key| key.id.as_ref());
    args.server.show_rows(
        ids,
        || pages.objects(&keys),
        |style| {
            if tenants.keys().next().is_none() {
                return "no keys yet; create one with `gatekeeper keys create --team NAME`\n"
                    .to_owned();
            }
            match keys.as_slice() {
                [] => "no key in this state\n".to_owned(),
                keys => tenants.render(keys, style),
            }
        },
    )
}

async fn update(args: UpdateArgs) -> Result<(), Failure> {
    let mut body = json!({});
    args.models.add_to(&mut body);
    args.changes.add_to(&mut body);
    args.max_cost.add_to(&mut body);
    if let Some(expires) = &args.expires {
        body["expires"] = expires.clone();
    }
    require_change(
        &body,
        "--models, --budget, --no-budgets, --rpm, --tpm, --max-parallel, --max-cost or --expires",
    )?;
    let key = change(&args.key, &args.server, &body).await?;
    args.server.show(&key, |style| {
        format!(
            "changed key {} ({})\n{}",
            cell(&key["name"]),
            cell(&key["id"]),
            render_terms(&key, style)
        )
    })
}

async fn set_disabled(args: NamedKeyArgs, body: &Value) -> Result<(), Failure> {
    let key = change(&args.key, &args.server, body).await?;
    let (done, effect) = if body["disabled"] == true {
        ("disabled", "refused")
    } else {
        ("enabled", "accepted")
    };
    args.server.show(&key, |_| {
        format!(
            "{done} key {} ({}); requests with it are {effect} from now on\n",
            cell(&key["name"]),
            cell(&key["id"]),
        )
    })
}

/// Changes the key with this id or name.
async fn change(key: &str, server: &ResourceArgs, body: &Value) -> Result<Value, Failure> {
    let admin = server.admin()?;
    let key = resolve::key(&admin, key).await?;
    let path = format!("/v1/keys/{}", cell(&key["id"]));
    admin.patch(&path, body).await
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
        let text = render_created(&key, " of team eng", &Style::default());
        assert!(
            text.lines().any(|line| line.trim() == "sk-gk-eng-x"),
            "{text}"
        );
        assert!(text.contains("expires  never"), "{text}");
    }
}
