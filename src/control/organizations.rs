//! Organizations, and the first steps of an empty instance.

use serde_json::{Map, json};

use crate::auth::grant::Grant;
use crate::auth::key;
use crate::auth::role::may;
use crate::control::fields::Fields;
use crate::control::input::{Budgets, Name};
use crate::control::keys::{new_admin_key, unrandom};
use crate::control::limits::Limits;
use crate::control::owner_limits;
use crate::control::owner_limits::AffectedLimits;
use crate::control::{ChangeOutcome, Control, WithLimits, name_taken, not_found};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::id::OrganizationId;
use crate::domain::secret::Secret;
use crate::domain::tenant::Organization;
use crate::store::ChangeTransaction;

/// The organization that `bootstrap` makes.
pub const FIRST_ORGANIZATION: &str = "default";
/// The scope of organizations' names.
const SCOPE: &str = "organization";

/// An organization as it is asked for.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    pub name: Name,
    pub budgets: Budgets,
    pub limits: Limits,
}

impl NewOrganization {
    pub fn from_json(body: &[u8]) -> Result<NewOrganization, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let new = NewOrganization {
            name: Name::take(&mut fields)?,
            budgets: Budgets::take(&mut fields)?.unwrap_or_default(),
            limits: Limits::take(&mut fields)?.unwrap_or_default(),
        };
        fields.finish()?;
        Ok(new)
    }
}

/// What shall be different; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default)]
pub struct OrganizationChange {
    pub budgets: Option<Budgets>,
    pub limits: Option<Limits>,
}

impl OrganizationChange {
    pub fn from_json(body: &[u8]) -> Result<OrganizationChange, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let change = OrganizationChange {
            budgets: Budgets::take(&mut fields)?,
            limits: Limits::take(&mut fields)?,
        };
        fields.finish()?;
        if change.budgets.is_none() && change.limits.is_none() {
            return Err(ApiError::invalid(
                "nothing to change; give `budgets` or `limits`",
            ));
        }
        Ok(change)
    }
}

impl Control {
    /// Makes the first organization and the first administrative key; refused unless the instance is empty.
    pub async fn bootstrap(&self, grant: &Grant<may::SetUp>) -> Result<Secret, ApiError> {
        let minted = key::generate_admin().map_err(unrandom)?;
        let secret = minted.secret.clone();
        self.apply(grant.actor(), "instance.set_up", move |books, at_ms| {
            if !books.organizations()?.is_empty() || !books.claim_name(SCOPE, FIRST_ORGANIZATION)? {
                return Err(set_up_already());
            }
            let id = OrganizationId(books.next_id()?);
            books.put_organization(&Organization { id, name: FIRST_ORGANIZATION.to_owned(), created_ms: at_ms })?;
            let admin = new_admin_key(books, "first".to_owned(), &minted, at_ms)?;
            Ok(ChangeOutcome {
                answer: (),
                subject: id.to_string(),
                detail: json!({ "organization": FIRST_ORGANIZATION, "admin_key": admin.id.to_string(), "hint": admin.hint }),
                touched: AffectedLimits::default(),
            })
        })
        .await?;
        Ok(secret)
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
            let (owned, touched) =
                owner_limits::create(books, owner, (&new.budgets, &new.limits), &mut detail)?;
            Ok(ChangeOutcome {
                subject: organization.id.to_string(),
                detail,
                touched,
                answer: (organization, owned),
            })
        };
        let (organization, owned) = self
            .apply(grant.actor(), "organization.create", create)
            .await?;
        Ok(self.with_standings(organization, owned))
    }

    pub async fn change_organization(
        &self,
        grant: &Grant<may::ChangeOrganizations>,
        id: OrganizationId,
        wanted: OrganizationChange,
    ) -> Result<WithLimits<Organization>, ApiError> {
        let change = move |books: &mut ChangeTransaction<'_>, _at_ms: u64| {
            let organization = books
                .organization(id)?
                .ok_or_else(|| not_found("organization", id))?;
            let (terms, mut detail) = (
                (wanted.budgets.as_ref(), wanted.limits.as_ref()),
                Map::new(),
            );
            let (owned, touched) =
                owner_limits::change(books, Owner::Organization(id), terms, &mut detail)?;
            Ok(ChangeOutcome {
                subject: id.to_string(),
                detail: detail.into(),
                touched,
                answer: (organization, owned),
            })
        };
        let (organization, owned) = self
            .apply(grant.actor(), "organization.change", change)
            .await?;
        Ok(self.with_standings(organization, owned))
    }

    pub async fn organizations(
        &self,
        _grant: &Grant<may::ReadTenants>,
    ) -> Result<Vec<WithLimits<Organization>>, ApiError> {
        let mut tenants = self.read(|store| store.tenants()).await?;
        let organizations = std::mem::take(&mut tenants.organizations);
        let mut owned = owner_limits::by_owner(tenants.budgets, tenants.limits);
        let shown = |organization: Organization| {
            let own = owned
                .remove(&Owner::Organization(organization.id))
                .unwrap_or_default();
            self.with_standings(organization, own)
        };
        Ok(organizations.into_iter().map(shown).collect())
    }
}

fn set_up_already() -> ApiError {
    ApiError::new(
        ErrorCode::Conflict,
        "this instance is set up already; make further administrative keys with `gatekeeper keys create --admin`",
    )
}
