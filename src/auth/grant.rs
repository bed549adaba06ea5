//! Authorization proofs: every operation of `control` takes a `Grant` for its action, and a grant can only be created through the
//! table in `role`, so no operation is reachable without authorization.

use std::marker::PhantomData;

use crate::auth::role::{Actor, Permit};
use crate::domain::api_error::{ApiError, ErrorCode};

/// Proof that an actor is authorized for action `P`.
#[derive(Clone, Debug)]
pub struct Grant<P> {
    actor: Actor,
    permit: PhantomData<P>,
}

impl<P: Permit> Grant<P> {
    /// Authorizes an actor, as in `Grant::for_actor(&actor, may::ChangeTeams)`; 403 if its role lacks the action.
    pub fn for_actor(actor: &Actor, _action: P) -> Result<Grant<P>, ApiError> {
        if actor.role().may(P::ACTION) {
            return Ok(Grant {
                actor: actor.clone(),
                permit: PhantomData,
            });
        }
        Err(ApiError::new(
            ErrorCode::PermissionDenied,
            format!(
                "permission denied: {actor} has the role {}, which lacks {}; ask an owner",
                actor.role().as_str(),
                P::ACTION.as_str()
            ),
        ))
    }

    pub fn actor(&self) -> &Actor {
        &self.actor
    }
}
