//! Ordered map in shards behind `Arc`: a copy shares every shard, and a change of the copy rewrites one shard of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::budget::Owner;
use crate::domain::id::{AdminKeyId, BudgetId, KeyId, LimitId, OrganizationId, TeamId, UserId};
use crate::domain::tenant::SecretHash;

/// Key of a `ShardedMap`. The number of its shard rises with the key.
pub(super) trait ShardKey: Ord + Clone {
    fn shard(&self) -> (u64, u64);
}

/// Ids per shard; ids are consecutive.
const IDS_SHIFT: u32 = 6;

macro_rules! ids {
    ($($id:ident)*) => {
        $(impl ShardKey for $id {
            fn shard(&self) -> (u64, u64) {
                (0, self.0 >> IDS_SHIFT)
            }
        })*
    };
}

ids! { AdminKeyId BudgetId KeyId LimitId OrganizationId TeamId UserId }

impl ShardKey for SecretHash {
    /// 1,024 shards: hashes are uniform.
    fn shard(&self) -> (u64, u64) {
        (0, u64::from(u16::from_be_bytes([self[0], self[1]]) >> 6))
    }
}

impl ShardKey for Owner {
    fn shard(&self) -> (u64, u64) {
        match self {
            Owner::Organization(id) => (0, id.shard().1),
            Owner::Team(id) => (1, id.shard().1),
            Owner::Key(id) => (2, id.shard().1),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct ShardedMap<K, V> {
    shards: BTreeMap<(u64, u64), Arc<BTreeMap<K, V>>>,
}

impl<K, V> Default for ShardedMap<K, V> {
    fn default() -> ShardedMap<K, V> {
        ShardedMap {
            shards: BTreeMap::new(),
        }
    }
}

impl<K: ShardKey, V: Clone> ShardedMap<K, V> {
    pub fn get(&self, key: &K) -> Option<&V> {
        self.shards.get(&key.shard())?.get(key)
    }

    pub fn insert(&mut self, key: K, value: V) {
        let shard = self.shards.entry(key.shard()).or_default();
        Arc::make_mut(shard).insert(key, value);
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        Arc::make_mut(self.shards.get_mut(&key.shard())?).remove(key)
    }

    /// Entries from a key on, in order.
    pub fn from<'m>(&'m self, first: &K) -> impl Iterator<Item = (&'m K, &'m V)> + use<'m, K, V> {
        let first = first.clone();
        self.shards
            .range(first.shard()..)
            .flat_map(move |(_, shard)| shard.range(first.clone()..))
    }

    /// Values in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.shards.values().flat_map(|shard| shard.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_of_a_copy_rewrites_one_shard() {
        let mut map = ShardedMap::default();
        for id in 0..10_000 {
            map.insert(KeyId(id), id);
        }
        let mut copy = map.clone();
        copy.insert(KeyId(5_000), 1);
        copy.remove(&KeyId(5_001));
        let rewritten = map
            .shards
            .iter()
            .filter(|(at, shard)| !Arc::ptr_eq(shard, &copy.shards[*at]));
        assert_eq!(rewritten.count(), 1);
        assert_eq!(map.get(&KeyId(5_001)), Some(&5_001));
        assert_eq!(
            (copy.get(&KeyId(5_000)), copy.get(&KeyId(5_001))),
            (Some(&1), None)
        );
    }

    #[test]
    fn entries_are_in_order_from_any_key() {
        let mut map = ShardedMap::default();
        for id in (0..500).rev() {
            map.insert(KeyId(id * 3), id);
        }
        let from = |id| map.from(&KeyId(id)).map(|(key, _)| key.0).next();
        assert_eq!(
            (from(0), from(100), from(1_497)),
            (Some(0), Some(102), Some(1_497))
        );
        assert_eq!(from(1_498), None);
        assert!(map.values().is_sorted() && map.values().count() == 500);
    }
}
