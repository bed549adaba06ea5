//! Storage of the demo's keys and progress between starts: a file with mode 0600 in its data folder. Only the demo stores keys in
//! plain text, because they give access to a simulator only.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::failure::Failure;
use crate::domain::secret::Secret;

const FILE: &str = "demo-secrets.json";

/// Keys of the demo and the folder that stores them.
#[derive(Clone)]
pub struct Secrets {
    folder: PathBuf,
    stored: StoredSecrets,
}

#[derive(Clone, Deserialize, Serialize)]
struct StoredSecrets {
    admin_key: String,
    /// by team
    keys: BTreeMap<String, String>,
    /// the budget that the demo uses up is used up
    #[serde(default)]
    is_spent: bool,
    #[serde(default)]
    history: Option<PlayedHistory>,
}

/// Invented past of the folder.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PlayedHistory {
    pub days: u64,
    pub requests: u64,
    pub refused: u64,
    pub cost_usd: String,
}

impl Secrets {
    pub fn new(folder: &Path, admin_key: &Secret) -> Secrets {
        let stored = StoredSecrets {
            admin_key: admin_key.expose().to_owned(),
            keys: BTreeMap::new(),
            is_spent: false,
            history: None,
        };
        Secrets {
            folder: folder.to_owned(),
            stored,
        }
    }

    /// Reads the keys of an earlier start. A folder without them does not belong to the demo.
    pub fn read(folder: &Path) -> Result<Secrets, Failure> {
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path).map_err(|error| {
            Failure::configuration(format!(
                "failed to read {} ({error}), so {} is not a folder of the demo; name another folder with --data",
                path.display(),
                folder.display()
            ))
        })?;
        let stored = serde_json::from_str(&text).map_err(|_| {
            Failure::configuration(format!(
                "{} is not valid JSON; remove the folder {} and start again",
                path.display(),
                folder.display()
            ))
        })?;
        Ok(Secrets {
            folder: folder.to_owned(),
            stored,
        })
    }

    pub fn admin_key(&self) -> &str {
        &self.stored.admin_key
    }

    pub fn key(&self, team: &str) -> Option<&str> {
        self.stored.keys.get(team).map(String::as_str)
    }

    pub fn history(&self) -> Option<&PlayedHistory> {
        self.stored.history.as_ref()
    }

    /// Notes the invented past, which has used the budget up, and saves the file.
    pub fn set_history(&mut self, history: PlayedHistory) -> Result<(), Failure> {
        self.stored.history = Some(history);
        self.set_spent()
    }

    pub fn is_spent(&self) -> bool {
        self.stored.is_spent
    }

    pub fn set_spent(&mut self) -> Result<(), Failure> {
        self.stored.is_spent = true;
        self.save()
    }

    /// Adds a key and saves the file.
    pub fn add(&mut self, team: &str, key: &str) -> Result<(), Failure> {
        self.stored.keys.insert(team.to_owned(), key.to_owned());
        self.save()
    }

    /// Replaces the file atomically.
    pub fn save(&self) -> Result<(), Failure> {
        let path = self.folder.join(FILE);
        self.replace(&path).map_err(|error| {
            Failure::runtime(format!("failed to write {}: {error}", path.display()))
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
        file.write_all(serde_json::to_string_pretty(&self.stored)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_read_back_from_a_private_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut secrets = Secrets::new(folder.path(), &Secret::new("sk-gk-master-x"));
        secrets
            .add("engineering", "sk-gk-engineering-x")
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
    fn folder_without_demo_secrets_is_rejected() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let failure = Secrets::read(folder.path()).err().expect("no secrets");
        assert!(
            failure.to_string().contains("not a folder of the demo"),
            "{failure}"
        );
    }
}
