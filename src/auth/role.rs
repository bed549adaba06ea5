//! Authorization table of the control plane: the roles that may perform each action. Authorization depends on the role alone.

use std::fmt;

use crate::domain::id::AdminKeyId;

/// Actor of a control-plane operation, as recorded in the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// the peer of the local admin socket
    Local {
        uid: u32,
    },
    AdminKey {
        id: AdminKeyId,
        name: String,
    },
    /// the gateway process itself, as in `init`, `demo` or a background task
    Process,
}

impl Actor {
    /// Role of the actor; currently every actor is an owner.
    pub fn role(&self) -> Role {
        match self {
            Actor::Local { .. } | Actor::AdminKey { .. } | Actor::Process => Role::Owner,
        }
    }
}

/// Stored form in audit events: never a name, because names change.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Local { uid } => write!(f, "local:uid={uid}"),
            Actor::AdminKey { id, .. } => write!(f, "admin:{id}"),
            Actor::Process => f.write_str("process"),
        }
    }
}

/// Role of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// owner of the instance
    Owner,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
        }
    }

    pub fn may(self, action: Action) -> bool {
        action.roles().contains(&self)
    }
}

/// One line per action: name and permitted roles. Each action is also a type, for `Grant`.
macro_rules! table {
    ($($(#[$doc:meta])* $action:ident, $name:literal, [$($role:ident),*];)*) => {
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

            fn roles(self) -> &'static [Role] {
                match self {
                    $(Action::$action => &[$(Role::$role),*],)*
                }
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
    SetUp, "instance.set_up", [Owner];
    /// view organizations, teams, keys and their budgets; check a key
    ReadTenants, "tenants.read", [Owner];
    ChangeOrganizations, "organizations.change", [Owner];
    ChangeTeams, "teams.change", [Owner];
    /// virtual keys
    ChangeKeys, "keys.change", [Owner];
    ChangeAdminKeys, "admin_keys.change", [Owner];
    /// usage and requests of all tenants
    ReadUsage, "usage.read", [Owner];
    /// view orphans, verify the books
    ReadLedger, "ledger.read", [Owner];
    CorrectLedger, "ledger.correct", [Owner];
    /// view, export and verify the audit log
    ReadAudit, "audit.read", [Owner];
    /// purge the stored reasoning
    PurgeMemory, "reasoning_memory.purge", [Owner];
    /// view adopted time and the wall clock
    ReadClock, "clock.read", [Owner];
    /// adopt the wall clock as it is
    AcceptClock, "clock.accept", [Owner];
}

/// An action as a type.
pub trait Permit {
    const ACTION: Action;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_may_perform_every_action() {
        assert!(Action::ALL.iter().all(|action| Role::Owner.may(*action)));
    }

    #[test]
    fn actor_display_is_the_audit_log_form() {
        let key = Actor::AdminKey {
            id: AdminKeyId(3),
            name: "ops".into(),
        };
        let names: Vec<String> = [Actor::Local { uid: 1000 }, key, Actor::Process]
            .iter()
            .map(Actor::to_string)
            .collect();
        assert_eq!(names, ["local:uid=1000", "admin:adm_3", "process"]);
    }
}
