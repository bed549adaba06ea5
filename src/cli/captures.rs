//! `gatekeeper captures`: turns prompt capture on and off, shows a captured call and purges captured calls of the running server.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::admin::{AdminClient, ServerArgs};
use super::failure::Failure;
use super::resolve;
use crate::cli::output::{print, print_json};
use crate::cli::table::{Column, Table};
use crate::cli::values::{cell, rows};
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List the teams and keys for which capture is on, and what is stored
    List(ServerArgs),
    /// Store prompts and answers of a team or key from now on
    On(OnArgs),
    /// Store no prompts and answers any more; stored ones stay until they expire or are purged
    Off(OwnerArgs),
    /// Name the roles that may read the captured calls of a team, as an owner
    Readers(ReadersArgs),
    /// Show a captured call; the reading is recorded in the audit log
    Show(ShowArgs),
    /// Delete captured calls, so that no byte of them remains in the file
    Purge(PurgeArgs),
}

#[derive(Clone, Debug, Args)]
pub struct OwnerArgs {
    /// Id or name of a team
    #[arg(long, required_unless_present = "key", conflicts_with = "key")]
    team: Option<String>,
    /// Id or name of a key; its child keys are included
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, Args)]
pub struct OnArgs {
    /// Days after which a captured call is deleted
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    keep_days: u16,
    #[command(flatten)]
    owner: OwnerArgs,
}

#[derive(Clone, Debug, Args)]
pub struct ReadersArgs {
    /// Id or name of a team
    #[arg(long)]
    team: String,
    /// Roles such as `team:admin` or `instance:auditor`; none takes the permission back
    roles: Vec<String>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// Id of the request
    request: String,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, Args)]
#[group(id = "scope", required = true, multiple = false, args = ["request", "of_key", "of_team", "all"])]
pub struct PurgeArgs {
    /// Id of a request
    #[arg(long)]
    request: Option<String>,
    /// Id or name of a key
    #[arg(long = "key", value_name = "KEY")]
    of_key: Option<String>,
    /// Id or name of a team
    #[arg(long = "team", value_name = "TEAM")]
    of_team: Option<String>,
    /// Every captured call
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(server) => process::block_on(list(server)),
        Command::On(args) => {
            let body = json!({ "on": true, "keep_days": args.keep_days });
            process::block_on(change(args.owner, body))
        }
        Command::Off(owner) => process::block_on(change(owner, json!({ "on": false }))),
        Command::Readers(args) => {
            let owner = OwnerArgs {
                team: Some(args.team),
                key: None,
                server: args.server,
            };
            process::block_on(change(owner, json!({ "readers": args.roles })))
        }
        Command::Show(args) => process::block_on(show(args)),
        Command::Purge(args) => process::block_on(purge(args)),
    }
}

async fn list(server: ServerArgs) -> Result<(), Failure> {
    let settings = server.admin()?.get("/v1/captures").await?;
    if server.json {
        return print_json(&settings);
    }
    let settings = rows(&settings["data"]);
    if settings.is_empty() {
        return print("prompt capture is on for no team and no key\n");
    }
    let mut table =
        Table::new(["OWNER", "NAME", "CAPTURE", "KEPT", "SINCE", "READERS"].map(Column::text));
    let style = server.style();
    for setting in settings {
        let is_on = setting["on"] == true;
        let readers = rows(&setting["readers"]).iter().map(cell);
        table.row(vec![
            cell(&setting["owner"]).into(),
            cell(&setting["name"]).into(),
            if is_on { "on" } else { "off" }.into(),
            match is_on {
                true => format!("{} days", cell(&setting["keep_days"])),
                false => String::new(),
            }
            .into(),
            match is_on {
                true => style.moment(&setting["since"]),
                false => String::new(),
            }
            .into(),
            readers.collect::<Vec<_>>().join(", ").into(),
        ]);
    }
    print(&table.render(&style))
}

async fn change(owner: OwnerArgs, body: Value) -> Result<(), Failure> {
    let admin = owner.server.admin()?;
    let path = match (&owner.team, &owner.key) {
        (Some(team), _) => format!("/v1/teams/{}/capture", team_id(&admin, team).await?),
        (None, key) => {
            let key = key.as_deref().unwrap_or_default();
            format!("/v1/keys/{}/capture", key_id(&admin, key).await?)
        }
    };
    let setting = admin.patch(&path, &body).await?;
    if owner.server.json {
        return print_json(&setting);
    }
    let mut text = match setting["on"] == true {
        true => format!(
            "prompt capture of {} is on: prompts and answers are kept for {} days\n",
            cell(&setting["owner"]),
            cell(&setting["keep_days"])
        ),
        false => format!("prompt capture of {} is off\n", cell(&setting["owner"])),
    };
    let readers: Vec<String> = rows(&setting["readers"]).iter().map(cell).collect();
    if !readers.is_empty() {
        text += &format!(
            "readers beside owners and organization admins: {}\n",
            readers.join(", ")
        );
    }
    print(&text)
}

async fn show(args: ShowArgs) -> Result<(), Failure> {
    let path = format!("/v1/requests/{}/capture", args.request);
    let capture = args.server.admin()?.get(&path).await?;
    if args.server.json {
        return print_json(&capture);
    }
    let end = match capture["complete"] == true {
        true => "complete",
        false => "not complete",
    };
    print(&format!(
        "{}  captured {}, deleted after {}\n\nrequest\n{}\n\nresponse: status {}, {end}\n{}\n",
        cell(&capture["request"]),
        cell(&capture["captured_at"]),
        cell(&capture["expires_at"]),
        cell(&capture["request_body"]),
        cell(&capture["status"]),
        cell(&capture["response_body"]),
    ))
}

async fn purge(args: PurgeArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let path = match (&args.request, &args.of_key, &args.of_team) {
        (Some(request), _, _) => format!("/v1/requests/{request}/capture"),
        (_, Some(key), _) => format!("/v1/captures?key={}", key_id(&admin, key).await?),
        (_, _, Some(team)) => format!("/v1/captures?team={}", team_id(&admin, team).await?),
        _ => "/v1/captures?all=true".to_owned(),
    };
    let purged = admin.delete(&path).await?;
    if args.server.json {
        return print_json(&purged);
    }
    print(&format!(
        "{} captured calls deleted\n",
        cell(&purged["entries"])
    ))
}

async fn team_id(admin: &AdminClient, text: &str) -> Result<String, Failure> {
    Ok(cell(&resolve::team(admin, text).await?["id"]))
}

async fn key_id(admin: &AdminClient, text: &str) -> Result<String, Failure> {
    Ok(cell(&resolve::key(admin, text).await?["id"]))
}
