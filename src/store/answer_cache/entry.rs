//! An entry of the answer cache: its head, which is stored in clear but names nothing, and its sealed content.

use std::sync::Arc;

use crate::domain::cache::CacheEntryId;

/// Bytes of a head.
pub(super) const HEAD_BYTES: usize = 56;

/// Keyed hashes of the properties by which entries are purged; equal properties have equal hashes, which tell nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryTags {
    pub organization: u64,
    pub team: u64,
    pub key: u64,
    pub model: u64,
    /// 1 for entries with a vector, else 0
    pub namespace: u64,
}

/// Times and tags of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryHead {
    pub at_ms: u64,
    pub expires_ms: u64,
    pub tags: EntryTags,
}

/// An entry to be stored; it replaces an earlier one with the same id.
#[derive(Clone, Debug)]
pub struct NewEntry {
    pub id: CacheEntryId,
    pub head: EntryHead,
    pub plain: Arc<[u8]>,
}

/// An entry that was found.
#[derive(Clone, Debug)]
pub struct StoredEntry {
    pub head: EntryHead,
    pub plain: Arc<[u8]>,
}

/// Entries of a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    All,
    Entry(CacheEntryId),
    Organization(u64),
    Team(u64),
    Key(u64),
    /// a model within a team, or of all teams
    Model(u64, Option<u64>),
}

impl Selection {
    pub(super) fn contains(&self, id: CacheEntryId, tags: &EntryTags) -> bool {
        match self {
            Selection::All => true,
            Selection::Entry(entry) => *entry == id,
            Selection::Organization(tag) => *tag == tags.organization,
            Selection::Team(tag) => *tag == tags.team,
            Selection::Key(tag) => *tag == tags.key,
            Selection::Model(tag, team) => {
                *tag == tags.model && team.is_none_or(|team| team == tags.team)
            }
        }
    }
}

impl EntryHead {
    pub(super) fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let EntryTags {
            organization,
            team,
            key,
            model,
            namespace,
        } = self.tags;
        let numbers = [
            self.at_ms,
            self.expires_ms,
            organization,
            team,
            key,
            model,
            namespace,
        ];
        let mut bytes = [0; HEAD_BYTES];
        for (into, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            into.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    pub(super) fn of_bytes(bytes: &[u8; HEAD_BYTES]) -> EntryHead {
        let mut numbers = [0u64; HEAD_BYTES / 8];
        for (number, from) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut eight = [0; 8];
            eight.copy_from_slice(from);
            *number = u64::from_be_bytes(eight);
        }
        let [at_ms, expires_ms, organization, team, key, model, namespace] = numbers;
        EntryHead {
            at_ms,
            expires_ms,
            tags: EntryTags {
                organization,
                team,
                key,
                model,
                namespace,
            },
        }
    }

    pub(super) fn is_live(&self, now_ms: u64) -> bool {
        now_ms < self.expires_ms
    }
}
