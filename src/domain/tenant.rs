//! Organization → team → virtual key → child key, and the administrative key beside them.

use crate::domain::id::{AdminKeyId, KeyId, OrganizationId, TeamId};
use crate::domain::pattern::Pattern;

/// SHA-256 of a whole secret; all that is kept of it.
pub type SecretHash = [u8; 32];

/// Keys above a key, at most.
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
    /// unique in its organization
    pub name: String,
    /// the models its keys may call; empty means all
    pub models: Vec<Pattern>,
    pub created_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualKey {
    pub id: KeyId,
    pub team: TeamId,
    pub organization: OrganizationId,
    /// the key that it was made under, of the same team, and for good
    pub parent: Option<KeyId>,
    /// what people call it; unique in its team
    pub name: String,
    pub secret_hash: SecretHash,
    /// the last four letters of the secret, to tell keys apart on a list
    pub hint: String,
    /// the models it may call, within those of its team and its parents; empty means all of them
    pub models: Vec<Pattern>,
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
