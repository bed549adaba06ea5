//! Users and administrative keys as rows. Rows are positional: the order of the fields, and the positions in `Role::ALL`, are stored.

use serde::{Deserialize, Serialize};

use crate::domain::id::{AdminKeyId, OrganizationId, TeamId, UserId};
use crate::domain::role::{Level, Membership, Role, Scope};
use crate::domain::tenant::{AdminAccess, AdminKey, User};
use crate::store::codec::{StoredValue, read_row, unknown_version, write_row};

/// Position of the role, organization, team; zero where the scope has none.
type MembershipRow = (u8, u64, u64);

fn membership_row(membership: &Membership) -> MembershipRow {
    let role = Role::ALL.iter().position(|role| *role == membership.role);
    let organization = membership.scope.organization().map_or(0, |id| id.0);
    let team = membership.scope.team().map_or(0, |id| id.0);
    (role.unwrap_or_default() as u8, organization, team)
}

fn membership_of((role, organization, team): MembershipRow) -> Result<Membership, String> {
    let role = Role::ALL
        .get(usize::from(role))
        .copied()
        .ok_or_else(|| format!("unknown role {role}"))?;
    let organization = OrganizationId(organization);
    let scope = match role.level() {
        Level::Instance => Scope::Instance,
        Level::Organization => Scope::Organization(organization),
        Level::Team => Scope::Team(organization, TeamId(team)),
    };
    Ok(Membership { role, scope })
}

#[derive(Serialize, Deserialize)]
enum AccessRow {
    Role(MembershipRow),
    User(u64),
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct AdminKeyRow {
    id: u64,
    name: String,
    access: AccessRow,
    secret_hash: [u8; 32],
    hint: String,
    expires_ms: Option<u64>,
    disabled: bool,
    created_ms: u64,
    deleted_ms: Option<u64>,
}

/// Version 2, always an owner's: id, name, hash, hint, disabled, time of creation.
type AdminKeyRow2 = (u64, String, [u8; 32], String, bool, u64);

impl StoredValue for AdminKey {
    const KIND: &'static str = "administrative key";
    const VERSION: u8 = 3;
    type Row = AdminKeyRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = AdminKeyRow {
            id: self.id.0,
            name: self.name.clone(),
            access: match &self.access {
                AdminAccess::Role(membership) => AccessRow::Role(membership_row(membership)),
                AdminAccess::User(user) => AccessRow::User(user.0),
            },
            secret_hash: self.secret_hash,
            hint: self.hint.clone(),
            expires_ms: self.expires_ms,
            disabled: self.disabled,
            created_ms: self.created_ms,
            deleted_ms: self.deleted_ms,
        };
        write_row(&row, into)
    }

    fn from_row(row: AdminKeyRow) -> Result<AdminKey, String> {
        Ok(AdminKey {
            id: AdminKeyId(row.id),
            name: row.name,
            access: match row.access {
                AccessRow::Role(membership) => AdminAccess::Role(membership_of(membership)?),
                AccessRow::User(user) => AdminAccess::User(UserId(user)),
            },
            secret_hash: row.secret_hash,
            hint: row.hint,
            expires_ms: row.expires_ms,
            disabled: row.disabled,
            created_ms: row.created_ms,
            deleted_ms: row.deleted_ms,
        })
    }

    fn decode_version(version: u8, bytes: &[u8]) -> Result<AdminKey, String> {
        match version {
            2 => {
                let (id, name, secret_hash, hint, disabled, created_ms): AdminKeyRow2 =
                    read_row(bytes)?;
                Ok(AdminKey {
                    id: AdminKeyId(id),
                    name,
                    access: AdminAccess::Role(Membership::OWNER),
                    secret_hash,
                    hint,
                    expires_ms: None,
                    disabled,
                    created_ms,
                    deleted_ms: None,
                })
            }
            3 => read_row(bytes).and_then(AdminKey::from_row),
            other => Err(unknown_version::<AdminKey>(other)),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct UserRow {
    id: u64,
    email: String,
    name: String,
    memberships: Vec<MembershipRow>,
    disabled: bool,
    created_ms: u64,
    deleted_ms: Option<u64>,
}

impl StoredValue for User {
    const KIND: &'static str = "user";
    type Row = UserRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = UserRow {
            id: self.id.0,
            email: self.email.clone(),
            name: self.name.clone(),
            memberships: self.memberships.iter().map(membership_row).collect(),
            disabled: self.disabled,
            created_ms: self.created_ms,
            deleted_ms: self.deleted_ms,
        };
        write_row(&row, into)
    }

    fn from_row(row: UserRow) -> Result<User, String> {
        let memberships = row.memberships.into_iter().map(membership_of);
        Ok(User {
            id: UserId(row.id),
            email: row.email,
            name: row.name,
            memberships: memberships.collect::<Result<_, _>>()?,
            disabled: row.disabled,
            created_ms: row.created_ms,
            deleted_ms: row.deleted_ms,
        })
    }
}
