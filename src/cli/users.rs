//! `gatekeeper users`: creates, lists and deletes users of the running server, and gives and takes their roles.

use clap::Subcommand;
use serde_json::{Value, json};

use super::admin::{AdminClient, percent_encode};
use super::failure::Failure;
use super::resolve;
use crate::cli::resource::{Resource, ResourceArgs};
use crate::cli::style::{Style, Tone};
use crate::cli::table::{Cell, Column, Table};
use crate::cli::values::cell;
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create a user, with a role if one is given
    Create(CreateArgs),
    /// List users with their roles
    List(ResourceArgs),
    /// Give a user a role in a team, in place of an earlier one there
    Grant(GrantArgs),
    /// Take a user's role in a team; personal keys there are deleted
    Revoke(RevokeArgs),
    /// Print a link by which a user sets a password, valid once and for 72 hours
    Invite(UserArgs),
    /// Disable a user: all sessions end, and personal keys are refused
    Disable(UserArgs),
    /// Enable a disabled user
    Enable(UserArgs),
    /// Delete a user
    Delete(DeleteArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct CreateArgs {
    /// E-mail address
    email: String,
    /// Name [default: the part of the address before the @]
    #[arg(long)]
    name: Option<String>,
    /// Role: owner, auditor or viewer; in an organization admin, auditor or viewer; in a team admin, member or viewer
    #[arg(long)]
    role: Option<String>,
    /// Organization of the role, by id or name
    #[arg(long, requires = "role", value_name = "NAME")]
    organization: Option<String>,
    /// Team of the role, by id or name
    #[arg(
        long,
        requires = "role",
        conflicts_with = "organization",
        value_name = "NAME"
    )]
    team: Option<String>,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct GrantArgs {
    /// User, by id or e-mail address
    user: String,
    /// Role: admin, member or viewer
    #[arg(long)]
    role: String,
    /// Team, by id or name
    #[arg(long, value_name = "NAME")]
    team: String,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct RevokeArgs {
    /// User, by id or e-mail address
    user: String,
    /// Team, by id or name
    #[arg(long, value_name = "NAME")]
    team: String,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct UserArgs {
    /// User, by id or e-mail address
    user: String,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct DeleteArgs {
    /// User, by id or e-mail address
    user: String,
    /// Delete the user's personal keys too
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    server: ResourceArgs,
}

const USER: Resource = Resource {
    noun: "user",
    path: "/v1/users",
    name: "email",
    terms: |user, _| format!("  roles  {}\n", roles(user)),
    table,
};

pub fn run(command: Command) -> Result<(), Failure> {
    process::block_on(async {
        match command {
            Command::Create(args) => create(args).await,
            Command::List(server) => USER.list(&server).await,
            Command::Grant(args) => grant(args).await,
            Command::Revoke(args) => revoke(args).await,
            Command::Invite(args) => invite(args).await,
            Command::Disable(args) => set_disabled(args, true).await,
            Command::Enable(args) => set_disabled(args, false).await,
            Command::Delete(args) => {
                let user = find(&args.server.admin()?, &args.user).await?;
                USER.delete(&args.server, &user, args.yes).await
            }
        }
    })
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let mut body = json!({"email": args.email});
    if let Some(name) = &args.name {
        body["name"] = json!(name);
    }
    if let Some(role) = &args.role {
        let mut membership = json!({"role": role});
        for (place, name) in [("organization", &args.organization), ("team", &args.team)] {
            if let Some(name) = name {
                membership[place] = json!(name);
            }
        }
        body["memberships"] = json!([membership]);
    }
    USER.create(&args.server, &body).await
}

async fn grant(args: GrantArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let team = resolve::team(&admin, &args.team).await?;
    let path = format!("/v1/teams/{}/members", cell(&team["id"]));
    let body = json!({"user": args.user, "role": args.role});
    let user = admin.post(&path, &body).await?;
    USER.show(&args.server, "changed", &user)
}

async fn revoke(args: RevokeArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let team = resolve::team(&admin, &args.team).await?;
    let user = find(&admin, &args.user).await?;
    let (team, id) = (cell(&team["id"]), cell(&user["id"]));
    let path = format!("/v1/teams/{team}/members/{id}");
    admin.delete(&path).await?;
    let email = cell(&user["email"]);
    args.server
        .show_deleted(&format!("removed {email} from {team}\n"))
}

async fn invite(args: UserArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let user = find(&admin, &args.user).await?;
    let path = format!("/v1/users/{}/invitation", cell(&user["id"]));
    let link = admin.post(&path, &json!({})).await?;
    args.server.show(&link, |_| {
        let (email, url) = (cell(&user["email"]), cell(&link["url"]));
        format!("Give this link to {email}; it works once, for 72 hours:\n\n  {url}\n")
    })
}

async fn set_disabled(args: UserArgs, disabled: bool) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let user = find(&admin, &args.user).await?;
    let path = format!("/v1/users/{}", cell(&user["id"]));
    let user = admin.patch(&path, &json!({ "disabled": disabled })).await?;
    let done = if disabled { "disabled" } else { "enabled" };
    USER.show(&args.server, done, &user)
}

/// The user with this id or address.
async fn find(admin: &AdminClient, text: &str) -> Result<Value, Failure> {
    let path = match text.contains('@') {
        true => format!("/v1/users?email={}", percent_encode(text)),
        false => {
            return admin
                .get(&format!("/v1/users/{}", percent_encode(text)))
                .await;
        }
    };
    let mut users = admin.list(&path).await?;
    users.pop().ok_or_else(|| {
        Failure::runtime(format!(
            "unknown user `{text}`; list them to see which exist"
        ))
    })
}

fn table(users: &[Value], style: &Style) -> String {
    let mut table = Table::new([
        Column::text("USER").flexible(),
        Column::text("ID"),
        Column::text("NAME").flexible().hidden_at(1),
        Column::text("ROLES").flexible(),
        Column::text("STATE"),
    ]);
    for user in users {
        let state = match user["disabled"] == true {
            true => "disabled",
            false => "active",
        };
        table.row(vec![
            cell(&user["email"]).into(),
            Cell::toned(Tone::Dim, cell(&user["id"])),
            cell(&user["name"]).into(),
            roles(user).into(),
            state.into(),
        ]);
    }
    table.render(style)
}

/// `owner`, `admin of org_1`, `member of team_3`.
fn roles(user: &Value) -> String {
    let one = |membership: &Value| {
        let place = [&membership["team"], &membership["organization"]]
            .into_iter()
            .find(|place| !place.is_null());
        match place {
            Some(place) => format!("{} of {}", cell(&membership["role"]), cell(place)),
            None => cell(&membership["role"]),
        }
    };
    let memberships = user["memberships"].as_array();
    let roles: Vec<String> = memberships.into_iter().flatten().map(one).collect();
    match roles.as_slice() {
        [] => "none".to_owned(),
        _ => roles.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_name_the_narrowest_place() {
        let user = json!({"memberships": [
            {"role": "owner", "organization": null, "team": null},
            {"role": "member", "organization": "org_1", "team": "team_3"},
        ]});
        assert_eq!(roles(&user), "owner, member of team_3");
        assert_eq!(roles(&json!({"memberships": []})), "none");
    }
}
