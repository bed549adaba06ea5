//! The demo's keys between two starts: a file in its data folder that only its owner can read. Only the demo keeps keys in
//! clear, because its keys open nothing but a simulator.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::domain::secret::Secret;

const FILE: &str = "demo-secrets.json";

/// The keys, and where they are kept.
#[derive(Clone)]
pub struct Secrets {
    folder: PathBuf,
    kept: StoredSecrets,
}

#[derive(Clone, Deserialize, Serialize)]
struct StoredSecrets {
    admin_key: String,
    /// by team
    keys: BTreeMap<String, String>,
}

impl Secrets {
    pub fn new(folder: &Path, admin_key: &Secret) -> Secrets {
        let kept = StoredSecrets {
            admin_key: admin_key.expose().to_owned(),
            keys: BTreeMap::new(),
        };
        Secrets {
            folder: folder.to_owned(),
            kept,
        }
    }

    /// Those of an earlier start. A folder without them is not the demo's.
    pub fn read(folder: &Path) -> Result<Secrets, Failure> {
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path).map_err(|error| {
            Failure::configuration(format!(
                "{} cannot be read ({error}), so {} is not a folder of the demo; name another with --data",
                path.display(),
                folder.display()
            ))
        })?;
        let kept = serde_json::from_str(&text).map_err(|_| {
            Failure::configuration(format!(
                "{} is damaged; remove the folder {} and start again",
                path.display(),
                folder.display()
            ))
        })?;
        Ok(Secrets {
            folder: folder.to_owned(),
            kept,
        })
    }

    pub fn admin_key(&self) -> &str {
        &self.kept.admin_key
    }

    pub fn key(&self, team: &str) -> Option<&str> {
        self.kept.keys.get(team).map(String::as_str)
    }

    pub fn keep(&mut self, team: &str, key: &str) -> Result<(), Failure> {
        self.kept.keys.insert(team.to_owned(), key.to_owned());
        self.save()
    }

    /// Replaces the file as a whole, so that a kill leaves the old one or the new one.
    pub fn save(&self) -> Result<(), Failure> {
        let path = self.folder.join(FILE);
        self.replace(&path).map_err(|error| {
            Failure::refused(format!("{} cannot be written: {error}", path.display()))
        })
    }

    fn replace(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("json.new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(serde_json::to_string_pretty(&self.kept)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_found_again_and_only_their_owner_can_read_them() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut secrets = Secrets::new(folder.path(), &Secret::new("sk-gk-master-x"));
        secrets
            .keep("engineering", "sk-gk-engineering-x")
            .expect("saved");
        let again = Secrets::read(folder.path()).expect("read");
        assert_eq!(
            (
                again.admin_key(),
                again.key("engineering"),
                again.key("support")
            ),
            ("sk-gk-master-x", Some("sk-gk-engineering-x"), None)
        );
        let mode = fs::metadata(folder.path().join(FILE))
            .expect("the file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_folder_of_another_gateway_is_not_taken() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let failure = Secrets::read(folder.path()).err().expect("no secrets");
        assert!(
            failure.to_string().contains("not a folder of the demo"),
            "{failure}"
        );
    }
}
