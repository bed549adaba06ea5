//! Seal key of the instance as the configuration names it: the key itself, and its check against the credentials in the books before
//! anything is written.

use std::io;

use crate::config::{Config, SealKeySource, process_environment};
use crate::process::StartError;
use crate::store::SealKeyCheck;
use crate::store::seal::{KEY_FILE, SealKey};

/// Key-encryption key: the configured one, or that of the data folder.
pub(super) fn seal_key(config: &Config) -> Result<SealKey, StartError> {
    let key = match &config.seal_key {
        SealKeySource::Folder => SealKey::in_folder(&config.folder),
        SealKeySource::Configured(secret) => Ok(SealKey::of_secret(secret)),
        SealKeySource::Unread(source) => source
            .read(&process_environment)
            .map(|secret| SealKey::of_secret(&secret))
            .map_err(io::Error::other),
    };
    key.map_err(|error| seal_key_error(config, error))
}

fn seal_key_error(config: &Config, error: io::Error) -> StartError {
    StartError::Folder {
        folder: config.folder.join(KEY_FILE),
        error,
    }
}

/// The seal key as it is, before the first start creates one.
pub(super) fn seal_key_check(config: &Config) -> Result<SealKeyCheck, StartError> {
    let present = match &config.seal_key {
        SealKeySource::Folder => SealKey::present_in(&config.folder),
        SealKeySource::Configured(secret) => Ok(Some(SealKey::of_secret(secret))),
        SealKeySource::Unread(_) => return Ok(SealKeyCheck::Skip),
    };
    let present = present.map_err(|error| seal_key_error(config, error))?;
    Ok(present.map_or(SealKeyCheck::Absent, |key| SealKeyCheck::Id(key.id())))
}
