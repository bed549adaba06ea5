//! Operations on declarations, each with the grant of its kind.

use serde_json::{Map, Value};

use crate::auth::grant::Grant;
use crate::auth::role::{Actor, Permit, may};
use crate::control::declaration_edits::edit::{DeclaredObject, Edit, Target};
use crate::control::plane::Control;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::declaration::DeclarationKind;
use crate::domain::role::Scope;

/// Kind of a name that leads to other names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutedName {
    Route,
    Alias,
}

impl RoutedName {
    pub fn as_str(self) -> &'static str {
        DeclarationKind::from(self).as_str()
    }
}

impl From<RoutedName> for DeclarationKind {
    fn from(name: RoutedName) -> DeclarationKind {
        match name {
            RoutedName::Route => DeclarationKind::Route,
            RoutedName::Alias => DeclarationKind::Alias,
        }
    }
}

impl Control {
    pub async fn create_provider(
        &self,
        grant: &Grant<may::ChangeProviders>,
        name: &str,
        members: Map<String, Value>,
    ) -> Result<DeclaredObject, ApiError> {
        let place = Target::new(DeclarationKind::Provider, name);
        self.put(grant.actor(), place, Edit::Create(members)).await
    }

    pub async fn change_provider(
        &self,
        grant: &Grant<may::ChangeProviders>,
        name: &str,
        members: Map<String, Value>,
    ) -> Result<DeclaredObject, ApiError> {
        let place = Target::new(DeclarationKind::Provider, name);
        self.put(grant.actor(), place, Edit::Change(members)).await
    }

    pub async fn delete_provider(
        &self,
        grant: &Grant<may::ChangeProviders>,
        name: &str,
    ) -> Result<(), ApiError> {
        let place = Target::new(DeclarationKind::Provider, name);
        self.edit(grant.actor(), place, Edit::Delete)
            .await
            .map(drop)
    }

    /// Providers that were declared through the API, by name; none for a role that sees names only.
    pub fn declared_providers(
        &self,
        grant: &Grant<may::ReadProviders>,
    ) -> Result<Vec<DeclaredObject>, ApiError> {
        self.declared(grant, DeclarationKind::Provider)
    }

    pub async fn create_route(
        &self,
        grant: &Grant<may::ChangeRoutes>,
        kind: RoutedName,
        name: &str,
        members: Map<String, Value>,
    ) -> Result<DeclaredObject, ApiError> {
        let place = Target::new(kind.into(), name);
        self.put(grant.actor(), place, Edit::Create(members)).await
    }

    pub async fn change_route(
        &self,
        grant: &Grant<may::ChangeRoutes>,
        kind: RoutedName,
        name: &str,
        members: Map<String, Value>,
    ) -> Result<DeclaredObject, ApiError> {
        let place = Target::new(kind.into(), name);
        self.put(grant.actor(), place, Edit::Change(members)).await
    }

    pub async fn delete_route(
        &self,
        grant: &Grant<may::ChangeRoutes>,
        kind: RoutedName,
        name: &str,
    ) -> Result<(), ApiError> {
        let place = Target::new(kind.into(), name);
        self.edit(grant.actor(), place, Edit::Delete)
            .await
            .map(drop)
    }

    /// Routes or aliases that were declared through the API, by name; none for a role that sees names only.
    pub fn declared_routes(
        &self,
        grant: &Grant<may::ReadRoutes>,
        kind: RoutedName,
    ) -> Result<Vec<DeclaredObject>, ApiError> {
        self.declared(grant, kind.into())
    }

    /// An edit that leaves a declaration.
    async fn put(
        &self,
        actor: &Actor,
        place: Target,
        edit: Edit,
    ) -> Result<DeclaredObject, ApiError> {
        let left = self.edit(actor, place, edit).await?;
        left.ok_or_else(|| ApiError::new(ErrorCode::Internal, "the declaration is gone"))
    }

    fn declared<P: Permit>(
        &self,
        grant: &Grant<P>,
        kind: DeclarationKind,
    ) -> Result<Vec<DeclaredObject>, ApiError> {
        if !grant.covers_all(Scope::Instance) {
            return Ok(Vec::new());
        }
        let Some(declarations) = &self.declarations else {
            return Ok(Vec::new());
        };
        let (api, file) = (declarations.api(), declarations.file());
        let rows = api.of_kind(kind);
        Ok(rows
            .map(|row| DeclaredObject::of(row.clone(), &api, &file))
            .collect())
    }
}
