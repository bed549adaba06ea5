//! Organizations, and the first steps of an empty instance.

use serde_json::json;

use crate::auth::grant::Grant;
use crate::auth::key;
use crate::auth::role::may;
use crate::control::budgets::{audited, by_owner, from_to, rewrite};
use crate::control::fields::Fields;
use crate::control::keys::{new_admin_key, unrandom};
use crate::control::terms::{Budgets, Name};
use crate::control::{Control, Done, WithBudgets, name_taken, not_found};
use crate::domain::budget::Owner;
use crate::domain::id::OrganizationId;
use crate::domain::problem::{Problem, Word};
use crate::domain::secret::Secret;
use crate::domain::tenant::Organization;
use crate::store::Change;

/// The organization that `bootstrap` makes.
pub const FIRST_ORGANIZATION: &str = "default";
/// The scope of organizations' names.
const SCOPE: &str = "organization";

/// An organization as it is asked for.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    pub name: Name,
    pub budgets: Budgets,
}

impl NewOrganization {
    pub fn from_json(body: &[u8]) -> Result<NewOrganization, Problem> {
        let mut fields = Fields::of_body(body)?;
        let new = NewOrganization { name: Name::take(&mut fields)?, budgets: Budgets::take(&mut fields)?.unwrap_or_default() };
        fields.finish()?;
        Ok(new)
    }
}

/// The budgets that an organization shall have from now on.
#[derive(Clone, Debug)]
pub struct OrganizationChange {
    pub budgets: Budgets,
}

impl OrganizationChange {
    pub fn from_json(body: &[u8]) -> Result<OrganizationChange, Problem> {
        let mut fields = Fields::of_body(body)?;
        let budgets = Budgets::take(&mut fields)?;
        fields.finish()?;
        Ok(OrganizationChange {
            budgets: budgets.ok_or_else(|| Problem::invalid("nothing to change; give `budgets`").at("budgets"))?,
        })
    }
}

impl Control {
    /// Makes the first organization and the first administrative key; refused unless the instance is empty.
    pub async fn bootstrap(&self, grant: &Grant<may::SetUp>) -> Result<Secret, Problem> {
        let minted = key::mint_administrative().map_err(unrandom)?;
        let secret = minted.secret.clone();
        self.carry_out(grant.actor(), "instance.set_up", move |books, at_ms| {
            if !books.organizations()?.is_empty() || !books.claim_name(SCOPE, FIRST_ORGANIZATION)? {
                return Err(set_up_already());
            }
            let id = OrganizationId(books.next_id()?);
            books.put_organization(&Organization { id, name: FIRST_ORGANIZATION.to_owned(), created_ms: at_ms })?;
            let admin = new_admin_key(books, "first".to_owned(), &minted, at_ms)?;
            Ok(Done {
                answer: (),
                subject: id.to_string(),
                detail: json!({ "organization": FIRST_ORGANIZATION, "admin_key": admin.id.to_string(), "hint": admin.hint }),
                budgets: Vec::new(),
            })
        })
        .await?;
        Ok(secret)
    }

    pub async fn create_organization(
        &self,
        grant: &Grant<may::ChangeOrganizations>,
        new: NewOrganization,
    ) -> Result<WithBudgets<Organization>, Problem> {
        let create = move |books: &mut Change<'_>, at_ms: u64| {
            if !books.claim_name(SCOPE, new.name.as_str())? {
                return Err(name_taken("an organization", new.name.as_str(), "this instance"));
            }
            let organization =
                Organization { id: OrganizationId(books.next_id()?), name: new.name.into_string(), created_ms: at_ms };
            books.put_organization(&organization)?;
            let budgets = rewrite(books, Owner::Organization(organization.id), &new.budgets)?;
            Ok(Done {
                subject: organization.id.to_string(),
                detail: json!({ "name": organization.name, "budgets": audited(&budgets.now) }),
                budgets: budgets.touched(),
                answer: (organization, budgets.now),
            })
        };
        let (organization, budgets) = self.carry_out(grant.actor(), "organization.create", create).await?;
        Ok(self.with_standings(organization, budgets))
    }

    pub async fn change_organization(
        &self,
        grant: &Grant<may::ChangeOrganizations>,
        id: OrganizationId,
        change: OrganizationChange,
    ) -> Result<WithBudgets<Organization>, Problem> {
        let change = move |books: &mut Change<'_>, _at_ms: u64| {
            let organization = books.organization(id)?.ok_or_else(|| not_found("organization", id))?;
            let budgets = rewrite(books, Owner::Organization(id), &change.budgets)?;
            Ok(Done {
                subject: id.to_string(),
                detail: json!({ "budgets": from_to(&budgets) }),
                budgets: budgets.touched(),
                answer: (organization, budgets.now),
            })
        };
        let (organization, budgets) = self.carry_out(grant.actor(), "organization.change", change).await?;
        Ok(self.with_standings(organization, budgets))
    }

    pub async fn organizations(&self, _grant: &Grant<may::ReadTenants>) -> Result<Vec<WithBudgets<Organization>>, Problem> {
        let mut tenants = self.read(|store| store.tenants()).await?;
        let organizations = std::mem::take(&mut tenants.organizations);
        let mut budgets = by_owner(tenants.budgets);
        let shown = |organization: Organization| {
            let own = budgets.remove(&Owner::Organization(organization.id)).unwrap_or_default();
            self.with_standings(organization, own)
        };
        Ok(organizations.into_iter().map(shown).collect())
    }
}

fn set_up_already() -> Problem {
    Problem::new(
        Word::Conflict,
        "this instance is set up already; make further administrative keys with `gatekeeper keys create --admin`",
    )
}
