//! Authorization proofs: every operation of `control` takes a `Grant` for its action, which also holds the places that it was given
//! for. A grant can only be created through the table in `role`, so no operation is reachable without authorization.

use std::marker::PhantomData;

use crate::auth::role::{Action, Actor, Permit, Reach};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::role::{Membership, Place, Role, Scope};

/// Proof that an actor is authorized for action `P`, and where.
#[derive(Clone, Debug)]
pub struct Grant<P> {
    actor: Actor,
    permit: PhantomData<P>,
}

impl<P: Permit> Grant<P> {
    /// Authorizes an actor, as in `Grant::for_actor(&actor, may::ChangeTeams)`; 403 if none of its roles has the action.
    pub fn for_actor(actor: &Actor, _action: P) -> Result<Grant<P>, ApiError> {
        let permitted = actor
            .memberships()
            .iter()
            .any(|membership| P::ACTION.reach(membership.role).is_some());
        if permitted {
            return Ok(Grant {
                actor: actor.clone(),
                permit: PhantomData,
            });
        }
        Err(denied(actor, P::ACTION))
    }

    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// True if the action is permitted on an object at this place.
    pub fn covers(&self, place: impl Into<Place>) -> bool {
        covers(&self.actor, P::ACTION, place.into())
    }

    /// True if another action is permitted to the same actor on an object at this place.
    pub fn sees(&self, action: Action, place: impl Into<Place>) -> bool {
        covers(&self.actor, action, place.into())
    }

    /// True if the action is permitted on an object at this place, or granted there to one of the actor's roles.
    pub fn covers_granted(&self, place: impl Into<Place>, granted: impl Fn(Role) -> bool) -> bool {
        let place = place.into();
        let is_granted = |membership: &Membership| {
            membership.scope.contains(place.scope)
                && P::ACTION.reach(membership.role) == Some(Reach::Granted)
                && granted(membership.role)
        };
        self.covers(place) || self.actor.memberships().iter().any(is_granted)
    }

    /// The refusal of this action where the actor lacks it.
    pub fn denial(&self) -> ApiError {
        denied(&self.actor, P::ACTION)
    }

    /// True if the action is permitted on everything in the scope, not only on what is the actor's own.
    pub fn covers_all(&self, scope: Scope) -> bool {
        covers(&self.actor, P::ACTION, Place { scope, user: None })
    }

    /// Refuses an object that the grant does not cover: 403 if the actor may see the object, else `unknown`, the answer for an
    /// object that does not exist.
    pub fn check(
        &self,
        place: impl Into<Place>,
        visible_by: Action,
        unknown: impl FnOnce() -> ApiError,
    ) -> Result<(), ApiError> {
        let place = place.into();
        if self.covers(place) {
            return Ok(());
        }
        Err(match covers(&self.actor, visible_by, place) {
            true => denied(&self.actor, P::ACTION),
            false => unknown(),
        })
    }
}

fn covers(actor: &Actor, action: Action, place: Place) -> bool {
    let own = place.user.is_some() && place.user == actor.user();
    actor.memberships().iter().any(|membership| {
        membership.scope.contains(place.scope)
            && match action.reach(membership.role) {
                Some(Reach::Scope) => true,
                Some(Reach::Own) => own,
                Some(Reach::Granted) | None => false,
            }
    })
}

fn denied(actor: &Actor, action: Action) -> ApiError {
    ApiError::new(
        ErrorCode::PermissionDenied,
        format!(
            "permission denied: {actor} has {}, which lacks {} here; ask an administrator of the organization, or an owner",
            actor.role_names(),
            action.as_str()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::role::may;
    use crate::domain::id::{OrganizationId, TeamId, UserId};

    const ACME: OrganizationId = OrganizationId(1);
    const TEAM: Scope = Scope::Team(ACME, TeamId(2));

    fn user(memberships: &[(Role, Scope)]) -> Actor {
        Actor::User {
            id: UserId(9),
            name: "Ada".into(),
            memberships: memberships
                .iter()
                .map(|(role, scope)| Membership {
                    role: *role,
                    scope: *scope,
                })
                .collect(),
        }
    }

    fn key_of(user: Option<u64>) -> Place {
        Place {
            scope: TEAM,
            user: user.map(UserId),
        }
    }

    #[test]
    fn grant_covers_only_its_scope() {
        let admin = user(&[(Role::OrganizationAdmin, Scope::Organization(ACME))]);
        let grant = Grant::for_actor(&admin, may::ChangeTeams).expect("permitted");
        assert!(grant.covers(TEAM) && !grant.covers(Scope::Instance));
        assert!(!grant.covers(Scope::Team(OrganizationId(7), TeamId(8))));
        assert!(Grant::for_actor(&admin, may::ChangeOrganizations).is_err());
    }

    #[test]
    fn member_reaches_own_keys_only() {
        let member = user(&[(Role::TeamMember, TEAM)]);
        let grant = Grant::for_actor(&member, may::ChangeKeys).expect("permitted");
        assert!(grant.covers(key_of(Some(9))));
        assert!(!grant.covers(key_of(Some(8))) && !grant.covers(key_of(None)));
        assert!(!grant.covers_all(TEAM));
    }

    #[test]
    fn object_outside_is_unknown_unless_the_actor_may_see_it() {
        let unknown = || ApiError::new(ErrorCode::NotFound, "unknown key");
        let other = Scope::Team(ACME, TeamId(3));
        let actor = user(&[(Role::TeamAdmin, TEAM), (Role::TeamViewer, other)]);
        let grant = Grant::for_actor(&actor, may::ChangeKeys).expect("permitted");
        let code = |place: Place| {
            let checked = grant.check(place, Action::ReadKeys, unknown);
            checked.map_err(|error| error.code)
        };
        assert_eq!(code(key_of(None)), Ok(()));
        assert_eq!(code(other.into()), Err(ErrorCode::PermissionDenied));
        let foreign = Scope::Team(OrganizationId(5), TeamId(6));
        assert_eq!(code(foreign.into()), Err(ErrorCode::NotFound));
    }
}
