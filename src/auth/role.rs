//! Authorization table of the control plane: role × action × reach, on one page. `gatekeeper roles` and the documentation print it.
//! Authorization depends on roles and places alone.

use std::fmt;

use crate::domain::id::{AdminKeyId, UserId};
use crate::domain::role::{Membership, Role};

/// Actor of a control-plane operation, as recorded in the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// the peer of the local admin socket
    Local { uid: u32 },
    AdminKey {
        id: AdminKeyId,
        name: String,
        membership: Membership,
    },
    User {
        id: UserId,
        name: String,
        memberships: Vec<Membership>,
    },
    /// the gateway process itself, as in `init`, `demo` or a background task
    Process,
}

impl Actor {
    /// Roles of the actor, each in its scope.
    pub fn memberships(&self) -> &[Membership] {
        const OWNER: &[Membership] = &[Membership::OWNER];
        match self {
            Actor::Local { .. } | Actor::Process => OWNER,
            Actor::AdminKey { membership, .. } => std::slice::from_ref(membership),
            Actor::User { memberships, .. } => memberships,
        }
    }

    pub fn user(&self) -> Option<UserId> {
        match self {
            Actor::User { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// Roles for messages: `team admin and team viewer`.
    pub(super) fn role_names(&self) -> String {
        let mut names: Vec<String> = self
            .memberships()
            .iter()
            .map(|membership| name_of(membership.role))
            .collect();
        names.sort();
        names.dedup();
        match names.as_slice() {
            [] => "no role".to_owned(),
            [only] => format!("the role {only}"),
            _ => format!("the roles {}", names.join(" and ")),
        }
    }
}

/// Level and word of a role; an owner is one of the instance only.
fn name_of(role: Role) -> String {
    match role {
        Role::Owner => role.as_str().to_owned(),
        _ => format!("{} {}", role.level().as_str(), role.as_str()),
    }
}

/// Stored form in audit events: never a name, because names change.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Local { uid } => write!(f, "local:uid={uid}"),
            Actor::AdminKey { id, .. } => write!(f, "admin:{id}"),
            Actor::User { id, .. } => write!(f, "user:{id}"),
            Actor::Process => f.write_str("process"),
        }
    }
}

/// Objects within the scope of a role that an action reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// the personal keys of the user, and what was done with them
    Own,
    /// captured calls of the teams for which an owner granted it to the role
    Granted,
    /// everything in the scope
    Scope,
}

impl Reach {
    pub fn as_str(self) -> &'static str {
        match self {
            Reach::Own => "own",
            Reach::Granted => "granted",
            Reach::Scope => "scope",
        }
    }
}

/// One line per action: name, roles that may do it in their scope, roles that may do it to what is their own, roles to which an owner
/// may grant it per team. Each action is also a type, for `Grant`.
macro_rules! table {
    ($(
        $(#[$doc:meta])* $action:ident, $name:literal,
        [$($role:ident)*], own [$($own:ident)*] $(, granted [$($granted:ident)*])?;
    )*) => {
        /// Action of the control plane.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* $action,)*
        }

        impl Action {
            pub const ALL: &[Action] = &[$(Action::$action,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Action::$action => $name,)*
                }
            }

            /// Objects that the action reaches for a role; `None`: not permitted.
            pub fn reach(self, role: Role) -> Option<Reach> {
                let (all, own, granted): (&[Role], &[Role], &[Role]) = match self {
                    $(Action::$action => (
                        &[$(Role::$role),*],
                        &[$(Role::$own),*],
                        &[$($(Role::$granted),*)?],
                    ),)*
                };
                let reaches = [(all, Reach::Scope), (own, Reach::Own), (granted, Reach::Granted)];
                let reach = reaches.into_iter().find(|(roles, _)| roles.contains(&role));
                reach.map(|(_, reach)| reach)
            }
        }

        /// The actions as types: `Grant<ChangeTeams>` permits changing teams and nothing else.
        pub mod may {
            use crate::auth::role::{Action, Permit};
            $(
                $(#[$doc])*
                #[derive(Clone, Copy, Debug)]
                pub struct $action;
                impl Permit for $action {
                    const ACTION: Action = Action::$action;
                }
            )*
        }
    };
}

table! {
    /// set up an empty instance
    SetUp, "instance.set_up",
        [Owner], own [];
    /// view organizations with their budgets
    ReadOrganizations, "organizations.read",
        [Owner Auditor Viewer OrganizationAdmin OrganizationAuditor OrganizationViewer], own [];
    /// create, change and delete organizations; their budgets and allow-lists
    ChangeOrganizations, "organizations.change",
        [Owner], own [];
    /// view teams with their budgets
    ReadTeams, "teams.read",
        [Owner Auditor Viewer OrganizationAdmin OrganizationAuditor OrganizationViewer TeamAdmin TeamMember TeamViewer], own [];
    /// create, rename and delete teams; their budgets, rate limits and allow-lists
    ChangeTeams, "teams.change",
        [Owner OrganizationAdmin], own [];
    /// tags and metadata of a team, limits of the members' personal keys
    ManageTeams, "teams.manage",
        [Owner OrganizationAdmin TeamAdmin], own [];
    /// view users and their roles
    ReadUsers, "users.read",
        [Owner Auditor Viewer OrganizationAdmin OrganizationAuditor OrganizationViewer TeamAdmin TeamViewer], own [];
    /// create users; give and take roles within the scope
    ChangeUsers, "users.change",
        [Owner OrganizationAdmin TeamAdmin], own [];
    /// view and check virtual keys
    ReadKeys, "keys.read",
        [Owner Auditor Viewer OrganizationAdmin OrganizationAuditor OrganizationViewer TeamAdmin TeamViewer], own [TeamMember];
    /// create, change, rotate, disable and delete virtual keys
    ChangeKeys, "keys.change",
        [Owner OrganizationAdmin TeamAdmin], own [TeamMember];
    /// view organizations, teams, keys and their limits as one document
    ReadState, "state.read",
        [Owner Auditor Viewer], own [];
    /// make organizations, teams, keys and their limits agree with a document
    ApplyState, "state.apply",
        [Owner], own [];
    /// view budgets: spent, held, left
    ReadBudgets, "budgets.read",
        [Owner Auditor Viewer OrganizationAdmin OrganizationAuditor OrganizationViewer TeamAdmin TeamViewer], own [TeamMember];
    /// take over keys of another gateway with the hashes of their secrets
    ImportKeys, "keys.import",
        [Owner OrganizationAdmin], own [];
    /// view administrative keys
    ReadAdminKeys, "admin_keys.read",
        [Owner Auditor OrganizationAdmin OrganizationAuditor TeamAdmin], own [];
    /// create, disable and delete administrative keys with roles of the scope
    ChangeAdminKeys, "admin_keys.change",
        [Owner OrganizationAdmin TeamAdmin], own [];
    /// usage and requests
    ReadUsage, "usage.read",
        [Owner Auditor Viewer OrganizationAdmin OrganizationAuditor OrganizationViewer TeamAdmin TeamViewer], own [TeamMember];
    /// view orphans, verify the books
    ReadLedger, "ledger.read",
        [Owner Auditor], own [];
    CorrectLedger, "ledger.correct",
        [Owner], own [];
    /// view, export and verify the audit log
    ReadAudit, "audit.read",
        [Owner Auditor], own [];
    /// turn prompt capture on and off, for teams and keys
    ChangeCaptures, "captures.change",
        [Owner OrganizationAdmin], own [];
    /// name the roles that may read the captured calls of a team
    GrantCaptures, "captures.grant",
        [Owner], own [];
    /// read captured calls, and the words in which two questions of the cache differ
    ReadCaptures, "captures.read",
        [Owner OrganizationAdmin], own [],
        granted [Auditor Viewer OrganizationAuditor OrganizationViewer TeamAdmin TeamMember TeamViewer];
    /// delete captured calls
    PurgeCaptures, "captures.purge",
        [Owner OrganizationAdmin], own [];
    /// purge the stored reasoning
    PurgeMemory, "reasoning_memory.purge",
        [Owner], own [];
    /// view the size of the cache of answers
    ReadCache, "cache.read",
        [Owner Auditor Viewer], own [];
    /// delete answers from the cache
    PurgeCache, "cache.purge",
        [Owner OrganizationAdmin TeamAdmin], own [TeamMember];
    /// view the names of providers; addresses and own rates with a role of the instance
    ReadProviders, "providers.read",
        [Owner Auditor Viewer OrganizationAdmin OrganizationAuditor OrganizationViewer TeamAdmin TeamMember TeamViewer], own [];
    /// create, change and delete providers; their credentials
    ChangeProviders, "providers.change",
        [Owner], own [];
    /// send a call without a model to a provider
    TestProviders, "providers.test",
        [Owner], own [];
    /// send own requests through a route while its targets fail by a script
    DrillRoutes, "routes.drill",
        [Owner], own [];
    /// view the names of routes and aliases; their targets with a role of the instance
    ReadRoutes, "routes.read",
        [Owner Auditor Viewer OrganizationAdmin OrganizationAuditor OrganizationViewer TeamAdmin TeamMember TeamViewer], own [];
    /// create, change and delete routes and aliases
    ChangeRoutes, "routes.change",
        [Owner], own [];
    /// view cooldowns, calls in flight and bounds of the deployments of a route
    ReadRouteHealth, "routes.health",
        [Owner Auditor Viewer], own [];
    /// view the prices of models
    ReadPrices, "prices.read",
        [Owner Auditor Viewer OrganizationAdmin OrganizationAuditor OrganizationViewer TeamAdmin TeamMember TeamViewer], own [];
    /// apply a price sheet in place of the embedded one
    ChangePrices, "prices.change",
        [Owner], own [];
    /// send a test message to the webhook of alerts
    TestAlerts, "alerts.test",
        [Owner], own [];
    /// view the settings of the configuration file, without secrets
    ReadSettings, "settings.read",
        [Owner Auditor Viewer], own [];
    /// change settings that the configuration file does not set
    ChangeSettings, "settings.change",
        [Owner], own [];
    /// view adopted time and the wall clock
    ReadClock, "clock.read",
        [Owner Auditor Viewer], own [];
    /// adopt the wall clock as it is
    AcceptClock, "clock.accept",
        [Owner], own [];
    /// metrics, and the reasons of a degraded state
    ReadMetrics, "metrics.read",
        [Owner Auditor Viewer], own [];
    /// copy all books
    TakeBackup, "backup.take",
        [Owner], own [];
    /// end the degraded state after a restore
    AcceptRestore, "restore.accept",
        [Owner], own [];
}

/// An action as a type.
pub trait Permit {
    const ACTION: Action;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::role::{Level, Scope};

    #[test]
    fn owner_may_perform_every_action() {
        for action in Action::ALL {
            assert_eq!(action.reach(Role::Owner), Some(Reach::Scope), "{action:?}");
        }
    }

    #[test]
    fn auditors_and_viewers_change_nothing() {
        let readers = Role::ALL
            .into_iter()
            .filter(|role| ["auditor", "viewer"].contains(&role.as_str()));
        for role in readers {
            for action in Action::ALL {
                let reads =
                    action.as_str().ends_with(".read") || *action == Action::ReadRouteHealth;
                assert!(
                    reads || action.reach(role).is_none(),
                    "{role:?} {}",
                    action.as_str()
                );
            }
        }
    }

    #[test]
    fn role_of_a_team_never_changes_its_teams_budget() {
        for role in Role::ALL
            .into_iter()
            .filter(|role| role.level() == Level::Team)
        {
            assert_eq!(Action::ChangeTeams.reach(role), None);
            assert_eq!(Action::ChangeOrganizations.reach(role), None);
        }
    }

    #[test]
    fn actor_display_is_the_audit_log_form() {
        let key = Actor::AdminKey {
            id: AdminKeyId(3),
            name: "ops".into(),
            membership: Membership {
                role: Role::Viewer,
                scope: Scope::Instance,
            },
        };
        let user = Actor::User {
            id: UserId(4),
            name: "Ada".into(),
            memberships: Vec::new(),
        };
        let names: Vec<String> = [Actor::Local { uid: 1000 }, key, user, Actor::Process]
            .iter()
            .map(Actor::to_string)
            .collect();
        assert_eq!(
            names,
            ["local:uid=1000", "admin:adm_3", "user:usr_4", "process"]
        );
    }
}
