//! Backups without a server: facts and verification of a file, and a restore into the data folder of the configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::auth::role::Actor;
use crate::config::{Config, MIB, SealKeySource, SecretSource, process_environment};
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::zone::Zone;
use crate::store::backup::archive::{self, ArchiveError, BackupFacts};
use crate::store::backup::restore::{self, RestoreOptions};
use crate::store::disk::FolderDisk;
use crate::store::seal::SealKey;
use crate::store::{Options, SealKeyCheck, Store};

/// Wait for the books of a backup to settle; their log is empty.
const CATCH_UP_MS: u64 = 10_000;

/// Facts about a backup, as text for an operator.
#[derive(Clone, Debug)]
pub struct Facts {
    pub version: String,
    pub instance: String,
    pub generation: u32,
    pub applied: u64,
    /// instant in RFC 3339
    pub taken: String,
    pub seal_key_id: String,
}

/// Result of a verification.
#[derive(Clone, Debug)]
pub struct BackupCheck {
    pub facts: Facts,
    pub records: u64,
    pub corrections: u64,
    pub balances: u64,
    pub rollups: u64,
    pub audit_events: u64,
    pub differences: Vec<String>,
}

/// State of the virtual keys after a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    AsSaved,
    Disabled,
}

/// Account of a restore.
#[derive(Clone, Debug)]
pub struct Restored {
    pub facts: Facts,
    pub generation: u32,
    pub booked_from_log: u64,
    pub missing_from_log: u64,
    pub keys_disabled: u64,
    pub aside: Option<String>,
}

impl Facts {
    fn of(facts: &BackupFacts) -> Facts {
        Facts {
            version: facts.version.clone(),
            instance: archive::hex(&facts.instance),
            generation: facts.generation,
            applied: facts.applied,
            taken: Zone::utc().rfc3339(facts.taken_ms),
            seal_key_id: facts.seal_key_id.clone(),
        }
    }
}

/// Reads a whole backup and returns its facts if its checksum agrees.
pub fn facts(file: &Path) -> Result<Facts, String> {
    let read = || -> Result<BackupFacts, ArchiveError> {
        let mut archive = fs::File::open(file)?;
        let bytes = archive.metadata()?.len();
        archive::unpack(&mut archive, bytes, &mut std::io::sink())
    };
    match read() {
        Ok(facts) => Ok(Facts::of(&facts)),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

/// Restores a backup into a folder beside it, verifies books and audit log there, and removes the folder.
pub async fn check(file: &Path) -> Result<BackupCheck, String> {
    let folder = PathBuf::from(format!("{}.verify-{}", file.display(), std::process::id()));
    let checked = check_in(file, &folder).await;
    if let Err(error) = fs::remove_dir_all(&folder) {
        tracing::debug!(%error, "failed to remove the folder of the verification");
    }
    checked
}

async fn check_in(file: &Path, folder: &Path) -> Result<BackupCheck, String> {
    let restored = restore::restore(file, folder, &options(Keys::AsSaved));
    let report = restored.map_err(|error| format!("{}: {error}", file.display()))?;
    let zone = Zone::parse(&report.facts.timezone).ok_or("unknown timezone in the backup")?;
    let disk = FolderDisk::lock(folder).map_err(|error| error.to_string())?;
    let (store, _) = Store::open(Options {
        disk: Arc::new(disk),
        zone: zone.clone(),
        segment_bytes: MIB,
        disk_reserve_mb: 0,
        wait_for_disk: false,
        create: false,
        seal_key: SealKeyCheck::Skip,
    })
    .map_err(|error| error.to_string())?;
    let verified = match store.verification(zone, CATCH_UP_MS).await {
        Ok(verification) => verification.run(|| true),
        Err(error) => Err(error),
    };
    let audit = store.verify_audit(&[], || true);
    store.close();
    let verified = verified.map_err(|error| error.to_string())?;
    let audit = audit.map_err(|error| error.to_string())?;
    let in_audit = audit
        .findings
        .iter()
        .map(|finding| format!("audit log: {}", finding.says));
    let named = |difference: &crate::store::Difference| {
        format!(
            "{} {}: {}",
            difference.part.as_str(),
            difference.row,
            difference.says
        )
    };
    Ok(BackupCheck {
        facts: Facts::of(&report.facts),
        records: verified.records,
        corrections: verified.corrections,
        balances: verified.balances,
        rollups: verified.rollups,
        // the restore into the temporary folder added one
        audit_events: audit.size.saturating_sub(1),
        differences: verified
            .differences
            .iter()
            .map(named)
            .chain(in_audit)
            .collect(),
    })
}

/// Restores into the data folder of the configuration, once the seal key that the backup needs is at hand.
pub fn restore(
    file: &Path,
    config: &Config,
    seal_key: Option<&Path>,
    keys: Keys,
) -> Result<Restored, String> {
    let wanted = facts(file)?.seal_key_id;
    let found = find_seal_key(config, seal_key)?;
    if found.id() != wanted {
        return Err(format!(
            "the seal key at hand is {}, but the backup was made with {wanted}; name the file of that key with --seal-key",
            found.id()
        ));
    }
    let report = restore::restore(file, &config.folder, &options(keys)).map_err(|error| {
        format!(
            "failed to restore {}: {error}; nothing was replaced",
            file.display()
        )
    })?;
    put_seal_key(config, seal_key).map_err(|error| {
        format!("restored, but the seal key was not put into the data folder: {error}; copy it there as seal.key, mode 0400")
    })?;
    Ok(Restored {
        facts: Facts::of(&report.facts),
        generation: report.generation,
        booked_from_log: report.booked_from_log,
        missing_from_log: report.missing_from_log,
        keys_disabled: report.keys_disabled,
        aside: report.aside,
    })
}

/// A restore by the user of this process, now.
fn options(keys: Keys) -> RestoreOptions {
    let uid = rustix::process::geteuid().as_raw();
    RestoreOptions {
        at_ms: SystemClock { boot: None }.wall_ms(),
        actor: Actor::Local { uid }.to_string(),
        disable_keys: keys == Keys::Disabled,
    }
}

/// The named file, else the configured source, else the key in the data folder.
fn find_seal_key(config: &Config, named: Option<&Path>) -> Result<SealKey, String> {
    let in_folder = config.folder.join(crate::store::seal::KEY_FILE);
    let secret = |source: SecretSource| source.read(&process_environment);
    match (named, &config.seal_key) {
        (Some(path), _) => {
            let path =
                fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(SealKey::of_secret(&secret(SecretSource::File(path))?))
        }
        (None, SealKeySource::Configured(secret)) => Ok(SealKey::of_secret(secret)),
        (None, SealKeySource::Unread(source)) => Ok(SealKey::of_secret(&secret(source.clone())?)),
        (None, SealKeySource::Folder) if in_folder.exists() => {
            SealKey::in_folder(&config.folder).map_err(|error| error.to_string())
        }
        (None, SealKeySource::Folder) => {
            Err("no seal key in the data folder; name its file with --seal-key".to_owned())
        }
    }
}

/// Copies the named key to where the server will look for it, unless the configuration names a source of its own.
fn put_seal_key(config: &Config, named: Option<&Path>) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let target = config.folder.join(crate::store::seal::KEY_FILE);
    let (Some(named), SealKeySource::Folder) = (named, &config.seal_key) else {
        return Ok(());
    };
    if target.exists() {
        fs::remove_file(&target)?;
    }
    fs::copy(named, &target)?;
    fs::set_permissions(&target, fs::Permissions::from_mode(0o400))
}
