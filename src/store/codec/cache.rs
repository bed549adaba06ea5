//! Notes of cache lookups as rows. Rows are positional: the order of the fields, and the positions in `CacheOutcome::ALL`, are stored.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::domain::cache::{CacheEntryId, CacheNote, CacheOutcome, Similarity};
use crate::domain::money::Money;
use crate::store::codec::hold::Absent;

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct CacheRow<'a> {
    outcome: u8,
    entry: Option<[u8; 16]>,
    similarity: Option<u16>,
    own: Option<[u8; 16]>,
    reason: Cow<'a, str>,
    age_ms: u64,
    saved: i128,
}

pub(super) fn cache_row(note: &CacheNote) -> CacheRow<'_> {
    CacheRow {
        outcome: note.outcome as u8,
        entry: note.entry.map(|id| id.0),
        similarity: note.similarity.map(|similarity| similarity.0),
        own: note.own.map(|id| id.0),
        reason: Cow::Borrowed(&note.reason),
        age_ms: note.age_ms,
        saved: note.saved.pico(),
    }
}

/// Version of the note; earlier ones have none.
pub(in crate::store) trait CacheVersion {
    fn cache(self) -> Result<Option<CacheNote>, String>;
}

impl CacheVersion for Absent {
    fn cache(self) -> Result<Option<CacheNote>, String> {
        Ok(None)
    }
}

impl CacheVersion for Option<CacheRow<'_>> {
    fn cache(self) -> Result<Option<CacheNote>, String> {
        self.map(note_of).transpose()
    }
}

fn note_of(row: CacheRow<'_>) -> Result<CacheNote, String> {
    let outcome = CacheOutcome::ALL.get(usize::from(row.outcome)).copied();
    Ok(CacheNote {
        outcome: outcome.ok_or_else(|| format!("unknown cache outcome {}", row.outcome))?,
        entry: row.entry.map(CacheEntryId),
        similarity: row.similarity.map(Similarity),
        own: row.own.map(CacheEntryId),
        reason: row.reason.into_owned(),
        age_ms: row.age_ms,
        saved: Money::from_pico(row.saved),
    })
}
