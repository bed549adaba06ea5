//! Leave to do one thing on the control plane. Every call of `control` takes one, and the only way to one is through the
//! table in `role`, so that no change can be reached unauthorised.

use std::marker::PhantomData;

use crate::auth::role::{Actor, Permit};
use crate::domain::api_error::{ApiError, ErrorCode};

/// That an actor may do `P`.
#[derive(Clone, Debug)]
pub struct Grant<P> {
    actor: Actor,
    permit: PhantomData<P>,
}

impl<P: Permit> Grant<P> {
    /// `Grant::for_actor(&actor, may::ChangeTeams)`; 403 where the actor's role does not carry the action.
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
                "{actor} has the role {}, which does not carry {}; ask an owner",
                actor.role().as_str(),
                P::ACTION.as_str()
            ),
        ))
    }

    pub fn actor(&self) -> &Actor {
        &self.actor
    }
}
