//! `gatekeeper roles` and `gatekeeper endpoints`: the compiled tables of permissions and URLs. Neither needs a server.

use crate::auth::role::{Action, Reach};
use crate::cli::failure::Failure;
use crate::cli::output::print;
use crate::cli::style::Style;
use crate::cli::table::{Column, Table};
use crate::domain::role::Role;
use crate::server::endpoints;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {}

/// Prints every action with the roles that may do it.
pub fn print_roles(_args: &Args) -> Result<(), Failure> {
    let mut columns = vec![Column::text("ACTION")];
    columns.extend(Role::ALL.map(|role| Column::text(heading(role))));
    let mut table = Table::new(columns);
    for action in Action::ALL {
        let mut row = vec![action.as_str().into()];
        let reach = |role: Role| action.reach(role).map_or("", Reach::as_str);
        row.extend(Role::ALL.map(|role| reach(role).into()));
        table.row(row);
    }
    print(&format!(
        "{}\nscope: everything in the scope of the role; own: the user's personal keys and what they did; granted: teams for which an owner names the role\n",
        table.render(&Style::default())
    ))
}

fn heading(role: Role) -> &'static str {
    match role {
        Role::Owner => "OWNER",
        Role::Auditor => "AUDITOR",
        Role::Viewer => "VIEWER",
        Role::OrganizationAdmin => "ORG-ADMIN",
        Role::OrganizationAuditor => "ORG-AUDITOR",
        Role::OrganizationViewer => "ORG-VIEWER",
        Role::TeamAdmin => "TEAM-ADMIN",
        Role::TeamMember => "TEAM-MEMBER",
        Role::TeamViewer => "TEAM-VIEWER",
    }
}

/// Prints every method and URL with the access that it needs.
pub fn print_endpoints(_args: &Args) -> Result<(), Failure> {
    let mut table = Table::new([
        Column::text("METHOD"),
        Column::text("PATH"),
        Column::text("ACCESS"),
    ]);
    for row in endpoints() {
        let path = row.path.replace("{id:.+}", "{id}");
        table.row(vec![
            row.method.into(),
            path.into(),
            row.access.as_str().into(),
        ]);
    }
    print(&table.render(&Style::default()))
}
