//! Tenants: organization → team → virtual key → child key; and administrative keys, which belong to no tenant.

use crate::domain::allow_list::AllowList;
use crate::domain::id::{AdminKeyId, KeyId, OrganizationId, TeamId};

/// SHA-256 of the full secret; the secret itself is never stored.
pub type SecretHash = [u8; 32];

/// Maximum number of ancestors of a virtual key.
pub const PARENTS_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    pub id: OrganizationId,
    pub name: String,
    pub created_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    pub id: TeamId,
    pub organization: OrganizationId,
    /// unique within the organization
    pub name: String,
    /// models its keys may call
    pub models: AllowList,
    pub created_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualKey {
    pub id: KeyId,
    pub team: TeamId,
    pub organization: OrganizationId,
    /// parent key in the same team; never changes
    pub parent: Option<KeyId>,
    /// display name, unique within the team
    pub name: String,
    pub secret_hash: SecretHash,
    /// last four characters of the secret, to distinguish keys in a list
    pub hint: String,
    /// models it may call, restricted further by its team and ancestors
    pub models: AllowList,
    pub expires_ms: Option<u64>,
    pub disabled: bool,
    pub created_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminKey {
    pub id: AdminKeyId,
    pub name: String,
    pub secret_hash: SecretHash,
    pub hint: String,
    pub disabled: bool,
    pub created_ms: u64,
}
