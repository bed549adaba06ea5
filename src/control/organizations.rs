//! Organizations, and the setup of an empty instance.

use serde_json::{Map, json};

use crate::auth::grant::Grant;
use crate::auth::key::{self, GeneratedKey};
use crate::auth::role::may;
use crate::control::change::{AffectedLimits, ChangeOutcome};
use crate::control::error::{name_taken, not_found};
use crate::control::input::{Budgets, Name};
use crate::control::keys::{insert_admin_key, no_random_bytes};
use crate::control::limits::Limits;
use crate::control::owner_limits::{self, WithLimits};
use crate::control::plane::Control;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::id::OrganizationId;
use crate::domain::secret::Secret;
use crate::domain::tenant::Organization;
use crate::store::ChangeTransaction;

/// Organization that `bootstrap` creates.
pub const FIRST_ORGANIZATION: &str = "default";
/// Scope in which names of organizations are unique.
const SCOPE: &str = "organization";

/// A new organization.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    pub name: Name,
    pub budgets: Budgets,
    pub limits: Limits,
}

/// Partial update of an organization; `None` leaves a part unchanged.
#[derive(Clone, Debug, Default)]
pub struct OrganizationChange {
    pub budgets: Option<Budgets>,
    pub limits: Option<Limits>,
}

impl Control {
    /// Creates the first organization and the first administrative key; refused unless the instance is empty.
    pub async fn bootstrap(&self, grant: &Grant<may::SetUp>) -> Result<Secret, ApiError> {
        let generated = key::generate_admin().map_err(no_random_bytes)?;
        let secret = generated.secret.clone();
        self.set_up(grant, Some(generated)).await?;
        Ok(secret)
    }

    /// Creates the first organization without a key: the local admin socket is the way in.
    pub async fn bootstrap_without_key(&self, grant: &Grant<may::SetUp>) -> Result<(), ApiError> {
        self.set_up(grant, None).await
    }

    async fn set_up(
        &self,
        grant: &Grant<may::SetUp>,
        first_key: Option<GeneratedKey>,
    ) -> Result<(), ApiError> {
        let set_up = move |books: &mut ChangeTransaction<'_>, at_ms: u64| {
            if !books.organizations()?.is_empty() || !books.claim_name(SCOPE, FIRST_ORGANIZATION)? {
                return Err(already_set_up());
            }
            let id = OrganizationId(books.next_id()?);
            books.put_organization(&Organization {
                id,
                name: FIRST_ORGANIZATION.to_owned(),
                created_ms: at_ms,
            })?;
            let mut detail = json!({"organization": FIRST_ORGANIZATION});
            if let Some(generated) = &first_key {
                let admin = insert_admin_key(books, "first".to_owned(), generated, at_ms)?;
                detail["admin_key"] = admin.id.to_string().into();
                detail["hint"] = admin.hint.into();
            }
            Ok(ChangeOutcome {
                answer: (),
                subject: id.to_string(),
                detail,
                affected: AffectedLimits::default(),
            })
        };
        self.apply(grant.actor(), "instance.set_up", set_up).await
    }

    pub async fn create_organization(
        &self,
        grant: &Grant<may::ChangeOrganizations>,
        new: NewOrganization,
    ) -> Result<WithLimits<Organization>, ApiError> {
        let create = move |books: &mut ChangeTransaction<'_>, at_ms: u64| {
            if !books.claim_name(SCOPE, new.name.as_str())? {
                return Err(name_taken(
                    "an organization",
                    new.name.as_str(),
                    "this instance",
                ));
            }
            let organization = Organization {
                id: OrganizationId(books.next_id()?),
                name: new.name.into_string(),
                created_ms: at_ms,
            };
            books.put_organization(&organization)?;
            let (owner, mut detail) = (
                Owner::Organization(organization.id),
                json!({ "name": organization.name }),
            );
            let (stored, affected) =
                owner_limits::create(books, owner, (&new.budgets, &new.limits), &mut detail)?;
            Ok(ChangeOutcome {
                subject: organization.id.to_string(),
                detail,
                affected,
                answer: (organization, stored),
            })
        };
        let (organization, stored) = self
            .apply(grant.actor(), "organization.create", create)
            .await?;
        Ok(self.with_status(organization, stored))
    }

    pub async fn change_organization(
        &self,
        grant: &Grant<may::ChangeOrganizations>,
        id: OrganizationId,
        update: OrganizationChange,
    ) -> Result<WithLimits<Organization>, ApiError> {
        let change = move |books: &mut ChangeTransaction<'_>, _at_ms: u64| {
            let organization = books
                .organization(id)?
                .ok_or_else(|| not_found("organization", id))?;
            let limits = (update.budgets.as_ref(), update.limits.as_ref());
            let mut detail = Map::new();
            let (stored, affected) =
                owner_limits::change(books, Owner::Organization(id), limits, &mut detail)?;
            Ok(ChangeOutcome {
                subject: id.to_string(),
                detail: detail.into(),
                affected,
                answer: (organization, stored),
            })
        };
        let (organization, stored) = self
            .apply(grant.actor(), "organization.change", change)
            .await?;
        Ok(self.with_status(organization, stored))
    }

    pub async fn organizations(
        &self,
        _grant: &Grant<may::ReadTenants>,
    ) -> Result<Vec<WithLimits<Organization>>, ApiError> {
        let mut tenants = self.read(|store| store.tenants()).await?;
        let organizations = std::mem::take(&mut tenants.organizations);
        let mut by_owner = owner_limits::by_owner(tenants.budgets, tenants.limits);
        let with_status = |organization: Organization| {
            let owner = Owner::Organization(organization.id);
            self.with_status(organization, by_owner.remove(&owner).unwrap_or_default())
        };
        Ok(organizations.into_iter().map(with_status).collect())
    }
}

fn already_set_up() -> ApiError {
    ApiError::new(
        ErrorCode::Conflict,
        "instance already set up; create further administrative keys with `gatekeeper keys create --admin`",
    )
}
