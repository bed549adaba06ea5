//! Tests of the archive: what was cut, changed or extended is refused.

use super::archive::{ArchiveError, BackupFacts, CHECKSUM_BYTES, HEADER_BYTES, unpack};
use sha2::{Digest, Sha256};

fn facts(books_bytes: u64) -> BackupFacts {
    BackupFacts {
        version: "0.1.0".to_owned(),
        instance: *b"0123456789abcdef",
        generation: 1,
        schema: 5,
        applied: 42,
        taken_ms: 1_700_000_000_000,
        timezone: "Europe/Berlin".to_owned(),
        seal_key_id: "00112233".to_owned(),
        books_bytes,
    }
}

fn archive(books: &[u8]) -> Vec<u8> {
    let mut bytes = facts(books.len() as u64).header().to_vec();
    bytes.extend_from_slice(books);
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

fn unpacked(bytes: &[u8]) -> Result<(BackupFacts, Vec<u8>), ArchiveError> {
    let mut books = Vec::new();
    let facts = unpack(&mut &bytes[..], bytes.len() as u64, &mut books)?;
    Ok((facts, books))
}

#[test]
fn backup_is_read_back_with_its_facts() {
    let (read, books) = unpacked(&archive(b"the books")).expect("a backup");
    assert_eq!((read, books.as_slice()), (facts(9), &b"the books"[..]));
}

#[test]
fn backup_cut_changed_or_extended_is_refused() {
    let whole = archive(&[7; 5_000]);
    for length in [
        0,
        7,
        HEADER_BYTES,
        whole.len() - CHECKSUM_BYTES,
        whole.len() - 1,
    ] {
        assert!(unpacked(&whole[..length]).is_err(), "cut to {length}");
    }
    for at in [0, 20, HEADER_BYTES - 1, HEADER_BYTES, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(unpacked(&changed).is_err(), "changed at {at}");
    }
    let mut extended = whole.clone();
    extended.push(0);
    assert!(matches!(
        unpacked(&extended),
        Err(ArchiveError::Incomplete { .. })
    ));
}
