//! Which role may do what: the one table of the control plane. Never asks who somebody is beyond his role.

use std::fmt;

use crate::domain::id::AdminKeyId;

/// Who acts on the control plane, as the audit log will name him.
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
    /// the program itself: started by a person (`init`, `demo`), or of its own accord
    Process,
}

impl Actor {
    /// All three doors that are open now lead to the instance's owner.
    pub fn role(&self) -> Role {
        match self {
            Actor::Local { .. } | Actor::AdminKey { .. } | Actor::Process => Role::Owner,
        }
    }
}

/// The form that audit events keep: never a name, because names change.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Local { uid } => write!(f, "local:uid={uid}"),
            Actor::AdminKey { id, .. } => write!(f, "admin:{id}"),
            Actor::Process => f.write_str("process"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// of the whole instance
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

/// One line per action: what it is called, who may do it. Each action is a type too, for `Grant`.
macro_rules! table {
    ($($(#[$doc:meta])* $action:ident, $word:literal, [$($role:ident),*];)*) => {
        /// Something that can be done on the control plane.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* $action,)*
        }

        impl Action {
            pub const ALL: &[Action] = &[$(Action::$action,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Action::$action => $word,)*
                }
            }

            fn roles(self) -> &'static [Role] {
                match self {
                    $(Action::$action => &[$(Role::$role),*],)*
                }
            }
        }

        /// The actions as types: `Grant<ChangeTeams>` is leave to change teams and nothing else.
        pub mod may {
            use super::{Action, Permit};
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
    /// see organizations, teams, keys and their budgets; check a key
    ReadTenants, "tenants.read", [Owner];
    ChangeOrganizations, "organizations.change", [Owner];
    ChangeTeams, "teams.change", [Owner];
    /// virtual keys
    ChangeKeys, "keys.change", [Owner];
    ChangeAdminKeys, "admin_keys.change", [Owner];
    /// usage and requests of everybody
    ReadUsage, "usage.read", [Owner];
    /// see orphans, verify the books
    ReadLedger, "ledger.read", [Owner];
    CorrectLedger, "ledger.correct", [Owner];
    /// throw away what is kept of models' thoughts
    PurgeMemory, "reasoning_memory.purge", [Owner];
    /// see adopted time and the wall clock
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
    fn the_owner_may_do_everything() {
        assert!(Action::ALL.iter().all(|action| Role::Owner.may(*action)));
    }

    #[test]
    fn actors_are_named_for_the_audit_log() {
        let key = Actor::AdminKey {
            id: AdminKeyId(3),
            name: "ops".into(),
        };
        let named: Vec<String> = [Actor::Local { uid: 1000 }, key, Actor::Process]
            .iter()
            .map(Actor::to_string)
            .collect();
        assert_eq!(named, ["local:uid=1000", "admin:adm_3", "process"]);
    }
}
