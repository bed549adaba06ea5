//! Account of a drill: a key of the team `drill`, which the first drill makes. The key is deleted after the drill; its records keep
//! its name.

use serde_json::json;

use crate::auth::grant::Grant;
use crate::auth::key;
use crate::auth::role::may;
use crate::control::change::Change;
use crate::control::input::{BudgetTerms, Budgets, Models, Name};
use crate::control::keys::{KeyParent, NewVirtualKey, no_random_bytes};
use crate::control::limits::Limits;
use crate::control::plane::Control;
use crate::control::teams::{self, NewTeam};
use crate::domain::api_error::ApiError;
use crate::domain::budget::{Action, Period};
use crate::domain::id::{KeyId, TeamId};
use crate::domain::money::Money;
use crate::domain::secret::Secret;
use crate::domain::tenant::{Labels, MemberKeyRules};

/// Name of the team.
const TEAM: &str = "drill";
/// A key that a killed process left behind ends by itself.
const LIFETIME_MS: u64 = 10 * 60_000;

/// Key of a drill.
#[derive(Debug)]
pub struct DrillAccount {
    pub key: KeyId,
    pub team: TeamId,
    pub secret: Secret,
}

impl Control {
    /// Makes the key of a drill. `max_cost`: most that all its requests may cost together.
    pub async fn open_drill(
        &self,
        grant: &Grant<may::DrillRoutes>,
        route: &str,
        max_cost: Option<Money>,
    ) -> Result<DrillAccount, ApiError> {
        let keys = Grant::for_actor(grant.actor(), may::ChangeKeys)?;
        self.audit_drill(grant, route, max_cost).await?;
        let team = self.drill_team(grant).await?;
        let suffix = key::generate(TEAM).map_err(no_random_bytes)?.hint;
        let name = Name::parse(&format!("{TEAM}-{}-{suffix}", self.now_ms()))?;
        let terms = max_cost.map(|limit| BudgetTerms {
            limit,
            period: Period::Total,
            action: Action::Block,
            model: None,
        });
        let new = NewVirtualKey {
            name,
            parent: KeyParent::Team(team.to_string()),
            user: None,
            models: Models::ALL,
            endpoints: None,
            labels: Labels {
                tags: vec![TEAM.to_owned()],
                metadata: Some(json!({ "route": route }).to_string()),
            },
            max_cost: None,
            expires_ms: Some(self.now_ms().saturating_add(LIFETIME_MS)),
            budgets: Budgets::new(terms.into_iter().collect())?,
            limits: Limits::default(),
        };
        let (key, secret) = self.create_key(&keys, new).await?;
        Ok(DrillAccount {
            key: key.record.id,
            team,
            secret,
        })
    }

    /// Notes the drill in the audit log.
    async fn audit_drill(
        &self,
        grant: &Grant<may::DrillRoutes>,
        route: &str,
        max_cost: Option<Money>,
    ) -> Result<(), ApiError> {
        let detail = json!({ "max_cost_usd": max_cost.map(|most| most.to_string()) });
        let route = route.to_owned();
        let note = move |change: &mut Change<'_, '_>| change.audit("route.drill", route, &detail);
        self.apply(grant.actor(), note).await
    }

    /// Deletes the key of a drill.
    pub async fn close_drill(
        &self,
        grant: &Grant<may::DrillRoutes>,
        account: &DrillAccount,
    ) -> Result<(), ApiError> {
        let keys = Grant::for_actor(grant.actor(), may::ChangeKeys)?;
        self.delete_key(&keys, account.key, false, false).await
    }

    /// The team of drills in the oldest organization.
    async fn drill_team(&self, grant: &Grant<may::DrillRoutes>) -> Result<TeamId, ApiError> {
        let directory = self.directory();
        let organization = directory.organizations().next();
        let organization = organization
            .ok_or_else(|| ApiError::defect("no organization exists"))?
            .id;
        let find = |team: &&crate::domain::tenant::Team| {
            team.organization == organization && team.name == TEAM
        };
        if let Some(team) = directory.teams().find(find) {
            return Ok(team.id);
        }
        let new = NewTeam {
            name: Name::parse(TEAM)?,
            organization: None,
            models: Models::ALL,
            endpoints: None,
            labels: Labels::default(),
            member_keys: MemberKeyRules::default(),
            max_cost: None,
            budgets: Budgets::default(),
            limits: Limits::default(),
        };
        let create = move |change: &mut Change<'_, '_>| teams::insert(change, organization, new);
        let (team, _) = self.apply(grant.actor(), create).await?;
        Ok(team.id)
    }
}
