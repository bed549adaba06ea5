//! Versions of objects, for `ETag` and `If-Match`: a digest of the row and its limits, without balances and last use.

use std::fmt::Debug;

use sha2::{Digest, Sha256};

use crate::auth::directory::OwnerLimits;
use crate::domain::api_error::{ApiError, ErrorCode};

/// Letters of a version.
const LETTERS: usize = 20;

/// Version of a row, and of the budgets and limits that belong to it.
pub(super) fn version_of(row: &impl Debug, limits: &OwnerLimits) -> String {
    let digest = Sha256::digest(format!("{row:?}{limits:?}").as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex[..LETTERS].to_owned()
}

/// Refuses a change of an object that has another version than the caller expects. `*` is any version.
pub(super) fn check(expected: Option<&str>, version: &str) -> Result<(), ApiError> {
    match expected {
        None | Some("*") => Ok(()),
        Some(expected) if expected.trim_matches('"') == version => Ok(()),
        Some(_) => Err(ApiError::new(
            ErrorCode::PreconditionFailed,
            "the object has changed since it was read (`If-Match` differs from its `ETag`); read it again",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_differs_with_the_row_and_its_limits() {
        let none = OwnerLimits::default();
        let version = version_of(&"row", &none);
        assert_eq!(version, version_of(&"row", &none));
        assert_ne!(version, version_of(&"other", &none));
        assert!(check(None, &version).is_ok() && check(Some("*"), &version).is_ok());
        assert!(check(Some(&format!("\"{version}\"")), &version).is_ok());
        let error = check(Some("\"stale\""), &version).expect_err("another version");
        assert_eq!(error.code, ErrorCode::PreconditionFailed);
    }
}
