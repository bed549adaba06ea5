//! Tenants: organization → team → virtual key → child key; users with roles; and administrative keys.

use crate::domain::allow_list::AllowList;
use crate::domain::id::{AdminKeyId, KeyId, OrganizationId, TeamId, UserId};
use crate::domain::money::Money;
use crate::domain::role::{Membership, Place, Scope};

/// SHA-256 of the full secret; the secret itself is never stored.
pub type SecretHash = [u8; 32];

/// Maximum number of ancestors of a virtual key.
pub const PARENTS_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    pub id: OrganizationId,
    pub name: String,
    /// models its keys may call
    pub models: AllowList,
    pub created_ms: u64,
    /// a deleted organization keeps its name in reports
    pub deleted_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    pub id: TeamId,
    pub organization: OrganizationId,
    /// unique within the organization
    pub name: String,
    /// models its keys may call
    pub models: AllowList,
    pub labels: Labels,
    /// endpoints its keys may call; `None` allows all
    pub endpoints: Option<Vec<Endpoint>>,
    pub member_keys: MemberKeyRules,
    /// most that one request of its keys may cost
    pub max_cost: Option<Money>,
    pub created_ms: u64,
    pub deleted_ms: Option<u64>,
}

impl Team {
    pub fn scope(&self) -> Scope {
        Scope::Team(self.organization, self.id)
    }
}

/// Limits of the personal keys that members of a team make for themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberKeyRules {
    /// highest monthly `block` budget of such a key, which each of them has; `None`: no budget is needed
    pub monthly_budget: Option<Money>,
    /// live keys per member; `None`: `MEMBER_KEYS_DEFAULT`
    pub keys_max: Option<u32>,
}

/// Personal keys of a member of a team, unless the team sets another number.
pub const MEMBER_KEYS_DEFAULT: u32 = 5;

/// Tags and free metadata of a team or key. They have no effect on calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    pub tags: Vec<String>,
    /// a JSON object
    pub metadata: Option<String>,
}

/// Endpoint of the data plane, for `allowed_endpoints`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    ChatCompletions,
    Responses,
    Messages,
    CountTokens,
    Embeddings,
}

impl Endpoint {
    /// All endpoints. The positions are stored.
    pub const ALL: [Endpoint; 5] = [
        Endpoint::ChatCompletions,
        Endpoint::Responses,
        Endpoint::Messages,
        Endpoint::CountTokens,
        Endpoint::Embeddings,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Endpoint::ChatCompletions => "chat_completions",
            Endpoint::Responses => "responses",
            Endpoint::Messages => "messages",
            Endpoint::CountTokens => "count_tokens",
            Endpoint::Embeddings => "embeddings",
        }
    }

    pub fn parse(word: &str) -> Option<Endpoint> {
        Endpoint::ALL
            .into_iter()
            .find(|endpoint| endpoint.as_str() == word)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualKey {
    pub id: KeyId,
    pub team: TeamId,
    pub organization: OrganizationId,
    /// parent key in the same team; never changes
    pub parent: Option<KeyId>,
    /// owner of a personal key; `None`: a service key of the team
    pub user: Option<UserId>,
    /// display name, unique within the team
    pub name: String,
    pub secret_hash: SecretHash,
    /// the secret comes from another gateway: `secret_hash` is the keyed hash of its SHA-256
    pub imported: bool,
    /// last four characters of the secret, to distinguish keys in a list
    pub hint: String,
    /// secret before the last rotation
    pub previous: Option<PreviousSecret>,
    /// models it may call, restricted further by its team and ancestors
    pub models: AllowList,
    pub labels: Labels,
    /// endpoints it may call; `None` adds no restriction
    pub endpoints: Option<Vec<Endpoint>>,
    /// most that one request may cost
    pub max_cost: Option<Money>,
    pub expires_ms: Option<u64>,
    pub disabled: bool,
    pub created_ms: u64,
    pub deleted_ms: Option<u64>,
}

impl VirtualKey {
    pub fn place(&self) -> Place {
        Place {
            scope: Scope::Team(self.organization, self.team),
            user: self.user,
        }
    }
}

/// Secret that a rotation replaced; it works until the grace period ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousSecret {
    pub secret_hash: SecretHash,
    /// as in `VirtualKey`
    pub imported: bool,
    pub hint: String,
    pub until_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminKey {
    pub id: AdminKeyId,
    pub name: String,
    pub access: AdminAccess,
    pub secret_hash: SecretHash,
    pub hint: String,
    pub expires_ms: Option<u64>,
    pub disabled: bool,
    pub created_ms: u64,
    pub deleted_ms: Option<u64>,
}

/// Permissions of an administrative key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminAccess {
    /// a role of its own
    Role(Membership),
    /// the roles of a user, as they are at each call
    User(UserId),
}

/// A person. The roles are in the memberships.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    /// sign-in name in lower case, unique in the instance
    pub email: String,
    pub name: String,
    pub memberships: Vec<Membership>,
    pub disabled: bool,
    pub created_ms: u64,
    pub deleted_ms: Option<u64>,
}

impl User {
    /// True if the user has a role in the team itself.
    pub fn is_member_of(&self, team: TeamId) -> bool {
        self.memberships
            .iter()
            .any(|membership| membership.scope.team() == Some(team))
    }
}
