//! Deletion of virtual keys with their child keys, as a part of a change.

use std::collections::BTreeSet;

use serde_json::json;

use crate::auth::directory::Directory;
use crate::control::change::Change;
use crate::control::{keys, owner_limits};
use crate::domain::api_error::ApiError;
use crate::domain::budget::Owner;
use crate::domain::id::{KeyId, TeamId, UserId};

/// Deletes keys and the child keys of each.
pub(super) fn delete_keys(
    change: &mut Change<'_, '_>,
    keys: BTreeSet<KeyId>,
) -> Result<(), ApiError> {
    let mut all = BTreeSet::new();
    for key in keys {
        add_with_children(change.directory, key, &mut all);
    }
    for id in all {
        let Some(mut key) = change.books.key(id)? else {
            continue;
        };
        owner_limits::remove(change, Owner::Key(id))?;
        change
            .books
            .release_name(&keys::names(key.team), &key.name)?;
        key.deleted_ms = Some(change.at_ms);
        change.books.put_key(&key)?;
        let detail = json!({ "name": key.name, "team": key.team.to_string(), "hint": key.hint });
        change.audit("key.delete", id, &detail)?;
    }
    Ok(())
}

fn add_with_children(directory: &Directory, key: KeyId, all: &mut BTreeSet<KeyId>) {
    all.insert(key);
    for child in directory.children_of(key) {
        add_with_children(directory, child.key.id, all);
    }
}

/// Deletes the personal keys of a user in a team.
pub(super) fn delete_personal_keys(
    change: &mut Change<'_, '_>,
    user: UserId,
    team: TeamId,
) -> Result<(), ApiError> {
    let keys = change.directory.keys_of_user(user);
    let keys = keys.filter(|caller| caller.team.id == team);
    let keys = keys.map(|caller| caller.key.id).collect();
    delete_keys(change, keys)
}
