//! Limits that a team sets for the personal keys which its members make for themselves.

use crate::auth::directory::Directory;
use crate::control::error::not_found;
use crate::control::input::{BudgetTerms, Budgets};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::{Action, Owner, Period};
use crate::domain::id::UserId;
use crate::domain::money::Money;
use crate::domain::tenant::{MEMBER_KEYS_DEFAULT, Team, VirtualKey};

/// Refuses a personal key for a user that has no role in the team itself.
pub(super) fn check_user(
    directory: &Directory,
    team: &Team,
    user: Option<UserId>,
) -> Result<(), ApiError> {
    let Some(id) = user else {
        return Ok(());
    };
    let user = directory
        .live_user(id)
        .ok_or_else(|| not_found("user", id).with_param("user"))?;
    if user.is_member_of(team.id) {
        return Ok(());
    }
    let message = format!(
        "{id} is no member of the team `{}`; add the user to the team first",
        team.name
    );
    Err(ApiError::invalid(message).with_param("user"))
}

/// Budgets of a member's new key: the team's limit where the member names none.
pub(super) fn check_new(
    directory: &Directory,
    team: &Team,
    user: Option<UserId>,
    budgets: Budgets,
) -> Result<Budgets, ApiError> {
    let keys_max = team.member_keys.keys_max.unwrap_or(MEMBER_KEYS_DEFAULT);
    let own = user.map_or(0, |user| {
        let keys = directory.keys_of_user(user);
        keys.filter(|caller| caller.team.id == team.id).count()
    });
    if own >= keys_max as usize {
        let message = format!(
            "limit of {keys_max} personal keys in the team `{}` reached; delete one, or ask an administrator of the team",
            team.name
        );
        return Err(ApiError::new(ErrorCode::Conflict, message));
    }
    let Some(limit) = team.member_keys.monthly_budget else {
        return Ok(budgets);
    };
    if budgets.terms().is_empty() {
        return Budgets::new(vec![BudgetTerms {
            limit,
            period: Period::Monthly,
            action: Action::Block,
            model: None,
        }]);
    }
    check_budgets(team, limit, budgets.terms())?;
    Ok(budgets)
}

/// Refuses a member's change that would leave a key without the budget that the team demands.
pub(super) fn check_changed(
    directory: &Directory,
    key: &VirtualKey,
    budgets: Option<&Budgets>,
) -> Result<(), ApiError> {
    let Some(team) = directory.team(key.team) else {
        return Ok(());
    };
    let (Some(limit), Some(budgets)) = (team.member_keys.monthly_budget, budgets) else {
        return Ok(());
    };
    // an administrator may have given more, which the member may keep or lower
    let given = directory.limits_of(Owner::Key(key.id)).budgets;
    let given = given.iter().filter(|budget| {
        budget.period == Period::Monthly && budget.action == Action::Block && budget.model.is_none()
    });
    let given = given.map(|budget| budget.limit).max();
    check_budgets(
        team,
        given.map_or(limit, |given| given.max(limit)),
        budgets.terms(),
    )
}

fn check_budgets(team: &Team, limit: Money, terms: &[BudgetTerms]) -> Result<(), ApiError> {
    let bounded = terms.iter().any(|terms| {
        terms.period == Period::Monthly
            && terms.action == Action::Block
            && terms.model.is_none()
            && terms.limit <= limit
    });
    if bounded {
        return Ok(());
    }
    let message = format!(
        "must have a monthly `block` budget of at most ${limit}: the team `{}` limits personal keys to that",
        team.name
    );
    Err(ApiError::invalid(format!("`budgets` {message}")).with_param("budgets"))
}
