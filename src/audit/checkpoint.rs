//! Checkpoint (`c2sp.org/tlog-checkpoint`): origin, size and root of the log in a signed note. The origin is
//! `gatekeeper/INSTANCE/GENERATION`: a restore begins a generation, and the name of the signing key is the origin.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::audit::note::{self, NoteError, PublicKey, Signer};
use crate::audit::tree::Hash;

const PRODUCT: &str = "gatekeeper";

/// Head of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

/// Name of a log, which its checkpoints and its key carry.
pub fn origin(instance: &[u8; 16], generation: u32) -> String {
    let hex: String = instance.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{PRODUCT}/{hex}/{generation}")
}

/// Instance and generation of an origin; `None` for the log of another product.
pub fn parse_origin(origin: &str) -> Option<(&str, u32)> {
    let (instance, generation) = origin
        .strip_prefix(PRODUCT)?
        .strip_prefix('/')?
        .split_once('/')?;
    Some((instance, generation.parse().ok()?))
}

impl Checkpoint {
    /// The checkpoint as a note.
    pub fn sign(&self, signer: &Signer) -> String {
        let root = STANDARD.encode(self.root);
        signer.sign(&format!("{}\n{}\n{root}\n", self.origin, self.size))
    }

    /// Reads a note without checking its signature.
    pub fn read(note: &str) -> Option<Checkpoint> {
        let mut lines = note.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty());
        let (origin, size, root) = (line()?, line()?, line()?);
        let number: u64 = size.parse().ok()?;
        Some(Checkpoint {
            origin: origin.to_owned(),
            size: (number.to_string() == size).then_some(number)?,
            root: STANDARD.decode(root).ok()?.try_into().ok()?,
        })
    }

    /// Reads a note that one of the keys has signed. Every generation of an instance signs under its own name, with the same key.
    pub fn open(note: &str, keys: &[PublicKey]) -> Result<Checkpoint, NoteError> {
        let checkpoint = Checkpoint::read(note).ok_or(NoteError::Malformed)?;
        let instance = |origin: &str| parse_origin(origin).map(|(instance, _)| instance.to_owned());
        let own = instance(&checkpoint.origin);
        let same_instance = keys
            .iter()
            .filter(|key| key.name() == checkpoint.origin || instance(key.name()) == own);
        let named: Vec<PublicKey> = same_instance
            .filter_map(|key| key.named(&checkpoint.origin))
            .collect();
        let text = note::open(note, &named)?;
        // nothing may stand between the root and the signatures
        if text.matches('\n').count() != 3 {
            return Err(NoteError::Malformed);
        }
        Ok(checkpoint)
    }
}

/// Notes that stand one after another in a text, such as a file of checkpoints.
pub fn notes(text: &str) -> Vec<&str> {
    let mut notes = Vec::new();
    let (mut start, mut at, mut in_signatures) = (0, 0, false);
    for line in text.split_inclusive('\n') {
        let is_signature = line.starts_with('—');
        if in_signatures && !is_signature {
            notes.push(&text[start..at]);
            start = at;
        }
        in_signatures = is_signature;
        at += line.len();
    }
    if start < text.len() {
        notes.push(&text[start..]);
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(generation: u32) -> Signer {
        Signer::new(&origin(&[0xab; 16], generation), &[7; 32]).expect("a signer")
    }

    fn sample(size: u64, generation: u32) -> Checkpoint {
        Checkpoint {
            origin: origin(&[0xab; 16], generation),
            size,
            root: [size as u8; 32],
        }
    }

    #[test]
    fn checkpoint_is_a_note_of_three_lines_and_opens_with_the_key_of_any_generation() {
        let note = sample(5, 2).sign(&signer(2));
        let lines: Vec<&str> = note.lines().collect();
        assert_eq!(lines[0], "gatekeeper/abababababababababababababababab/2");
        assert_eq!((lines[1], lines[3], lines.len()), ("5", "", 5));
        let keys = [signer(1).public_key().clone()];
        assert_eq!(Checkpoint::open(&note, &keys), Ok(sample(5, 2)));
        let other = Signer::new(&origin(&[0xcd; 16], 1), &[7; 32]).expect("a signer");
        let error = Checkpoint::open(&note, &[other.public_key().clone()]);
        assert_eq!(error, Err(NoteError::UnknownKey), "another instance");
    }

    #[test]
    fn checkpoint_with_extra_or_malformed_lines_is_rejected() {
        let keys = [signer(1).public_key().clone()];
        let origin = origin(&[0xab; 16], 1);
        let root = STANDARD.encode([3; 32]);
        for text in [
            format!("{origin}\n05\n{root}\n"),
            format!("{origin}\n5\n{}\n", &root[4..]),
            format!("{origin}\n5\n{root}\nmore\n"),
            format!("{origin}\n5\n"),
        ] {
            let error = Checkpoint::open(&signer(1).sign(&text), &keys);
            assert_eq!(error, Err(NoteError::Malformed), "{text}");
        }
    }

    #[test]
    fn notes_of_a_file_are_split_at_their_signatures() {
        let (one, two) = (sample(5, 1).sign(&signer(1)), sample(6, 1).sign(&signer(1)));
        assert_eq!(notes(&format!("{one}{two}")), [one.as_str(), two.as_str()]);
        assert_eq!(notes(&one), [one.as_str()]);
        assert!(notes("").is_empty());
    }
}
