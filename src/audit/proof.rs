//! Inclusion proof of one event that stands alone (`c2sp.org/tlog-proof@v1`): index, path and checkpoint, with the event itself as extra
//! data. It is checked with the public key and nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::{NoteError, PublicKey};
use crate::audit::tree::{Hash, leaf_hash, root_of_inclusion};

const FORMAT: &str = "c2sp.org/tlog-proof@v1";
const HASHES_MAX: usize = 64;

/// Proof that an event is the leaf at an index of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    pub index: u64,
    /// canonical JSON
    pub event: String,
    pub path: Vec<Hash>,
    /// signed note
    pub checkpoint: String,
}

/// Reason why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("malformed proof; it must begin with `{FORMAT}`")]
    Malformed,
    #[error("checkpoint: {0}")]
    Checkpoint(NoteError),
    #[error("the path does not lead from the event to the root of the checkpoint")]
    OtherRoot,
}

impl InclusionProof {
    pub fn to_text(&self) -> String {
        let path: String = self
            .path
            .iter()
            .map(|hash| STANDARD.encode(hash) + "\n")
            .collect();
        format!(
            "{FORMAT}\nextra {}\nindex {}\n{path}\n{}",
            STANDARD.encode(&self.event),
            self.index,
            self.checkpoint
        )
    }

    pub fn parse(text: &str) -> Result<InclusionProof, ProofError> {
        InclusionProof::read(text).ok_or(ProofError::Malformed)
    }

    fn read(text: &str) -> Option<InclusionProof> {
        let (head, checkpoint) = text.split_once("\n\n")?;
        let mut lines = head.split('\n');
        if lines.next()? != FORMAT {
            return None;
        }
        let event = STANDARD.decode(lines.next()?.strip_prefix("extra ")?);
        let index = lines.next()?.strip_prefix("index ")?.parse().ok()?;
        let hash = |line: &str| STANDARD.decode(line).ok()?.try_into().ok();
        let path: Vec<Hash> = lines.map(hash).collect::<Option<_>>()?;
        (path.len() <= HASHES_MAX).then_some(InclusionProof {
            index,
            event: String::from_utf8(event.ok()?).ok()?,
            path,
            checkpoint: checkpoint.to_owned(),
        })
    }

    /// Checks the proof; returns the checkpoint that it relies on.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<Checkpoint, ProofError> {
        let checkpoint =
            Checkpoint::open(&self.checkpoint, keys).map_err(ProofError::Checkpoint)?;
        let leaf = leaf_hash(self.event.as_bytes());
        let root = root_of_inclusion(self.index, checkpoint.size, leaf, &self.path);
        if root == Some(checkpoint.root) {
            Ok(checkpoint)
        } else {
            Err(ProofError::OtherRoot)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::checkpoint::origin;
    use crate::audit::note::Signer;
    use crate::audit::tree::{Frontier, node_hash};

    fn sample() -> (InclusionProof, PublicKey) {
        let name = origin(&[1; 16], 1);
        let signer = Signer::new(&name, &[9; 32]).expect("a signer");
        let events = ["{\"seq\":1}", "{\"seq\":2}", "{\"seq\":3}"];
        let hashes = events.map(|event| leaf_hash(event.as_bytes()));
        let mut tree = Frontier::default();
        hashes
            .iter()
            .for_each(|hash| tree.append(*hash, |_, _, _| {}));
        let head = Checkpoint {
            origin: name,
            size: 3,
            root: tree.root(),
        };
        let proof = InclusionProof {
            index: 2,
            event: events[2].to_owned(),
            path: vec![node_hash(&hashes[0], &hashes[1])],
            checkpoint: head.sign(&signer),
        };
        (proof, signer.public_key().clone())
    }

    #[test]
    fn proof_stands_alone_as_text_and_every_change_of_it_is_found() {
        let (proof, key) = sample();
        let text = proof.to_text();
        assert_eq!(InclusionProof::parse(&text), Ok(proof.clone()));
        let keys = [key];
        assert_eq!(proof.verify(&keys).map(|head| head.size), Ok(3));
        let is_valid =
            |text: &str| InclusionProof::parse(text).is_ok_and(|proof| proof.verify(&keys).is_ok());
        for (at, letter) in text.char_indices().filter(|(_, letter)| letter.is_ascii()) {
            let other = if letter == 'A' { "B" } else { "A" };
            let changed = [&text[..at], other, &text[at + 1..]].concat();
            assert!(!is_valid(&changed), "at {at}: {changed}");
        }
        for to in 0..text.len() - 1 {
            assert!(
                text.get(..to).is_none_or(|cut| !is_valid(cut)),
                "cut at {to}"
            );
        }
    }
}
