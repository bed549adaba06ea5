//! Format of a backup: a header of 4,096 bytes (magic, length and text of a JSON object, zeros), the file of the books, and the
//! SHA-256 of everything before. A file that was cut, changed or extended is refused before anything is restored from it.

use std::io::{self, Read, Write};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub const HEADER_BYTES: usize = 4_096;
pub const CHECKSUM_BYTES: usize = 32;
const MAGIC: &[u8; 8] = b"GKBACKUP";
const CHUNK_BYTES: usize = 1 << 20;

/// Facts about the books in a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFacts {
    /// release that made the backup
    pub version: String,
    pub instance: [u8; 16],
    pub generation: u32,
    pub schema: u64,
    /// last record of the log that the books contain
    pub applied: u64,
    pub taken_ms: u64,
    pub timezone: String,
    /// id of the seal key that opens what is sealed in the books
    pub seal_key_id: String,
    /// size of the file of the books
    pub books_bytes: u64,
}

/// Reason why a file is no usable backup.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("not a backup of Gatekeeper; check the path")]
    Foreign,
    #[error("backup incomplete: {found} of {expected} bytes; copy it again")]
    Incomplete { found: u64, expected: u64 },
    #[error("backup damaged: its checksum differs; copy it again, or use another one")]
    Damaged,
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl BackupFacts {
    /// Size of the whole backup.
    pub fn total_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.books_bytes + CHECKSUM_BYTES as u64
    }

    pub fn header(&self) -> [u8; HEADER_BYTES] {
        let text = self.to_json().to_string();
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        header[8..12].copy_from_slice(&length.to_le_bytes());
        header[12..12 + text.len()].copy_from_slice(text.as_bytes());
        header
    }

    fn to_json(&self) -> Value {
        json!({
            "version": self.version,
            "instance": hex(&self.instance),
            "generation": self.generation,
            "schema": self.schema,
            "applied": self.applied,
            "taken_ms": self.taken_ms,
            "timezone": self.timezone,
            "seal_key_id": self.seal_key_id,
            "books_bytes": self.books_bytes,
        })
    }

    fn parse(header: &[u8; HEADER_BYTES]) -> Option<BackupFacts> {
        let text = header.strip_prefix(MAGIC)?;
        let (length, text) = text.split_first_chunk::<4>()?;
        let text = text.get(..u32::from_le_bytes(*length) as usize)?;
        let facts: Value = serde_json::from_slice(text).ok()?;
        let text = |name: &str| facts[name].as_str().map(str::to_owned);
        let number = |name: &str| facts[name].as_u64();
        let instance = u128::from_str_radix(&text("instance")?, 16).ok()?;
        Some(BackupFacts {
            version: text("version")?,
            instance: instance.to_be_bytes(),
            generation: u32::try_from(number("generation")?).ok()?,
            schema: number("schema")?,
            applied: number("applied")?,
            taken_ms: number("taken_ms")?,
            timezone: text("timezone")?,
            seal_key_id: text("seal_key_id")?,
            books_bytes: number("books_bytes")?,
        })
    }
}

/// Reads a backup of `bytes` bytes, writes its books to `books`, and returns its facts once the checksum agrees.
pub fn unpack(
    archive: &mut impl Read,
    bytes: u64,
    books: &mut impl Write,
) -> Result<BackupFacts, ArchiveError> {
    let mut header = [0; HEADER_BYTES];
    archive
        .read_exact(&mut header)
        .map_err(|_| ArchiveError::Foreign)?;
    let facts = BackupFacts::parse(&header).ok_or(ArchiveError::Foreign)?;
    if facts.total_bytes() != bytes {
        return Err(ArchiveError::Incomplete {
            found: bytes,
            expected: facts.total_bytes(),
        });
    }
    let mut digest = Sha256::new_with_prefix(header);
    let mut left = facts.books_bytes;
    let mut chunk = vec![0; CHUNK_BYTES];
    while left > 0 {
        let length = left.min(CHUNK_BYTES as u64) as usize;
        archive.read_exact(&mut chunk[..length])?;
        digest.update(&chunk[..length]);
        books.write_all(&chunk[..length])?;
        left -= length as u64;
    }
    let mut checksum = [0; CHECKSUM_BYTES];
    archive.read_exact(&mut checksum)?;
    if digest.finalize()[..] != checksum {
        return Err(ArchiveError::Damaged);
    }
    Ok(facts)
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
