//! Seal key of the instance as the configuration names it: the key itself, and its check against the credentials in the books before
//! anything is written.

use std::io;
use std::path::PathBuf;

use crate::config::{Config, SealKeySource, process_environment};
use crate::store::SealKeyCheck;
use crate::store::seal::{KEY_FILE, SealKey};

/// Unreadable or unusable seal key.
#[derive(Debug, thiserror::Error)]
#[error("seal key {}: {error}", file.display())]
pub struct SealKeyError {
    file: PathBuf,
    error: io::Error,
}

impl SealKeyError {
    fn of(config: &Config, error: io::Error) -> SealKeyError {
        SealKeyError {
            file: config.folder.join(KEY_FILE),
            error,
        }
    }
}

/// Key-encryption key: the configured one, or that of the data folder.
pub(super) fn seal_key(config: &Config) -> Result<SealKey, SealKeyError> {
    let key = match &config.seal_key {
        SealKeySource::Folder => SealKey::in_folder(&config.folder),
        SealKeySource::Configured(secret) => Ok(SealKey::of_secret(secret)),
        SealKeySource::Unread(source) => source
            .read(&process_environment)
            .map(|secret| SealKey::of_secret(&secret))
            .map_err(io::Error::other),
    };
    key.map_err(|error| SealKeyError::of(config, error))
}

/// The seal key as it is, before the first start creates one.
pub(super) fn seal_key_check(config: &Config) -> Result<SealKeyCheck, SealKeyError> {
    let present = match &config.seal_key {
        SealKeySource::Folder => SealKey::present_in(&config.folder),
        SealKeySource::Configured(secret) => Ok(Some(SealKey::of_secret(secret))),
        SealKeySource::Unread(_) => return Ok(SealKeyCheck::Skip),
    };
    let present = present.map_err(|error| SealKeyError::of(config, error))?;
    Ok(present.map_or(SealKeyCheck::Absent, |key| SealKeyCheck::Id(key.id())))
}
