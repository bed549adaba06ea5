//! Difference between an object of a document and the one in the books: the partial update that removes it.

use serde_json::Value;

use crate::auth::directory::OwnerLimits;
use crate::control::input::{BudgetTerms, Budgets, Models};
use crate::control::keys::KeyChange;
use crate::control::labels::{LabelsChange, MemberKeysChange};
use crate::control::limits::{LimitTerms, Limits};
use crate::control::organizations::OrganizationChange;
use crate::control::state::wanted::{WantedKey, WantedOrganization, WantedTeam};
use crate::control::teams::{TeamChange, TeamDetails};
use crate::domain::allow_list::AllowList;
use crate::domain::budget::Budget;
use crate::domain::limit::RateLimit;
use crate::domain::tenant::{Labels, MemberKeyRules, Organization, Team, VirtualKey};

/// `None`: nothing differs.
pub(super) fn of_organization(
    wanted: &WantedOrganization,
    found: &Organization,
    limits: &OwnerLimits,
) -> Option<OrganizationChange> {
    let update = OrganizationChange {
        name: None,
        models: models(&wanted.models, &found.models),
        budgets: budgets(&wanted.budgets, &limits.budgets),
        limits: rate_limits(&wanted.limits, &limits.limits),
    };
    let differs = update.models.is_some() || update.budgets.is_some() || update.limits.is_some();
    differs.then_some(update)
}

/// `None`: nothing differs.
pub(super) fn of_team(
    wanted: &WantedTeam,
    found: &Team,
    limits: &OwnerLimits,
) -> Option<TeamChange> {
    let update = TeamChange {
        name: None,
        models: models(&wanted.models, &found.models),
        endpoints: (wanted.endpoints != found.endpoints).then(|| wanted.endpoints.clone()),
        max_cost: (wanted.max_cost != found.max_cost).then_some(wanted.max_cost),
        budgets: budgets(&wanted.budgets, &limits.budgets),
        limits: rate_limits(&wanted.limits, &limits.limits),
        details: TeamDetails {
            labels: labels(&wanted.labels, &found.labels),
            member_keys: member_keys(wanted.member_keys, found.member_keys),
        },
    };
    let differs = update.models.is_some()
        || update.endpoints.is_some()
        || update.max_cost.is_some()
        || update.budgets.is_some()
        || update.limits.is_some()
        || update.details != TeamDetails::default();
    differs.then_some(update)
}

/// `None`: nothing differs.
pub(super) fn of_key(
    wanted: &WantedKey,
    found: &VirtualKey,
    limits: &OwnerLimits,
) -> Option<KeyChange> {
    let update = KeyChange {
        name: None,
        models: models(&wanted.models, &found.models),
        endpoints: (wanted.endpoints != found.endpoints).then(|| wanted.endpoints.clone()),
        max_cost: (wanted.max_cost != found.max_cost).then_some(wanted.max_cost),
        labels: labels(&wanted.labels, &found.labels),
        expires_ms: (wanted.expires_ms != found.expires_ms).then_some(wanted.expires_ms),
        disabled: (wanted.disabled != found.disabled).then_some(wanted.disabled),
        now: false,
        budgets: budgets(&wanted.budgets, &limits.budgets),
        limits: rate_limits(&wanted.limits, &limits.limits),
    };
    let differs = update.models.is_some()
        || update.endpoints.is_some()
        || update.max_cost.is_some()
        || !update.labels.is_empty()
        || update.expires_ms.is_some()
        || update.disabled.is_some()
        || update.budgets.is_some()
        || update.limits.is_some();
    differs.then_some(update)
}

fn models(wanted: &Models, found: &AllowList) -> Option<Models> {
    (wanted.clone().into_allow_list() != *found).then(|| wanted.clone())
}

/// Order does not matter: no two budgets of an owner have the same period, action and model.
fn budgets(wanted: &Budgets, found: &[Budget]) -> Option<Budgets> {
    let found: Vec<BudgetTerms> = found.iter().map(BudgetTerms::of).collect();
    let same = found.len() == wanted.terms().len()
        && wanted.terms().iter().all(|terms| found.contains(terms));
    (!same).then(|| wanted.clone())
}

fn rate_limits(wanted: &Limits, found: &[RateLimit]) -> Option<Limits> {
    let found: Vec<LimitTerms> = found.iter().map(LimitTerms::of).collect();
    let wanted = wanted.of_new_owner();
    let same = found.len() == wanted.len() && wanted.iter().all(|terms| found.contains(terms));
    (!same).then_some(Limits::Exactly(wanted))
}

fn labels(wanted: &Labels, found: &Labels) -> LabelsChange {
    let parsed = |text: &Option<String>| -> Option<Value> {
        text.as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
    };
    let metadata_differs = parsed(&wanted.metadata) != parsed(&found.metadata);
    LabelsChange {
        tags: (wanted.tags != found.tags).then(|| wanted.tags.clone()),
        metadata: metadata_differs.then(|| wanted.metadata.clone()),
    }
}

fn member_keys(wanted: MemberKeyRules, found: MemberKeyRules) -> MemberKeysChange {
    let budget_differs = wanted.monthly_budget != found.monthly_budget;
    MemberKeysChange {
        monthly_budget: budget_differs.then_some(wanted.monthly_budget),
        keys_max: (wanted.keys_max != found.keys_max).then_some(wanted.keys_max),
    }
}
