//! The caller's own view: what a key may call, what is left of its budgets, when they reset, and who administers it. The proof of
//! authorization is the authenticated caller.

use std::sync::Arc;

use crate::auth::directory::{Caller, Directory};
use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::control::key_status::KeyStatus;
use crate::control::plane::Control;
use crate::control::requests::{RequestPage, RequestQuery};
use crate::domain::api_error::ApiError;
use crate::domain::role::{Role, Scope};
use crate::domain::tenant::User;

/// Administrators named to a key at most.
const ADMINISTRATORS_MAX: usize = 5;

/// Administrator of a key, as the key may know one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administrator {
    pub name: String,
    pub email: String,
}

impl Control {
    /// Status of the caller's own key.
    pub fn own_status(&self, caller: &Arc<Caller>) -> KeyStatus {
        self.status_of(&self.directory(), caller.clone())
    }

    /// Users that administer the caller's team, else its organization, else the instance.
    pub fn administrators_of(&self, caller: &Caller) -> Vec<Administrator> {
        let directory = self.directory();
        let scope = caller.team.scope();
        let organization = Scope::Organization(caller.organization.id);
        for (role, scope) in [
            (Role::TeamAdmin, scope),
            (Role::OrganizationAdmin, organization),
            (Role::Owner, Scope::Instance),
        ] {
            let found = holders(&directory, role, scope);
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// Request log of the caller's own key.
    pub async fn own_requests(
        &self,
        caller: &Caller,
        query: RequestQuery,
    ) -> Result<RequestPage, ApiError> {
        let grant = Grant::for_actor(&Actor::Process, may::ReadUsage)?;
        let key = Some(caller.key.id);
        self.requests(&grant, RequestQuery { key, ..query }).await
    }
}

fn holders(directory: &Directory, role: Role, scope: Scope) -> Vec<Administrator> {
    let has_role = |user: &&User| {
        let mut memberships = user.memberships.iter();
        !user.disabled
            && memberships.any(|membership| membership.role == role && membership.scope == scope)
    };
    let holders = directory.users().filter(has_role).take(ADMINISTRATORS_MAX);
    holders
        .map(|user| Administrator {
            name: user.name.clone(),
            email: user.email.clone(),
        })
        .collect()
}
