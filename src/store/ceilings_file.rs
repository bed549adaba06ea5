//! `ceilings.json`: ceilings that bills have proved too low, replaced as a whole with each change. Small, readable, in no backup;
//! a file that cannot be read counts as empty, and the next bill writes another.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::ceiling::{CeilingFactor, DeploymentCeiling};
use crate::store::books::store::Store;
use crate::store::error::StoreError;

const FILE: &str = "ceilings.json";
const NEW_FILE: &str = "ceilings.json.new";

#[derive(Deserialize, Serialize)]
struct Content {
    deployments: Vec<Row>,
}

#[derive(Deserialize, Serialize)]
struct Row {
    provider: String,
    model: String,
    factor_thousandths: u64,
    calls_within: u32,
    members: Vec<String>,
}

impl Store {
    /// The stored ceilings.
    pub fn ceilings(&self) -> io::Result<Vec<DeploymentCeiling>> {
        if !self.disk.exists(FILE) {
            return Ok(Vec::new());
        }
        let file = self.disk.open(FILE)?;
        let mut bytes = vec![0; file.size()? as usize];
        file.read_at(0, &mut bytes)?;
        decode(&bytes)
    }

    /// Replaces the stored ceilings, durably.
    pub fn set_ceilings(&self, deployments: &[DeploymentCeiling]) -> Result<(), StoreError> {
        let replaced = self.replace_ceilings(deployments);
        replaced.map_err(|error| StoreError::Ceilings(error.to_string()))
    }

    fn replace_ceilings(&self, deployments: &[DeploymentCeiling]) -> io::Result<()> {
        let file = self.disk.open(NEW_FILE)?;
        file.set_size(0)?;
        file.write_at(0, &encode(deployments)?)?;
        file.sync_data()?;
        self.disk.rename(NEW_FILE, FILE)?;
        self.disk.sync_folder("")
    }
}

/// The ceilings stored in a data folder, without its lock.
pub fn ceilings_in(folder: &Path) -> io::Result<Vec<DeploymentCeiling>> {
    match std::fs::read(folder.join(FILE)) {
        Ok(bytes) => decode(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn encode(deployments: &[DeploymentCeiling]) -> io::Result<Vec<u8>> {
    let rows = deployments.iter().map(|deployment| Row {
        provider: deployment.provider.clone(),
        model: deployment.model.clone(),
        factor_thousandths: deployment.factor.thousandths(),
        calls_within: deployment.within,
        members: deployment.members.clone(),
    });
    let content = Content {
        deployments: rows.collect(),
    };
    let mut bytes = serde_json::to_vec_pretty(&content)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> io::Result<Vec<DeploymentCeiling>> {
    let content: Content = serde_json::from_slice(bytes)?;
    let deployments = content
        .deployments
        .into_iter()
        .map(|row| DeploymentCeiling {
            provider: row.provider,
            model: row.model,
            factor: CeilingFactor::of_thousandths(row.factor_thousandths),
            within: row.calls_within,
            members: row.members,
        });
    Ok(deployments.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::create_store;

    #[test]
    fn ceilings_are_read_as_they_were_stored_and_a_damaged_file_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = create_store(folder.path());
        assert_eq!(store.ceilings().expect("none"), []);
        let stored = [DeploymentCeiling {
            provider: "up".into(),
            model: "m".into(),
            factor: CeilingFactor::of_thousandths(2_500),
            within: 7,
            members: vec!["slot_id".into()],
        }];
        for stored in [&stored[..], &[]] {
            store.set_ceilings(stored).expect("written");
            assert_eq!(store.ceilings().expect("read"), stored);
            assert_eq!(ceilings_in(folder.path()).expect("read"), stored);
        }
        std::fs::write(folder.path().join(FILE), "{").expect("written");
        assert!(store.ceilings().is_err());
        store.close();
    }
}
