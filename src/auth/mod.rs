//! Authentication: resolves a presented key to its caller or actor, from the directory in memory. Never reads the store and never
//! reveals more of a key than its last four characters.

pub mod bearer;
pub mod denials;
pub mod directory;
pub mod grant;
pub mod key;
pub mod oidc;
pub mod password;
pub mod role;
pub mod session;
pub mod throttle;

use std::sync::Arc;

use crate::auth::directory::{Caller, Directory};
use crate::auth::role::Actor;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::id::{KeyId, UserId};
use crate::domain::tenant::{AdminAccess, AdminKey, SecretHash, VirtualKey};

/// Authenticates a model caller; 401 for an invalid key, 403 for an administrative key.
pub fn authenticate(
    directory: &Directory,
    credential: Option<&str>,
    now_ms: u64,
) -> Result<Arc<Caller>, ApiError> {
    let text = require(credential)?;
    let hash = key::hash(text);
    let Some(caller) = directory.caller(&hash) else {
        return Err(match directory.admin(&hash) {
            Some(_) => ApiError::new(
                ErrorCode::PermissionDenied,
                format!(
                    "the key {} is an administrative key and cannot call models; use a virtual key",
                    hint(text)
                ),
            ),
            None => unknown_key(text),
        });
    };
    check_previous_secret(directory, &caller.key, &hash, text, now_ms)?;
    for key in caller.keys() {
        check_valid(key, &caller.key, text, now_ms)?;
    }
    if caller.user.as_ref().is_some_and(|user| user.disabled) {
        return Err(user_disabled(text));
    }
    Ok(caller.clone())
}

/// Rejects the secret before a rotation once its grace period is over.
fn check_previous_secret(
    directory: &Directory,
    key: &VirtualKey,
    presented: &SecretHash,
    text: &str,
    now_ms: u64,
) -> Result<(), ApiError> {
    let previous = key
        .previous
        .as_ref()
        .filter(|previous| previous.until_ms <= now_ms)
        .filter(|previous| match previous.imported {
            true => Some(previous.secret_hash) == directory.imported_hash(presented),
            false => previous.secret_hash == *presented,
        });
    let Some(previous) = previous else {
        return Ok(());
    };
    let ago = approximate_duration(now_ms.saturating_sub(previous.until_ms));
    let message = format!(
        "the key {} was rotated, and its grace period ended {ago} ago; use the new secret",
        hint(text)
    );
    Err(ApiError::new(ErrorCode::KeyExpired, message))
}

fn user_disabled(text: &str) -> ApiError {
    let message = format!(
        "the user of the key {} is disabled; ask your administrator",
        hint(text)
    );
    ApiError::new(ErrorCode::Authentication, message)
}

/// Rejects a disabled or expired key; `key` is the presented key or one of its ancestors.
fn check_valid(
    key: &VirtualKey,
    presented: &VirtualKey,
    text: &str,
    now_ms: u64,
) -> Result<(), ApiError> {
    let owner = if key.id == presented.id {
        String::new()
    } else {
        // the id of a key above is none of the caller's business
        "above the key ".to_owned()
    };
    if key.disabled {
        return Err(disabled(text, &owner));
    }
    let Some(expires_ms) = key.expires_ms.filter(|expires_ms| *expires_ms <= now_ms) else {
        return Ok(());
    };
    let ago = approximate_duration(now_ms.saturating_sub(expires_ms));
    let message = format!(
        "the key {owner}{} expired {ago} ago; ask your administrator for a new one",
        hint(text)
    );
    Err(ApiError::new(ErrorCode::KeyExpired, message))
}

/// Returns `true` for a key that could call now: neither it nor a key above it is deleted, disabled or expired.
pub fn may_call(directory: &Directory, key: KeyId, now_ms: u64) -> bool {
    let Some(caller) = directory.key(key) else {
        return false;
    };
    let is_valid = |key: &VirtualKey| {
        let is_expired = key
            .expires_ms
            .is_some_and(|expires_ms| expires_ms <= now_ms);
        key.deleted_ms.is_none() && !key.disabled && !is_expired
    };
    let user = caller.user.as_ref();
    caller.keys().all(is_valid) && user.is_none_or(|user| !user.disabled)
}

/// Authenticates an administrative key; 401 for an invalid key, 403 for a virtual key.
pub fn authenticate_admin(
    directory: &Directory,
    credential: Option<&str>,
    now_ms: u64,
) -> Result<Actor, ApiError> {
    let text = require(credential)?;
    let hash = key::hash(text);
    let Some(admin) = directory.admin(&hash) else {
        return Err(match directory.caller(&hash) {
            Some(_) => ApiError::new(
                ErrorCode::PermissionDenied,
                format!(
                    "the key {} is a virtual key and cannot administer; use an administrative key",
                    hint(text)
                ),
            ),
            None => unknown_key(text),
        });
    };
    if admin.disabled {
        return Err(disabled(text, ""));
    }
    if let Some(expires_ms) = admin.expires_ms.filter(|expires_ms| *expires_ms <= now_ms) {
        let ago = approximate_duration(now_ms.saturating_sub(expires_ms));
        let message = format!(
            "the key {} expired {ago} ago; ask for a new one",
            hint(text)
        );
        return Err(ApiError::new(ErrorCode::KeyExpired, message));
    }
    match admin.access {
        AdminAccess::Role(membership) => Ok(Actor::AdminKey {
            id: admin.id,
            name: admin.name.clone(),
            membership,
        }),
        AdminAccess::User(id) => user_actor(directory, id).ok_or_else(|| user_disabled(text)),
    }
}

/// A user as actor, with the roles as they are now; `None` if the user is disabled or deleted.
pub fn user_actor(directory: &Directory, id: UserId) -> Option<Actor> {
    let user = directory.live_user(id).filter(|user| !user.disabled)?;
    Some(Actor::User {
        id,
        name: user.name.clone(),
        memberships: user.memberships.clone(),
    })
}

/// Live administrative key with this secret; `None` if it is unknown, disabled or expired.
pub fn find_admin<'d>(directory: &'d Directory, secret: &str, now_ms: u64) -> Option<&'d AdminKey> {
    let admin = directory.admin(&key::hash(secret))?;
    authenticate_admin(directory, Some(secret), now_ms)
        .is_ok()
        .then_some(admin)
}

/// Caller of a presented key, even if it is disabled or expired.
pub fn find_caller(directory: &Directory, credential: Option<&str>) -> Option<Arc<Caller>> {
    directory.caller(&key::hash(credential?)).cloned()
}

fn require(credential: Option<&str>) -> Result<&str, ApiError> {
    credential.ok_or_else(|| {
        ApiError::new(
            ErrorCode::Authentication,
            "missing API key; send `Authorization: Bearer sk-gk-…` (`x-api-key` and `api-key` are accepted too)",
        )
    })
}

fn unknown_key(text: &str) -> ApiError {
    let message = if key::has_valid_checksum(text) {
        format!(
            "unknown key {}; it belongs to another gateway or was never stored",
            hint(text)
        )
    } else if text.starts_with(key::PREFIX) {
        format!(
            "invalid key {}: checksum mismatch; copy the complete key again",
            hint(text)
        )
    } else {
        format!(
            "invalid key {}: keys of this gateway begin with `{}`; ask your administrator for one",
            hint(text),
            key::PREFIX
        )
    };
    ApiError::new(ErrorCode::Authentication, message)
}

fn disabled(text: &str, owner: &str) -> ApiError {
    let message = format!(
        "the key {owner}{} is disabled; ask your administrator to enable it",
        hint(text)
    );
    ApiError::new(ErrorCode::Authentication, message)
}

/// The last four characters if the text is long enough to stay secret and they are printable; else a placeholder.
fn hint(text: &str) -> String {
    match text.len().checked_sub(4).and_then(|at| text.get(at..)) {
        Some(last) if text.len() >= 20 && last.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            format!("…{last}")
        }
        _ => "presented".to_owned(),
    }
}

fn approximate_duration(elapsed_ms: u64) -> String {
    let minutes = elapsed_ms / 60_000;
    let (count, unit) = match minutes {
        0 => return "less than a minute".to_owned(),
        1..60 => (minutes, "minute"),
        60..1440 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::directory::samples::{Sample, sample};
    use crate::domain::secret::Secret;

    const NOW_MS: u64 = 1_000_000_000;

    fn refusal(sample: &Sample, text: &str) -> ApiError {
        authenticate(&sample.directory, Some(text), NOW_MS).expect_err("refused")
    }

    #[test]
    fn virtual_key_resolves_to_its_caller() {
        let sample = sample();
        let caller = authenticate(&sample.directory, Some(sample.virtual_key.expose()), NOW_MS)
            .expect("a caller");
        assert_eq!(
            (caller.key.name.as_str(), caller.team.name.as_str()),
            ("ci", "engineering")
        );
    }

    #[test]
    fn invalid_key_returns_401_and_shows_only_its_hint() {
        let sample = sample();
        let known = sample.virtual_key.expose();
        let mistyped = known.replace("sk-gk-ci-", "sk-gk-cj-");
        let stranger = key::generate("ci").expect("randomness").secret;
        for (text, says) in [
            (mistyped.as_str(), "checksum"),
            (stranger.expose(), "unknown key"),
            ("sk-proj-AAAABBBBCCCCDDDDEEEE", "keys of this gateway begin"),
            (sample.disabled_key.expose(), "disabled"),
        ] {
            let error = refusal(&sample, text);
            assert_eq!(error.code, ErrorCode::Authentication, "{error}");
            assert!(error.message.contains(says), "{error}");
            assert!(
                error
                    .message
                    .contains(&format!("…{}", &text[text.len() - 4..])),
                "{error}"
            );
            assert!(!error.message.contains(&text[text.len() - 8..]), "{error}");
        }
        let short = refusal(&sample, "hunter2");
        assert!(!short.message.contains("ter2"), "{short}");
        assert_eq!(
            authenticate(&sample.directory, None, NOW_MS)
                .expect_err("refused")
                .code,
            ErrorCode::Authentication
        );
    }

    #[test]
    fn key_is_rejected_from_its_expiry_on() {
        let sample = sample();
        let text = Some(sample.expiring_key.expose());
        assert!(authenticate(&sample.directory, text, sample.expires_ms - 1).is_ok());
        for (now_ms, says) in [
            (0, "less than a minute"),
            (60_000, "1 minute ago"),
            (172_800_000, "2 days ago"),
        ] {
            let error = authenticate(&sample.directory, text, sample.expires_ms + now_ms)
                .expect_err("expired");
            assert_eq!(error.code, ErrorCode::KeyExpired);
            assert!(error.message.contains(says), "{error}");
        }
    }

    #[test]
    fn child_key_is_rejected_with_a_disabled_or_expired_ancestor() {
        let sample = sample();
        let [of_live, of_disabled, of_expiring] = sample.children.each_ref().map(Secret::expose);
        assert!(authenticate(&sample.directory, Some(of_live), NOW_MS).is_ok());
        let error = refusal(&sample, of_disabled);
        assert_eq!(error.code, ErrorCode::Authentication);
        assert!(error.message.contains("the key above the key …"), "{error}");
        assert!(authenticate(&sample.directory, Some(of_expiring), sample.expires_ms - 1).is_ok());
        let error = authenticate(&sample.directory, Some(of_expiring), sample.expires_ms)
            .expect_err("expired");
        assert_eq!(error.code, ErrorCode::KeyExpired);
        assert!(error.message.contains("the key above the key …"), "{error}");
    }

    #[test]
    fn virtual_and_admin_keys_are_not_interchangeable() {
        let sample = sample();
        assert_eq!(
            refusal(&sample, sample.admin_key.expose()).code,
            ErrorCode::PermissionDenied
        );
        let error =
            authenticate_admin(&sample.directory, Some(sample.virtual_key.expose()), NOW_MS)
                .expect_err("refused");
        assert_eq!(error.code, ErrorCode::PermissionDenied);
        let actor = authenticate_admin(&sample.directory, Some(sample.admin_key.expose()), NOW_MS)
            .expect("an actor");
        assert!(matches!(actor, Actor::AdminKey { ref name, .. } if name == "first"));
        let error = authenticate_admin(
            &sample.directory,
            Some(sample.disabled_admin_key.expose()),
            NOW_MS,
        )
        .expect_err("refused");
        assert_eq!(error.code, ErrorCode::Authentication);
    }

    #[test]
    fn arbitrary_text_is_rejected_without_panic() {
        let sample = sample();
        for text in [
            "",
            "é",
            "sk-gk-",
            "sk-gk--",
            "日本語日本語日本語日本語",
            "sk-gk-x-é00000000000000000000000000000000000",
        ] {
            assert_eq!(refusal(&sample, text).code, ErrorCode::Authentication);
        }
    }
}
