//! Status of a presented key: what it may do right now, by the checks that a call goes through. Changes nothing.

use std::sync::Arc;

use crate::auth;
use crate::auth::directory::{Caller, Directory};
use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::owner_limits::WithLimits;
use crate::control::plane::Control;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::id::AdminKeyId;
use crate::domain::tenant::VirtualKey;
use crate::policy::access;

/// An owner above a key, whose budgets and limits its calls also count against.
#[derive(Clone, Debug)]
pub struct KeyAncestor {
    pub owner: Owner,
    pub name: String,
}

/// Status of a presented key.
#[derive(Debug)]
pub enum KeyStatus {
    Virtual {
        caller: Arc<Caller>,
        own: WithLimits<VirtualKey>,
        /// from the parent key upwards; only ancestors with budgets or limits
        ancestors: Vec<WithLimits<KeyAncestor>>,
        /// configured model names that it may call
        models: Vec<String>,
    },
    Administrative {
        id: AdminKeyId,
        name: String,
    },
    /// the error that a call with it would get
    Refused(ApiError),
}

impl Control {
    /// Status of the key with this secret.
    pub async fn key_status(
        &self,
        grant: &Grant<may::ReadKeys>,
        secret: &str,
    ) -> Result<KeyStatus, ApiError> {
        let directory = self.directory.load_full();
        if let Some(admin) = auth::find_admin(&directory, secret, self.now_ms()) {
            // the key itself was presented, so its existence is no secret
            return Ok(KeyStatus::Administrative {
                id: admin.id,
                name: admin.name.clone(),
            });
        }
        let caller = match auth::authenticate(&directory, Some(secret), self.now_ms()) {
            Ok(caller) => caller,
            // a disabled administrative key: the error of the data plane would mislead
            Err(error) if error.code == ErrorCode::PermissionDenied => {
                return Ok(KeyStatus::Refused(
                    auth::authenticate_admin(&directory, Some(secret), self.now_ms())
                        .err()
                        .unwrap_or(error),
                ));
            }
            Err(error) => return Ok(KeyStatus::Refused(error)),
        };
        if !grant.covers(caller.key.place()) {
            return Ok(KeyStatus::Refused(ApiError::new(
                ErrorCode::NotFound,
                "unknown key in your scope; ask an administrator of its team",
            )));
        }
        Ok(self.status_of(&directory, caller))
    }

    /// Status of an authenticated caller.
    pub(super) fn status_of(&self, directory: &Directory, caller: Arc<Caller>) -> KeyStatus {
        let own = self.key_with_limits(&caller, directory);
        let with_limits = |ancestor: KeyAncestor| {
            let owner = ancestor.owner;
            self.with_own_limits(ancestor, owner, directory)
        };
        let ancestors = ancestors(&caller)
            .map(with_limits)
            .filter(|ancestor| !ancestor.budgets.is_empty() || !ancestor.limits.is_empty())
            .collect();
        KeyStatus::Virtual {
            models: self.callable_models(&caller),
            own,
            ancestors,
            caller,
        }
    }

    fn callable_models(&self, caller: &Caller) -> Vec<String> {
        let mut names = Vec::new();
        let tenants = (&caller.organization, &caller.team);
        (self.catalogue)(&mut |name, provider, model| {
            if access::is_model_allowed(tenants, caller.keys(), &[name], (provider, model)) {
                names.push(name.to_owned());
            }
        });
        // a route is visited once per target
        names.dedup();
        names
    }
}

fn ancestors(caller: &Caller) -> impl Iterator<Item = KeyAncestor> {
    let parents = caller.parents.iter().map(|key| KeyAncestor {
        owner: Owner::Key(key.id),
        name: key.name.clone(),
    });
    let (team, organization) = (&caller.team, &caller.organization);
    parents.chain([
        KeyAncestor {
            owner: Owner::Team(team.id),
            name: team.name.clone(),
        },
        KeyAncestor {
            owner: Owner::Organization(organization.id),
            name: organization.name.clone(),
        },
    ])
}
