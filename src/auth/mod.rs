//! Who is calling: answers with the caller or the actor behind a presented key, from the directory in memory. Never asks
//! the store, never says more about a key than its last four letters.

pub mod bearer;
pub mod directory;
pub mod grant;
pub mod key;
pub mod role;

use std::sync::Arc;

use crate::auth::directory::{Caller, Directory};
use crate::auth::role::Actor;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::tenant::VirtualKey;

/// The caller of a model, or 401, or 403 for a key that administers.
pub fn authenticate(
    directory: &Directory,
    credential: Option<&str>,
    now_ms: u64,
) -> Result<Arc<Caller>, ApiError> {
    let text = presented(credential)?;
    let hash = key::hash(text);
    let Some(caller) = directory.caller(&hash) else {
        return Err(match directory.admin(&hash) {
            Some(_) => ApiError::new(
                ErrorCode::PermissionDenied,
                format!(
                    "the key {} is administrative, and administrative keys cannot call models; use a virtual key",
                    hint(text)
                ),
            ),
            None => not_known(text),
        });
    };
    for key in caller.keys() {
        still_valid(key, &caller.key, text, now_ms)?;
    }
    Ok(caller.clone())
}

/// A key lives no longer than the keys above it.
fn still_valid(
    key: &VirtualKey,
    presented: &VirtualKey,
    text: &str,
    now_ms: u64,
) -> Result<(), ApiError> {
    let whose = if key.id == presented.id {
        String::new()
    } else {
        format!("{} above the key ", key.id)
    };
    if key.disabled {
        return Err(disabled(text, &whose));
    }
    let Some(expires_ms) = key.expires_ms.filter(|expires_ms| *expires_ms <= now_ms) else {
        return Ok(());
    };
    let ago = roughly(now_ms.saturating_sub(expires_ms));
    let message = format!(
        "the key {whose}{} expired {ago} ago; ask your administrator for a new one",
        hint(text)
    );
    Err(ApiError::new(ErrorCode::KeyExpired, message))
}

/// The actor behind an administrative key, or 401, or 403 for a key that calls models.
pub fn authenticate_admin(
    directory: &Directory,
    credential: Option<&str>,
) -> Result<Actor, ApiError> {
    let text = presented(credential)?;
    let hash = key::hash(text);
    let Some(admin) = directory.admin(&hash) else {
        return Err(match directory.caller(&hash) {
            Some(_) => ApiError::new(
                ErrorCode::PermissionDenied,
                format!(
                    "the key {} is a virtual key, and virtual keys cannot administer; use an administrative key",
                    hint(text)
                ),
            ),
            None => not_known(text),
        });
    };
    if admin.disabled {
        return Err(disabled(text, ""));
    }
    Ok(Actor::AdminKey {
        id: admin.id,
        name: admin.name.clone(),
    })
}

/// The caller whose key is presented, whether it may call or not.
pub fn find_caller(directory: &Directory, credential: Option<&str>) -> Option<Arc<Caller>> {
    directory.caller(&key::hash(credential?)).cloned()
}

fn presented(credential: Option<&str>) -> Result<&str, ApiError> {
    credential.ok_or_else(|| {
        ApiError::new(
            ErrorCode::Authentication,
            "no key was presented; send `Authorization: Bearer sk-gk-…` (`x-api-key` and `api-key` are accepted too)",
        )
    })
}

fn not_known(text: &str) -> ApiError {
    let message = if key::has_valid_checksum(text) {
        format!(
            "the key {} is not known here; it belongs to another gateway or was never stored",
            hint(text)
        )
    } else if text.starts_with(key::PREFIX) {
        format!(
            "the key {} is mistyped or cut off: its checksum is wrong; copy it again, whole",
            hint(text)
        )
    } else {
        format!(
            "the key {} is not a key of this gateway, those begin with `{}`; ask your administrator for one",
            hint(text),
            key::PREFIX
        )
    };
    ApiError::new(ErrorCode::Authentication, message)
}

fn disabled(text: &str, whose: &str) -> ApiError {
    let message = format!(
        "the key {whose}{} is disabled; ask your administrator to enable it",
        hint(text)
    );
    ApiError::new(ErrorCode::Authentication, message)
}

/// The last four letters, where the text is long enough that they give nothing away and plain enough to be printed.
fn hint(text: &str) -> String {
    match text.len().checked_sub(4).and_then(|at| text.get(at..)) {
        Some(last) if text.len() >= 20 && last.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            format!("…{last}")
        }
        _ => "presented".to_owned(),
    }
}

fn roughly(elapsed_ms: u64) -> String {
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
    fn a_virtual_key_is_its_caller() {
        let sample = sample();
        let caller = authenticate(&sample.directory, Some(sample.virtual_key.expose()), NOW_MS)
            .expect("a caller");
        assert_eq!(
            (caller.key.name.as_str(), caller.team.name.as_str()),
            ("ci", "engineering")
        );
    }

    #[test]
    fn what_is_not_a_live_key_is_401_and_named_by_its_hint_only() {
        let sample = sample();
        let known = sample.virtual_key.expose();
        let mistyped = known.replace("sk-gk-ci-", "sk-gk-cj-");
        let stranger = key::generate("ci").expect("randomness").secret;
        for (text, says) in [
            (mistyped.as_str(), "checksum"),
            (stranger.expose(), "not known"),
            ("sk-proj-AAAABBBBCCCCDDDDEEEE", "not a key of this gateway"),
            (sample.disabled_key.expose(), "disabled"),
        ] {
            let problem = refusal(&sample, text);
            assert_eq!(problem.code, ErrorCode::Authentication, "{problem}");
            assert!(problem.message.contains(says), "{problem}");
            assert!(
                problem
                    .message
                    .contains(&format!("…{}", &text[text.len() - 4..])),
                "{problem}"
            );
            assert!(
                !problem.message.contains(&text[text.len() - 8..]),
                "{problem}"
            );
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
    fn a_key_is_dead_from_the_instant_it_expires() {
        let sample = sample();
        let text = Some(sample.expiring_key.expose());
        assert!(authenticate(&sample.directory, text, sample.expires_ms - 1).is_ok());
        for (now_ms, says) in [
            (0, "less than a minute"),
            (60_000, "1 minute ago"),
            (172_800_000, "2 days ago"),
        ] {
            let problem = authenticate(&sample.directory, text, sample.expires_ms + now_ms)
                .expect_err("expired");
            assert_eq!(problem.code, ErrorCode::KeyExpired);
            assert!(problem.message.contains(says), "{problem}");
        }
    }

    #[test]
    fn a_child_is_dead_when_a_key_above_it_is() {
        let sample = sample();
        let [of_live, of_disabled, of_expiring] = sample.children.each_ref().map(Secret::expose);
        assert!(authenticate(&sample.directory, Some(of_live), NOW_MS).is_ok());
        let problem = refusal(&sample, of_disabled);
        assert_eq!(problem.code, ErrorCode::Authentication);
        assert!(
            problem.message.contains("key_4 above the key …"),
            "{problem}"
        );
        assert!(authenticate(&sample.directory, Some(of_expiring), sample.expires_ms - 1).is_ok());
        let problem = authenticate(&sample.directory, Some(of_expiring), sample.expires_ms)
            .expect_err("expired");
        assert_eq!(problem.code, ErrorCode::KeyExpired);
        assert!(
            problem.message.contains("key_5 above the key …"),
            "{problem}"
        );
    }

    #[test]
    fn neither_kind_of_key_does_the_work_of_the_other() {
        let sample = sample();
        assert_eq!(
            refusal(&sample, sample.admin_key.expose()).code,
            ErrorCode::PermissionDenied
        );
        let problem = authenticate_admin(&sample.directory, Some(sample.virtual_key.expose()))
            .expect_err("refused");
        assert_eq!(problem.code, ErrorCode::PermissionDenied);
        let actor = authenticate_admin(&sample.directory, Some(sample.admin_key.expose()))
            .expect("an actor");
        assert!(matches!(actor, Actor::AdminKey { ref name, .. } if name == "first"));
        let problem =
            authenticate_admin(&sample.directory, Some(sample.disabled_admin_key.expose()))
                .expect_err("refused");
        assert_eq!(problem.code, ErrorCode::Authentication);
    }

    #[test]
    fn a_text_of_any_letters_is_refused_without_a_panic() {
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
