//! `/v1/budgets`: every budget with what is spent, held and left, and when it resets.

use schemars::JsonSchema;
use serde::Serialize;

use crate::auth::role::may;
use crate::control::budget_list::{BudgetFilter, BudgetOfOwner};
use crate::domain::api_error::ApiError;
use crate::domain::budget::{Action, Owner};
use crate::domain::id::{BudgetId, KeyId};
use crate::server::api::call::{ApiCall, known};
use crate::server::api::list_query::{ListQuery, next};
use crate::server::api::reply::ApiReply;
use crate::server::api::views::{BudgetJson, List};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OwnedBudget")]
pub(super) struct OwnedBudgetJson<'a> {
    object: &'static str,
    #[serde(flatten)]
    budget: BudgetJson<'a>,
    /// `organization`, `team` or `key`
    owner_kind: &'static str,
    owner: String,
    owner_name: &'a str,
    /// the owner, or the team of the key
    team: Option<String>,
}

impl OwnedBudgetJson<'_> {
    fn of(owned: &BudgetOfOwner) -> OwnedBudgetJson<'_> {
        let (owner_kind, owner) = match owned.budget.budget.owner {
            Owner::Organization(id) => ("organization", id.to_string()),
            Owner::Team(id) => ("team", id.to_string()),
            Owner::Key(id) => ("key", id.to_string()),
        };
        OwnedBudgetJson {
            object: "budget",
            budget: BudgetJson::of(&owned.budget),
            owner_kind,
            owner,
            owner_name: &owned.owner_name,
            team: owned.team.map(|team| team.to_string()),
        }
    }
}

/// `?team=`, `?key=` and `?action=` filter.
pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadBudgets)?;
    let number = |text: &str| BudgetId::parse(text).map(|id| id.0);
    let mut query = ListQuery::parse(&call.query, number)?;
    let (key, action) = (query.take("key"), query.take("action"));
    let filter = BudgetFilter {
        team: query.take("team"),
        key: key.map(|id| known(KeyId::parse(&id), "key")).transpose()?,
        action: action.map(|word| parse_action(&word)).transpose()?,
    };
    let page = query.finish("the list of budgets")?;
    let page = call.control.budgets(&grant, &filter, page).await?;
    ApiReply::ok(&List {
        data: page.items.iter().map(OwnedBudgetJson::of).collect(),
        next: next(&page, |owned| owned.budget.budget.id),
    })
}

fn parse_action(word: &str) -> Result<Action, ApiError> {
    Action::parse(word)
        .ok_or_else(|| ApiError::invalid("`action` must be block or warn").with_param("action"))
}
