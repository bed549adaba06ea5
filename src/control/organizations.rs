//! Organizations, and the setup of an empty instance.

use serde_json::{Map, json};

use crate::auth::directory::OwnerLimits;
use crate::auth::grant::Grant;
use crate::auth::key::{self, GeneratedKey};
use crate::auth::role::{Action, may};
use crate::control::admin_keys::insert_admin_key;
use crate::control::change::Change;
use crate::control::error::{name_taken, not_found};
use crate::control::input::{Budgets, Models, Name, models_to_audit};
use crate::control::keys::no_random_bytes;
use crate::control::limits::Limits;
use crate::control::owner_limits::{self, WithLimits};
use crate::control::page::{Page, PageQuery};
use crate::control::plane::Control;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::id::OrganizationId;
use crate::domain::role::{Membership, Scope};
use crate::domain::secret::Secret;
use crate::domain::tenant::{AdminAccess, Organization};

/// Organization that `bootstrap` creates.
pub const FIRST_ORGANIZATION: &str = "default";
/// Scope in which names of organizations are unique.
pub(super) const NAMES: &str = "organization";

/// A new organization.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    pub name: Name,
    pub models: Models,
    pub budgets: Budgets,
    pub limits: Limits,
}

/// Partial update of an organization; `None` leaves a part unchanged.
#[derive(Clone, Debug, Default)]
pub struct OrganizationChange {
    pub name: Option<Name>,
    pub models: Option<Models>,
    pub budgets: Option<Budgets>,
    pub limits: Option<Limits>,
}

impl Control {
    /// Creates the first organization and the first administrative key; refused unless the instance is empty.
    pub async fn bootstrap(&self, grant: &Grant<may::SetUp>) -> Result<Secret, ApiError> {
        let generated = key::generate_owner().map_err(no_random_bytes)?;
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
        let set_up = move |change: &mut Change<'_, '_>| {
            if !change.books.organizations()?.is_empty()
                || !change.books.claim_name(NAMES, FIRST_ORGANIZATION)?
            {
                return Err(already_set_up());
            }
            let id = OrganizationId(change.books.next_id()?);
            change.books.put_organization(&Organization {
                id,
                name: FIRST_ORGANIZATION.to_owned(),
                models: Models::default().into_allow_list(),
                created_ms: change.at_ms,
                deleted_ms: None,
            })?;
            let mut detail = json!({"organization": FIRST_ORGANIZATION});
            if let Some(generated) = &first_key {
                let access = AdminAccess::Role(Membership::OWNER);
                let admin = insert_admin_key(change, "first".to_owned(), access, None, generated)?;
                detail["admin_key"] = admin.id.to_string().into();
                detail["hint"] = admin.hint.into();
            }
            change.audit("instance.set_up", id, &detail)
        };
        self.apply(grant.actor(), set_up).await
    }

    pub async fn create_organization(
        &self,
        grant: &Grant<may::ChangeOrganizations>,
        new: NewOrganization,
    ) -> Result<WithLimits<Organization>, ApiError> {
        let create = move |change: &mut Change<'_, '_>| insert(change, new);
        let (organization, stored) = self.apply(grant.actor(), create).await?;
        Ok(self.with_status(organization, stored))
    }

    pub async fn change_organization(
        &self,
        grant: &Grant<may::ChangeOrganizations>,
        id: OrganizationId,
        update: OrganizationChange,
    ) -> Result<WithLimits<Organization>, ApiError> {
        let allowed = grant.clone();
        let rewrite = move |change: &mut Change<'_, '_>| {
            let organization = load(change, &allowed, id)?;
            change_row(change, organization, update)
        };
        let (organization, stored) = self.apply(grant.actor(), rewrite).await?;
        Ok(self.with_status(organization, stored))
    }

    pub async fn organizations(
        &self,
        grant: &Grant<may::ReadOrganizations>,
        page: PageQuery,
    ) -> Result<Page<WithLimits<Organization>>, ApiError> {
        let directory = self.directory();
        let visible = directory
            .organizations()
            .filter(|organization| grant.covers(Scope::Organization(organization.id)));
        let page = page.of(visible, |organization| organization.id.0);
        Ok(page.map(|organization| {
            let owner = Owner::Organization(organization.id);
            self.with_own_limits(organization.clone(), owner, &directory)
        }))
    }

    pub async fn organization(
        &self,
        grant: &Grant<may::ReadOrganizations>,
        id: OrganizationId,
    ) -> Result<WithLimits<Organization>, ApiError> {
        let directory = self.directory();
        let organization = directory
            .live_organization(id)
            .filter(|organization| grant.covers(Scope::Organization(organization.id)))
            .ok_or_else(|| not_found("organization", id))?;
        let owner = Owner::Organization(id);
        Ok(self.with_own_limits(organization.clone(), owner, &directory))
    }
}

type StoredOrganization = (Organization, OwnerLimits);

pub(super) fn insert(
    change: &mut Change<'_, '_>,
    new: NewOrganization,
) -> Result<StoredOrganization, ApiError> {
    claim(change, &new.name)?;
    let organization = Organization {
        id: OrganizationId(change.books.next_id()?),
        name: new.name.into_string(),
        models: new.models.into_allow_list(),
        created_ms: change.at_ms,
        deleted_ms: None,
    };
    change.books.put_organization(&organization)?;
    let owner = Owner::Organization(organization.id);
    let mut detail = json!({
        "name": organization.name,
        "models": models_to_audit(&organization.models),
    });
    let limits = (&new.budgets, &new.limits);
    let stored = owner_limits::create(change, owner, limits, &mut detail)?;
    change.audit("organization.create", organization.id, &detail)?;
    Ok((organization, stored))
}

pub(super) fn change_row(
    change: &mut Change<'_, '_>,
    mut organization: Organization,
    update: OrganizationChange,
) -> Result<StoredOrganization, ApiError> {
    let (id, mut detail) = (organization.id, Map::new());
    if let Some(name) = update.name {
        claim(change, &name)?;
        change.books.release_name(NAMES, &organization.name)?;
        let before = std::mem::replace(&mut organization.name, name.into_string());
        let names = json!({ "from": before, "to": organization.name });
        detail.insert("name".to_owned(), names);
    }
    if let Some(models) = update.models {
        let models = models.replace(&mut organization.models);
        detail.insert("models".to_owned(), models);
    }
    change.books.put_organization(&organization)?;
    let limits = (update.budgets.as_ref(), update.limits.as_ref());
    let stored = owner_limits::rewrite(change, Owner::Organization(id), limits, &mut detail)?;
    change.audit("organization.change", id, &detail.into())?;
    Ok((organization, stored))
}

/// The live organization, if the grant covers it.
pub(super) fn load(
    change: &mut Change<'_, '_>,
    grant: &Grant<may::ChangeOrganizations>,
    id: OrganizationId,
) -> Result<Organization, ApiError> {
    let unknown = || not_found("organization", id);
    let organization = change
        .books
        .organization(id)?
        .filter(|organization| organization.deleted_ms.is_none())
        .ok_or_else(unknown)?;
    let scope = Scope::Organization(id);
    grant.check(scope, Action::ReadOrganizations, unknown)?;
    let limits = change.directory.limits_of(Owner::Organization(id));
    change.check_version(&organization, &limits)?;
    Ok(organization)
}

fn claim(change: &mut Change<'_, '_>, name: &Name) -> Result<(), ApiError> {
    if change.books.claim_name(NAMES, name.as_str())? {
        return Ok(());
    }
    Err(name_taken(
        "an organization",
        name.as_str(),
        "this instance",
    ))
}

fn already_set_up() -> ApiError {
    ApiError::new(
        ErrorCode::Conflict,
        "instance already set up; create further administrative keys with `gatekeeper keys create --admin`",
    )
}
