//! Credentials of declared providers: sealed with a data key of their own under the seal key, bound to the name of the provider.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::config::API_KEYS;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::declaration::{Declaration, SealedCredential};
use crate::store::seal::SealKey;

const PURPOSE: &str = "provider credentials";

/// Seals the secret members of a provider, each of several API keys by itself and the others together. A credential that does not change
/// is kept as it is.
pub(in crate::control) fn seal(
    key: &SealKey,
    before: &Declaration,
    secrets: &Map<String, Value>,
    at_ms: u64,
) -> Result<Vec<SealedCredential>, ApiError> {
    let (several, together): (Vec<_>, Vec<_>) = secrets
        .iter()
        .partition(|(member, _)| member.starts_with(API_KEYS));
    let groups = [together]
        .into_iter()
        .chain(several.into_iter().map(|one| vec![one]));
    let groups = groups.filter(|group| !group.is_empty());
    let sealed = groups.map(|group| {
        let group: Map<String, Value> = group
            .into_iter()
            .map(|(member, secret)| (member.clone(), secret.clone()))
            .collect();
        let same = |credential: &&SealedCredential| {
            opened(key, &before.name, credential).is_ok_and(|secrets| secrets == group)
        };
        match before.credentials.iter().find(same) {
            Some(credential) => Ok(credential.clone()),
            None => seal_one(key, &before.name, &group, at_ms),
        }
    });
    sealed.collect()
}

fn seal_one(
    key: &SealKey,
    name: &str,
    secrets: &Map<String, Value>,
    at_ms: u64,
) -> Result<SealedCredential, ApiError> {
    let unsealed = || ApiError::new(ErrorCode::Internal, "credential not sealed");
    let plain = serde_json::to_vec(secrets).map_err(|_| unsealed())?;
    let plain = Zeroizing::new(plain);
    let sealed = key.seal_record(PURPOSE, name.as_bytes(), &plain);
    let sealed = sealed.ok_or_else(unsealed)?;
    Ok(SealedCredential {
        members: secrets.keys().cloned().collect(),
        seal_key_id: key.id(),
        data_key: sealed.data_key,
        content: sealed.content,
        created_ms: at_ms,
    })
}

/// Opens the secret members of a declaration.
pub(in crate::control) fn open(
    key: &SealKey,
    declaration: &Declaration,
) -> Result<Map<String, Value>, String> {
    let mut secrets = Map::new();
    for credential in &declaration.credentials {
        secrets.extend(opened(key, &declaration.name, credential)?);
    }
    Ok(secrets)
}

fn opened(
    key: &SealKey,
    name: &str,
    credential: &SealedCredential,
) -> Result<Map<String, Value>, String> {
    let parts = (&credential.data_key[..], &credential.content[..]);
    let plain = key.open_record(PURPOSE, name.as_bytes(), parts);
    let plain = plain.ok_or_else(|| {
        let wanted = &credential.seal_key_id;
        format!("credential not readable with this seal key; it was sealed with {wanted}")
    })?;
    serde_json::from_slice(&plain).map_err(|_| "credential damaged".to_owned())
}
