//! Directory and contents of the simulated disk, and their state after a power loss.

use std::collections::{BTreeMap, BTreeSet};

use super::content::Content;
use super::power_loss::{PendingVersions, PowerLoss};
use crate::harness::rng::SeededRng;

/// Names and contents; a name maps to the id of its content.
#[derive(Clone, Debug, Default)]
pub struct Files {
    pub names: BTreeMap<String, PendingVersions<Option<u64>>>,
    pub contents: BTreeMap<u64, Content>,
    /// number of the last write
    pub writes: u64,
    /// files may be mapped
    pub maps: bool,
}

impl Files {
    /// Content of an open file.
    pub fn content(&mut self, id: u64) -> &mut Content {
        self.contents
            .get_mut(&id)
            .expect("an open file has its content")
    }

    /// Id of the content under this name.
    pub fn find(&self, name: &str) -> Option<u64> {
        self.names.get(name).and_then(|versions| *versions.now())
    }

    /// Files as a power loss may leave them; names and contents that survive count as durable.
    pub fn after(&self, loss: &PowerLoss, rng: &mut SeededRng) -> Files {
        let mut left = Files::default();
        for (name, versions) in &self.names {
            left.names.insert(
                name.clone(),
                PendingVersions::new(versions.left_by(loss, rng)),
            );
        }
        let named: BTreeSet<u64> = left
            .names
            .values()
            .filter_map(|versions| versions.durable)
            .collect();
        for (id, content) in self.contents.iter().filter(|(id, _)| named.contains(id)) {
            // each file is written back on its own: one may be complete while another is empty
            let own_loss = if rng.between(0, 3) > 0 {
                *loss
            } else {
                PowerLoss::any(rng, self.writes)
            };
            left.contents.insert(*id, content.left_by(&own_loss, rng));
        }
        left.writes = self.writes;
        left.maps = self.maps;
        left
    }
}
