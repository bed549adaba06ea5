//! Search of the entries of a namespace for the vectors nearest to one: each is compared, which takes less than 0.1 ms for 10,000.
//! The caller bounds the number of entries. It must never mix vectors of two models or two namespaces.

use crate::cache::embedder::Vector;
use crate::cache::simd;

/// Rows compared at once.
const CHUNK: usize = 256;

/// Vectors of a namespace with the ids of their entries.
pub struct VectorIndex<Id> {
    ids: Vec<Id>,
    /// grows with each entry: of equal vectors, the newest is the nearest
    numbers: Vec<u64>,
    next_number: u64,
    inverse_lengths: Vec<f32>,
    bytes: Vec<u8>,
}

/// Entry and its cosine, at most 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Neighbor<Id> {
    pub id: Id,
    pub similarity: f32,
}

impl<Id> Default for VectorIndex<Id> {
    fn default() -> VectorIndex<Id> {
        VectorIndex {
            ids: Vec::new(),
            numbers: Vec::new(),
            next_number: 0,
            inverse_lengths: Vec::new(),
            bytes: Vec::new(),
        }
    }
}

impl<Id: Copy + PartialEq> VectorIndex<Id> {
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub fn insert(&mut self, id: Id, vector: &Vector) {
        self.ids.push(id);
        self.numbers.push(self.next_number);
        self.next_number += 1;
        self.inverse_lengths.push(vector.inverse_length());
        self.bytes.extend(vector.as_bytes());
    }

    /// Removes an entry; returns false if there was none of this id.
    pub fn remove(&mut self, id: Id) -> bool {
        let Some(index) = self.ids.iter().position(|other| *other == id) else {
            return false;
        };
        self.ids.swap_remove(index);
        self.numbers.swap_remove(index);
        self.inverse_lengths.swap_remove(index);
        let last = self.bytes.len() - Vector::BYTES;
        self.bytes.copy_within(last.., index * Vector::BYTES);
        self.bytes.truncate(last);
        true
    }

    /// Entries of at least `similarity_min`, the nearest first, at most `count_max`.
    pub fn nearest(
        &self,
        asked: &Vector,
        similarity_min: f32,
        count_max: usize,
    ) -> Vec<Neighbor<Id>> {
        let values = asked.values();
        let inverse_length = asked.inverse_length();
        let mut found: Vec<(f32, u64, Id)> = Vec::with_capacity(count_max + 1);
        let mut products = [0; CHUNK];
        for (chunk, bytes) in self.bytes.chunks(CHUNK * Vector::BYTES).enumerate() {
            let products = &mut products[..bytes.len() / Vector::BYTES];
            simd::products(&values, bytes, Vector::BYTES, products);
            for (row, product) in products.iter().enumerate() {
                let index = chunk * CHUNK + row;
                let cosine = *product as f32 * inverse_length * self.inverse_lengths[index];
                let is_full = found.len() >= count_max;
                let least = found
                    .last()
                    .filter(|_| is_full)
                    .map_or(similarity_min, |last| last.0);
                if cosine >= least {
                    insert(&mut found, (cosine, self.numbers[index], self.ids[index]));
                    found.truncate(count_max);
                }
            }
        }
        let neighbors = found.into_iter().map(|(cosine, _, id)| Neighbor {
            id,
            similarity: cosine.min(1.0),
        });
        neighbors.collect()
    }
}

/// Keeps the order: nearest first, then newest first.
fn insert<Id>(found: &mut Vec<(f32, u64, Id)>, new: (f32, u64, Id)) {
    let is_before = |other: &(f32, u64, Id)| {
        let order = other.0.total_cmp(&new.0);
        order.then(other.1.cmp(&new.1)).is_gt()
    };
    let at = found.partition_point(is_before);
    found.insert(at, new);
}

#[cfg(test)]
mod tests {
    //! Order, bounds and removal, with vectors made by hand.

    use super::*;

    /// Vector in the plane of the first two values.
    fn vector(x: i8, y: i8) -> Vector {
        let mut bytes = [0; Vector::BYTES];
        bytes[0] = x.cast_unsigned();
        bytes[1] = y.cast_unsigned();
        Vector::from_bytes(&bytes).expect("the length is right")
    }

    fn ids(found: &[Neighbor<u32>]) -> Vec<u32> {
        found.iter().map(|neighbor| neighbor.id).collect()
    }

    #[test]
    fn nearest_entries_come_first_down_to_the_least_similarity() {
        let mut index = VectorIndex::default();
        for (id, y) in [(1, 100), (2, 10), (3, -127), (4, 40), (5, 20)] {
            index.insert(id, &vector(100, y));
        }
        let found = index.nearest(&vector(50, 5), 0.9, 10);
        assert_eq!(ids(&found), [2, 5, 4]);
        assert!(found[0].similarity > 0.998 && found[2].similarity > 0.9);
        assert_eq!(ids(&index.nearest(&vector(50, 5), 0.9, 2)), [2, 5]);
        assert!(index.nearest(&vector(-50, 0), 0.9, 2).is_empty());
    }

    #[test]
    fn equal_vectors_come_newest_first() {
        let mut index = VectorIndex::default();
        for id in [4, 1, 9, 7] {
            index.insert(id, &vector(3, 4));
        }
        let found = index.nearest(&vector(3, 4), 0.99, 3);
        assert_eq!(ids(&found), [7, 9, 1]);
        assert!(found.iter().all(|neighbor| neighbor.similarity > 0.999_999));
    }

    #[test]
    fn removed_entry_is_not_found_and_others_are() {
        let mut index = VectorIndex::default();
        for id in 0..600_u32 {
            index.insert(id, &vector(100, (id % 100) as i8));
        }
        assert!(index.remove(0) && index.remove(599) && index.remove(300));
        assert!(!index.remove(300));
        assert_eq!(index.len(), 597);
        assert_eq!(
            ids(&index.nearest(&vector(100, 0), 0.999_99, 10)),
            [500, 400, 200, 100]
        );
        assert_eq!(
            ids(&index.nearest(&vector(100, 99), 0.999_99, 10)),
            [499, 399, 299, 199, 99]
        );
    }

    #[test]
    fn vector_of_zeros_is_like_nothing() {
        let mut index = VectorIndex::default();
        index.insert(1, &vector(0, 0));
        assert!(index.nearest(&vector(1, 0), 0.1, 1).is_empty());
        assert!(index.nearest(&vector(0, 0), 0.1, 1).is_empty());
    }

    #[test]
    fn vector_of_another_length_is_refused() {
        assert_eq!(Vector::from_bytes(&[0; Vector::BYTES - 1]), None);
        assert!(Vector::from_bytes(&[1; Vector::BYTES]).is_some());
    }
}
