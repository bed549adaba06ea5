//! List of all budgets with their status, whoever owns them.

use crate::auth::directory::Directory;
use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::names::resolve_team;
use crate::control::owner_limits::BudgetWithStatus;
use crate::control::page::{Page, PageQuery};
use crate::control::plane::Control;
use crate::domain::api_error::ApiError;
use crate::domain::budget::{Action, Budget, Owner};
use crate::domain::id::{BudgetId, KeyId, TeamId};
use crate::domain::role::{Place, Scope};

/// Filters of the list.
#[derive(Clone, Debug, Default)]
pub struct BudgetFilter {
    /// an id or a name: budgets of the team and of its keys
    pub team: Option<String>,
    pub key: Option<KeyId>,
    pub action: Option<Action>,
}

/// A budget with its owner.
#[derive(Clone, Debug)]
pub struct BudgetOfOwner {
    pub budget: BudgetWithStatus,
    pub owner_name: String,
    pub team: Option<TeamId>,
}

impl Control {
    /// Budgets of the organizations, teams and keys that the grant covers.
    pub async fn budgets(
        &self,
        grant: &Grant<may::ReadBudgets>,
        filter: &BudgetFilter,
        page: PageQuery,
    ) -> Result<Page<BudgetOfOwner>, ApiError> {
        let directory = self.directory();
        let team = match &filter.team {
            Some(text) => Some(resolve_team(&directory, grant, text)?.id),
            None => None,
        };
        let first = BudgetId(page.after.saturating_add(1));
        let visible = directory.budgets_from(first).filter_map(|budget| {
            let place = place_of(&directory, budget.owner)?;
            let shown = grant.covers(place)
                && team.is_none_or(|team| place.scope.team() == Some(team))
                && filter.key.is_none_or(|key| budget.owner == Owner::Key(key))
                && filter.action.is_none_or(|action| budget.action == action);
            shown.then_some((budget, place))
        });
        let page = page.of(visible, |(budget, _)| budget.id.0);
        Ok(page.map(|(budget, place)| self.budget_of_owner(&directory, budget, place)))
    }

    fn budget_of_owner(
        &self,
        directory: &Directory,
        budget: &Budget,
        place: Place,
    ) -> BudgetOfOwner {
        BudgetOfOwner {
            budget: BudgetWithStatus::of(budget.clone(), &self.ledger),
            owner_name: name_of(directory, budget.owner).unwrap_or_default(),
            team: place.scope.team(),
        }
    }
}

fn place_of(directory: &Directory, owner: Owner) -> Option<Place> {
    match owner {
        Owner::Organization(id) => Some(Scope::Organization(id).into()),
        Owner::Team(id) => directory.team(id).map(|team| team.scope().into()),
        Owner::Key(id) => directory.key(id).map(|caller| caller.key.place()),
    }
}

fn name_of(directory: &Directory, owner: Owner) -> Option<String> {
    match owner {
        Owner::Organization(id) => directory.organization(id).map(|one| one.name.clone()),
        Owner::Team(id) => directory.team(id).map(|team| team.name.clone()),
        Owner::Key(id) => directory.key(id).map(|caller| caller.key.name.clone()),
    }
}
