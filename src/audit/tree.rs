//! Merkle tree of RFC 9162, section 2.1: hashes, the frontier to which leaves are appended with O(log n) work and memory, and inclusion
//! proofs. A tree of a million leaves is known by at most 20 hashes.

use ring::digest::{Context, SHA256, digest};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Levels of a tree at most.
const HEIGHT_MAX: usize = 64;

/// Hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(leaf);
    finish(context)
}

/// Hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[1]);
    context.update(left);
    context.update(right);
    finish(context)
}

fn finish(context: Context) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Roots of the complete subtrees that a tree consists of, largest first: one for each bit of its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// `None`: the size needs another number of peaks.
    pub fn new(size: u64, peaks: Vec<Hash>) -> Option<Frontier> {
        (peaks.len() == size.count_ones() as usize).then_some(Frontier { size, peaks })
    }

    /// Leaves of the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends the hash of a leaf and reports every subtree that it completes: height from 1, index at that height, root.
    pub fn append(&mut self, leaf: Hash, mut completed: impl FnMut(u32, u64, &Hash)) {
        let mut node = leaf;
        for height in 1..=self.size.trailing_ones() {
            let left = self.peaks.pop().unwrap_or_default();
            node = node_hash(&left, &node);
            completed(height, self.size >> height, &node);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => {
                let mut empty = [0; 32];
                empty.copy_from_slice(digest(&SHA256, b"").as_ref());
                empty
            }
            Some(last) => peaks.fold(*last, |root, peak| node_hash(peak, &root)),
        }
    }
}

/// Inclusion proof of the leaf at `index` in the tree of `size` leaves. `node` returns the root of a complete subtree, by height and
/// index. The index must be less than the size.
pub fn prove_inclusion<E>(
    index: u64,
    size: u64,
    mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let (mut from, mut to) = (0, size);
    let mut proof = Vec::with_capacity(HEIGHT_MAX);
    while to - from > 1 {
        let middle = from + left_leaves(to - from);
        if index < middle {
            proof.push(range_root(middle, to, &mut node)?);
            to = middle;
        } else {
            proof.push(range_root(from, middle, &mut node)?);
            from = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Root of the leaves `from..to`, which are the right end of a tree or complete.
fn range_root<E>(
    from: u64,
    to: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let leaves = to - from;
    if leaves.is_power_of_two() {
        let height = leaves.trailing_zeros();
        return node(height, from >> height);
    }
    let middle = from + left_leaves(leaves);
    let left = range_root(from, middle, node)?;
    let right = range_root(middle, to, node)?;
    Ok(node_hash(&left, &right))
}

/// The largest power of two that is smaller than the number of leaves.
fn left_leaves(leaves: u64) -> u64 {
    1 << (u64::BITS - 1 - (leaves - 1).leading_zeros())
}

/// Root that an inclusion proof leads to (RFC 9162, section 2.1.3.2). `None`: the proof does not fit the index and size.
pub fn root_of_inclusion(index: u64, size: u64, leaf: Hash, proof: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last, mut root) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            root = node_hash(sibling, &root);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Leaves of the test vectors of Certificate Transparency.
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    /// Roots of their first 1 to 8.
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    /// Inclusion proofs: index, size, hashes.
    const PROOFS: [(u64, u64, &[&str]); 5] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            3,
            &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
        ),
        (
            1,
            5,
            &[
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];

    pub(in crate::audit) fn hex(text: &str) -> Vec<u8> {
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
        (0..text.len()).step_by(2).map(byte).collect()
    }

    fn hash(text: &str) -> Hash {
        hex(text).try_into().expect("32 bytes")
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count)
            .map(|number| leaf_hash(&number.to_be_bytes()))
            .collect()
    }

    /// Root by the definition of RFC 9162, section 2.1.1.
    fn root_by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Frontier::default().root(),
            [only] => *only,
            more => {
                let (left, right) = more.split_at(left_leaves(more.len() as u64) as usize);
                node_hash(&root_by_definition(left), &root_by_definition(right))
            }
        }
    }

    #[test]
    fn tree_roots_equal_the_vectors_of_certificate_transparency() {
        let mut tree = Frontier::default();
        assert_eq!(
            tree.root(),
            hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        );
        for (leaf, root) in LEAVES.iter().zip(ROOTS) {
            tree.append(leaf_hash(&hex(leaf)), |_, _, _| {});
            assert_eq!(tree.root(), hash(root));
        }
    }

    #[test]
    fn inclusion_proofs_equal_the_vectors_of_certificate_transparency() {
        let leaves: Vec<Hash> = LEAVES.iter().map(|leaf| leaf_hash(&hex(leaf))).collect();
        for (index, size, hashes) in PROOFS {
            let proof: Vec<Hash> = hashes.iter().map(|text| hash(text)).collect();
            let node = |height: u32, at: u64| {
                let (from, to) = (at << height, (at + 1) << height);
                Ok::<_, ()>(root_by_definition(&leaves[from as usize..to as usize]))
            };
            assert_eq!(prove_inclusion(index, size, node), Ok(proof.clone()));
            let root = root_of_inclusion(index, size, leaves[index as usize], &proof);
            assert_eq!(root, Some(hash(ROOTS[size as usize - 1])));
        }
    }

    #[test]
    fn frontier_equals_the_definition_at_every_size_and_proves_every_leaf() {
        let leaves = leaves(67);
        let mut tree = Frontier::default();
        for (count, leaf) in leaves.iter().enumerate() {
            let mut completed = Vec::new();
            tree.append(*leaf, |height, index, root| {
                completed.push((height, index, *root));
            });
            for (height, index, root) in completed {
                let (from, to) = (index << height, (index + 1) << height);
                assert_eq!(
                    root,
                    root_by_definition(&leaves[from as usize..to as usize])
                );
            }
            let size = count as u64 + 1;
            let root = root_by_definition(&leaves[..count + 1]);
            assert_eq!(tree.root(), root);
            assert_eq!(
                Frontier::new(size, tree.peaks().to_vec()).as_ref(),
                Some(&tree)
            );
            for index in 0..size {
                let node = |height: u32, at: u64| {
                    let (from, to) = (at << height, (at + 1) << height);
                    Ok::<_, ()>(root_by_definition(&leaves[from as usize..to as usize]))
                };
                let proof = prove_inclusion(index, size, node).expect("nodes");
                let leaf = leaves[index as usize];
                assert_eq!(root_of_inclusion(index, size, leaf, &proof), Some(root));
                let other = root_of_inclusion(index + 1, size, leaf, &proof);
                assert_ne!(other, Some(root), "a proof is for one index");
            }
        }
        assert_eq!(root_of_inclusion(3, 3, leaves[0], &[]), None);
        assert_eq!(root_of_inclusion(0, 4, leaves[0], &[leaves[1]]), None);
        assert_eq!(Frontier::new(3, vec![leaves[0]]), None);
    }
}
