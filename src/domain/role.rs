//! Roles, and the part of the instance in which a role holds. `auth::role` has the table of what each role may do.

use crate::domain::id::{OrganizationId, TeamId, UserId};

/// Kind of scope that a role belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Instance,
    Organization,
    Team,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Instance => "instance",
            Level::Organization => "organization",
            Level::Team => "team",
        }
    }
}

/// Role of a user or an administrative key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Owner,
    Auditor,
    Viewer,
    OrganizationAdmin,
    OrganizationAuditor,
    OrganizationViewer,
    TeamAdmin,
    TeamMember,
    TeamViewer,
}

impl Role {
    /// All roles. The positions are stored.
    pub const ALL: [Role; 9] = [
        Role::Owner,
        Role::Auditor,
        Role::Viewer,
        Role::OrganizationAdmin,
        Role::OrganizationAuditor,
        Role::OrganizationViewer,
        Role::TeamAdmin,
        Role::TeamMember,
        Role::TeamViewer,
    ];

    /// Level and word: the word is unique within its level.
    const fn row(self) -> (Level, &'static str) {
        match self {
            Role::Owner => (Level::Instance, "owner"),
            Role::Auditor => (Level::Instance, "auditor"),
            Role::Viewer => (Level::Instance, "viewer"),
            Role::OrganizationAdmin => (Level::Organization, "admin"),
            Role::OrganizationAuditor => (Level::Organization, "auditor"),
            Role::OrganizationViewer => (Level::Organization, "viewer"),
            Role::TeamAdmin => (Level::Team, "admin"),
            Role::TeamMember => (Level::Team, "member"),
            Role::TeamViewer => (Level::Team, "viewer"),
        }
    }

    pub const fn level(self) -> Level {
        self.row().0
    }

    pub const fn as_str(self) -> &'static str {
        self.row().1
    }

    pub fn parse(level: Level, word: &str) -> Option<Role> {
        Role::ALL
            .into_iter()
            .find(|role| role.level() == level && role.as_str() == word)
    }

    /// Words of a level, for messages: `admin, member or viewer`.
    pub fn words(level: Level) -> &'static str {
        match level {
            Level::Instance => "owner, auditor or viewer",
            Level::Organization => "admin, auditor or viewer",
            Level::Team => "admin, member or viewer",
        }
    }
}

/// Part of the instance: all of it, one organization with its teams, or one team. A team never changes its organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Instance,
    Organization(OrganizationId),
    Team(OrganizationId, TeamId),
}

impl Scope {
    pub fn level(self) -> Level {
        match self {
            Scope::Instance => Level::Instance,
            Scope::Organization(_) => Level::Organization,
            Scope::Team(..) => Level::Team,
        }
    }

    /// True if the other scope is this one or a part of it.
    pub fn contains(self, other: Scope) -> bool {
        match (self, other) {
            (Scope::Instance, _) => true,
            (Scope::Organization(own), Scope::Organization(other) | Scope::Team(other, _)) => {
                own == other
            }
            (Scope::Team(_, own), Scope::Team(_, other)) => own == other,
            _ => false,
        }
    }

    pub fn organization(self) -> Option<OrganizationId> {
        match self {
            Scope::Instance => None,
            Scope::Organization(id) | Scope::Team(id, _) => Some(id),
        }
    }

    pub fn team(self) -> Option<TeamId> {
        match self {
            Scope::Team(_, id) => Some(id),
            _ => None,
        }
    }
}

/// Place of an object: its scope, and the user that owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub scope: Scope,
    /// only for personal keys
    pub user: Option<UserId>,
}

impl From<Scope> for Place {
    fn from(scope: Scope) -> Place {
        Place { scope, user: None }
    }
}

/// A role in a scope of the role's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Membership {
    pub role: Role,
    pub scope: Scope,
}

impl Membership {
    pub const OWNER: Membership = Membership {
        role: Role::Owner,
        scope: Scope::Instance,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_is_parsed_from_its_level_and_word() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.level(), role.as_str()), Some(role));
            assert!(Role::words(role.level()).contains(role.as_str()));
        }
        assert_eq!(Role::parse(Level::Team, "owner"), None);
    }

    #[test]
    fn scope_contains_itself_and_its_parts() {
        let (acme, other) = (OrganizationId(1), OrganizationId(2));
        let team = Scope::Team(acme, TeamId(3));
        assert!(Scope::Instance.contains(team) && Scope::Instance.contains(Scope::Instance));
        assert!(Scope::Organization(acme).contains(team) && team.contains(team));
        assert!(!Scope::Organization(other).contains(team));
        assert!(!Scope::Organization(acme).contains(Scope::Instance));
        assert!(!team.contains(Scope::Organization(acme)));
        assert!(!team.contains(Scope::Team(acme, TeamId(4))));
    }
}
