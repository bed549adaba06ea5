//! JSON of users, roles and administrative keys. A secret is rendered only as `key`, in the answer to its creation.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::role::{Membership, Scope};
use crate::domain::secret::Secret;
use crate::domain::tenant::{AdminAccess, AdminKey, User};
use crate::server::api::views::rfc3339;

/// A role: of the instance without organization and team.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Membership")]
pub(crate) struct MembershipJson {
    role: &'static str,
    /// `instance`, `organization` or `team`
    scope: &'static str,
    organization: Option<String>,
    team: Option<String>,
}

impl MembershipJson {
    pub fn of(membership: &Membership) -> MembershipJson {
        let scope = membership.scope;
        MembershipJson {
            role: membership.role.as_str(),
            scope: scope.level().as_str(),
            organization: scope.organization().map(|id| id.to_string()),
            team: match scope {
                Scope::Team(_, id) => Some(id.to_string()),
                _ => None,
            },
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(crate) struct UserJson {
    id: String,
    object: &'static str,
    email: String,
    name: String,
    memberships: Vec<MembershipJson>,
    disabled: bool,
    created_at: String,
}

impl UserJson {
    pub fn of(user: &User) -> UserJson {
        UserJson {
            id: user.id.to_string(),
            object: "user",
            email: user.email.clone(),
            name: user.name.clone(),
            memberships: user.memberships.iter().map(MembershipJson::of).collect(),
            disabled: user.disabled,
            created_at: rfc3339(user.created_ms),
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AdministrativeKey")]
pub(crate) struct AdminKeyJson {
    id: String,
    object: &'static str,
    /// secret, only in the answer to its creation
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    name: String,
    /// role of the key; null if it has those of a user
    #[serde(flatten)]
    role: Option<MembershipJson>,
    user: Option<String>,
    expires_at: Option<String>,
    disabled: bool,
    hint: String,
    created_at: String,
}

impl AdminKeyJson {
    pub fn with_secret(self, secret: &Secret) -> AdminKeyJson {
        AdminKeyJson {
            key: Some(secret.expose().to_owned()),
            ..self
        }
    }

    pub fn of(admin: &AdminKey) -> AdminKeyJson {
        let (role, user) = match &admin.access {
            AdminAccess::Role(membership) => (Some(MembershipJson::of(membership)), None),
            AdminAccess::User(id) => (None, Some(id.to_string())),
        };
        AdminKeyJson {
            id: admin.id.to_string(),
            object: "admin_key",
            key: None,
            name: admin.name.clone(),
            role,
            user,
            expires_at: admin.expires_ms.map(rfc3339),
            disabled: admin.disabled,
            hint: admin.hint.clone(),
            created_at: rfc3339(admin.created_ms),
        }
    }
}
