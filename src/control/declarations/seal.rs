//! Credentials of declared providers: sealed with a data key of their own under the seal key, bound to the name of the provider.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::declaration::{Declaration, SealedCredential};
use crate::store::seal::SealKey;

const PURPOSE: &str = "provider credentials";

/// Seals the secret members of a provider; none for no members.
pub(in crate::control) fn seal(
    key: &SealKey,
    name: &str,
    secrets: &Map<String, Value>,
    at_ms: u64,
) -> Result<Vec<SealedCredential>, ApiError> {
    if secrets.is_empty() {
        return Ok(Vec::new());
    }
    let unsealed = || ApiError::new(ErrorCode::Internal, "credential not sealed");
    let plain = serde_json::to_vec(secrets).map_err(|_| unsealed())?;
    let plain = Zeroizing::new(plain);
    let sealed = key.seal_record(PURPOSE, name.as_bytes(), &plain);
    let sealed = sealed.ok_or_else(unsealed)?;
    Ok(vec![SealedCredential {
        members: secrets.keys().cloned().collect(),
        seal_key_id: key.id(),
        data_key: sealed.data_key,
        content: sealed.content,
        created_ms: at_ms,
    }])
}

/// Opens the secret members of a declaration.
pub(in crate::control) fn open(
    key: &SealKey,
    declaration: &Declaration,
) -> Result<Map<String, Value>, String> {
    let mut secrets = Map::new();
    for credential in &declaration.credentials {
        let (about, wanted) = (declaration.name.as_bytes(), &credential.seal_key_id);
        let parts = (&credential.data_key[..], &credential.content[..]);
        let plain = key.open_record(PURPOSE, about, parts);
        let plain = plain.ok_or_else(|| {
            format!("credential not readable with this seal key; it was sealed with {wanted}")
        })?;
        let opened: Map<String, Value> =
            serde_json::from_slice(&plain).map_err(|_| "credential damaged".to_owned())?;
        secrets.extend(opened);
    }
    Ok(secrets)
}
