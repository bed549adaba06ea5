//! Creations with an idempotency key as rows.

use serde::{Deserialize, Serialize};

use crate::domain::creation::Creation;
use crate::store::codec::{StoredValue, write_row};

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct CreationRow {
    call_hash: [u8; 32],
    id: String,
    at_ms: u64,
}

impl StoredValue for Creation {
    const KIND: &'static str = "creation";
    type Row = CreationRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = CreationRow {
            call_hash: self.call_hash,
            id: self.id.clone(),
            at_ms: self.at_ms,
        };
        write_row(&row, into)
    }

    fn from_row(row: CreationRow) -> Result<Creation, String> {
        let CreationRow {
            call_hash,
            id,
            at_ms,
        } = row;
        Ok(Creation {
            call_hash,
            id,
            at_ms,
        })
    }
}
