//! Creation, change and deletion of a declaration: checked with everything that is in force, stored with its audit event, then put in
//! force. An edit that would leave a name without a model is refused.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::auth::directory::OwnerLimits;
use crate::auth::role::Actor;
use crate::config::InvalidMember;
use crate::control::change::Change;
use crate::control::declaration_edits::members::merged;
use crate::control::declarations::set::{DeclarationSet, FileDeclarations, newly_unreached};
use crate::control::declarations::state::Declarations;
use crate::control::error::{name_taken, not_found};
use crate::control::plane::Control;
use crate::control::version::version_of;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::declaration::{Declaration, DeclarationKind};
use crate::store::seal::SealKey;

/// Names that a message lists.
const SHOWN_MAX: usize = 5;

/// A declaration of the API with its version.
#[derive(Clone, Debug)]
pub struct DeclaredObject {
    pub row: Arc<Declaration>,
    pub version: String,
    /// the configuration file declares the name too, which is in force
    pub is_in_file: bool,
    /// reason why it is not in force
    pub fault: Option<String>,
}

impl DeclaredObject {
    pub(super) fn of(
        row: Arc<Declaration>,
        set: &DeclarationSet,
        file: &FileDeclarations,
    ) -> DeclaredObject {
        let fault = set.fault(row.kind, &row.name);
        DeclaredObject {
            version: version_of(&row, &OwnerLimits::default()),
            is_in_file: file.declares(row.kind, &row.name),
            fault: fault.map(|fault| fault.message.clone()),
            row,
        }
    }
}

/// Edit of a declaration.
pub(super) enum Edit {
    Create(Map<String, Value>),
    /// members replace those of the same name; null takes one away
    Change(Map<String, Value>),
    Delete,
}

/// The declaration that an edit is about.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub kind: DeclarationKind,
    pub name: String,
}

impl Target {
    pub fn new(kind: DeclarationKind, name: &str) -> Target {
        Target {
            kind,
            name: name.to_owned(),
        }
    }
}

/// Row that an edit leaves, with the detail of its audit event.
struct Draft {
    row: Option<Declaration>,
    action: &'static str,
    detail: Value,
}

impl Control {
    /// Runs an edit in a task of its own: a caller that hangs up must not leave a stored declaration out of force. Returns what is left.
    pub(super) async fn edit(
        &self,
        actor: &Actor,
        target: Target,
        edit: Edit,
    ) -> Result<Option<DeclaredObject>, ApiError> {
        let (control, actor) = (self.clone(), actor.clone());
        let task = tokio::spawn(async move { control.edit_in_turn(&actor, target, edit).await });
        task.await.unwrap_or_else(|error| {
            let message = format!("change failed: {error}");
            Err(ApiError::new(ErrorCode::Internal, message))
        })
    }

    async fn edit_in_turn(
        &self,
        actor: &Actor,
        target: Target,
        edit: Edit,
    ) -> Result<Option<DeclaredObject>, ApiError> {
        let declarations = self.declarations()?;
        let _turn = declarations.turn().await;
        let Target { kind, name } = &target;
        if declarations.file().declares(*kind, name) {
            return Err(managed_by_file(*kind, name));
        }
        let api = declarations.api();
        let before = api.get(*kind, name).cloned();
        if before.is_some() && matches!(edit, Edit::Create(_)) {
            // inside the change: a repetition of the creation is answered before
            let taken = name_taken(kind.as_str(), name, "the gateway");
            return self.apply(actor, move |_| Err(taken)).await;
        }
        let draft = draft(
            &declarations,
            &target,
            before.as_deref(),
            edit,
            self.now_ms(),
        )?;
        let mut set = api.with(*kind, name, draft.row.as_ref());
        check(&declarations, &target, &mut set)?;
        let (stored, action, detail) = (draft.row.clone(), draft.action, draft.detail);
        let place = target.clone();
        let store = move |change: &mut Change<'_, '_>| {
            if let Some(before) = &before {
                change.check_version(before, &OwnerLimits::default())?;
            }
            match &stored {
                Some(row) => change.books.put_declaration(row)?,
                None => change.books.remove_declaration(place.kind, &place.name)?,
            }
            change.audit(action, &place.name, &detail)
        };
        self.apply(actor, store).await?;
        let left = set.get(*kind, name).cloned();
        let file = declarations.file();
        let left = left.map(|row| DeclaredObject::of(row, &set, &file));
        declarations.put_in_force(set);
        Ok(left)
    }

    /// Declarations of this process.
    pub(super) fn declarations(&self) -> Result<Arc<Declarations>, ApiError> {
        let message = "this process serves no requests and has no providers";
        let declarations = self.declarations.clone();
        declarations.ok_or_else(|| ApiError::new(ErrorCode::Internal, message))
    }
}

fn managed_by_file(kind: DeclarationKind, name: &str) -> ApiError {
    let (word, section) = (kind.as_str(), kind.section());
    let message = format!(
        "{word} `{name}` is declared in [{section}] of the configuration file; change it there and reload, or take it out of the file first"
    );
    ApiError::new(ErrorCode::ManagedByFile, message)
}

fn draft(
    declarations: &Declarations,
    target: &Target,
    before: Option<&Declaration>,
    edit: Edit,
    at_ms: u64,
) -> Result<Draft, ApiError> {
    let Target { kind, name } = target;
    let key = declarations.key();
    match (edit, before) {
        (Edit::Create(members), _) => {
            check_count(declarations, *kind)?;
            let row = Declaration {
                kind: *kind,
                name: name.clone(),
                members: "{}".to_owned(),
                credentials: Vec::new(),
                created_ms: at_ms,
            };
            let actions = ["provider.create", "route.create", "alias.create"];
            merge(key, row, members, actions[*kind as usize], at_ms)
        }
        (Edit::Change(members), Some(before)) => {
            let actions = ["provider.change", "route.change", "alias.change"];
            let row = before.clone();
            merge(key, row, members, actions[*kind as usize], at_ms)
        }
        (Edit::Delete, Some(before)) => Ok(Draft {
            row: None,
            action: ["provider.delete", "route.delete", "alias.delete"][*kind as usize],
            detail: json!({ "name": before.name }),
        }),
        (_, None) => Err(not_found(kind.as_str(), name)),
    }
}

fn check_count(declarations: &Declarations, kind: DeclarationKind) -> Result<(), ApiError> {
    let most = match kind {
        DeclarationKind::Provider => 100,
        DeclarationKind::Route => 1_000,
        DeclarationKind::Alias => 10_000,
    };
    if declarations.api().count(&declarations.file(), kind) < most {
        return Ok(());
    }
    let section = kind.section();
    let message = format!("{most} {section} exist, the most that are allowed; delete one first");
    Err(ApiError::new(ErrorCode::Conflict, message))
}

fn merge(
    key: &SealKey,
    row: Declaration,
    members: Map<String, Value>,
    action: &'static str,
    at_ms: u64,
) -> Result<Draft, ApiError> {
    let (row, detail) = merged(key, row, members, at_ms)?;
    Ok(Draft {
        row: Some(row),
        action,
        detail,
    })
}

/// Resolves the set with the edit; refuses an invalid member, and an edit after which a name leads nowhere.
fn check(
    declarations: &Declarations,
    target: &Target,
    set: &mut DeclarationSet,
) -> Result<(), ApiError> {
    let Target { kind, name } = target;
    let table = declarations.table_of(set);
    if let Some(fault) = set.fault(*kind, name) {
        return Err(invalid(fault));
    }
    let lost = newly_unreached(&declarations.routes().load(), &table);
    let owner = format!("{}.{name}", kind.section());
    if let Some((_, target, reason)) = lost.iter().find(|(of, _, _)| *of == owner) {
        let message = format!(
            "{word} `{name}` leads to `{target}`: {reason}",
            word = kind.as_str()
        );
        return Err(ApiError::invalid(message).with_param(match kind {
            DeclarationKind::Alias => "target",
            _ => "targets",
        }));
    }
    if lost.is_empty() {
        return Ok(());
    }
    let shown = lost.iter().take(SHOWN_MAX);
    let shown: Vec<String> = shown.map(|(of, to, _)| format!("{of} to {to}")).collect();
    let more = match lost.len() > SHOWN_MAX {
        true => format!(" and {} more", lost.len() - SHOWN_MAX),
        false => String::new(),
    };
    let message = format!(
        "these names would lead nowhere: {}{more}; change them first",
        shown.join(", ")
    );
    Err(ApiError::new(ErrorCode::Conflict, message))
}

fn invalid(fault: &InvalidMember) -> ApiError {
    match fault.member.as_str() {
        "" => ApiError::invalid(fault.message.clone()),
        member => {
            let message = format!("`{member}` {}", fault.message);
            ApiError::invalid(message).with_param(member.to_owned())
        }
    }
}
