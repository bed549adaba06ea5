//! Status of a presented key: what it may do right now, by the checks that a call goes through. Changes nothing.

use std::sync::Arc;

use crate::auth;
use crate::auth::directory::Caller;
use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::control::owner_limits::{self, WithLimits};
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
        _grant: &Grant<may::ReadTenants>,
        secret: &str,
    ) -> Result<KeyStatus, ApiError> {
        let directory = self.directory.load_full();
        if let Ok(Actor::AdminKey { id, name }) = auth::authenticate_admin(&directory, Some(secret))
        {
            return Ok(KeyStatus::Administrative { id, name });
        }
        let caller = match auth::authenticate(&directory, Some(secret), self.now_ms()) {
            Ok(caller) => caller,
            // a disabled administrative key: the error of the data plane would mislead
            Err(error) if error.code == ErrorCode::PermissionDenied => {
                return Ok(KeyStatus::Refused(
                    auth::authenticate_admin(&directory, Some(secret))
                        .err()
                        .unwrap_or(error),
                ));
            }
            Err(error) => return Ok(KeyStatus::Refused(error)),
        };
        let tenants = self.read(|store| store.tenants()).await?;
        let mut by_owner = owner_limits::by_owner(tenants.budgets, tenants.limits);
        let own = by_owner
            .remove(&Owner::Key(caller.key.id))
            .unwrap_or_default();
        let own = self.with_status(caller.key.clone(), own);
        let with_limits = |ancestor: KeyAncestor| {
            by_owner
                .remove(&ancestor.owner)
                .map(|stored| self.with_status(ancestor, stored))
        };
        let ancestors = ancestors(&caller).filter_map(with_limits).collect();
        Ok(KeyStatus::Virtual {
            models: self.callable_models(&caller),
            own,
            ancestors,
            caller,
        })
    }

    fn callable_models(&self, caller: &Caller) -> Vec<String> {
        let mut names = Vec::new();
        (self.catalogue)(&mut |name, provider, model| {
            if access::is_model_allowed(&caller.team, caller.keys(), &[name], (provider, model)) {
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
