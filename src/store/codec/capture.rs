//! Settings of prompt capture as rows. Rows are positional: the order of the fields is stored.

use serde::{Deserialize, Serialize};

use crate::domain::capture::{CaptureReaders, CaptureSetting, KeepDays};
use crate::store::codec::owner_limits::{owner_of, owner_row};
use crate::store::codec::{StoredValue, write_row};

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct CaptureSettingRow {
    owner_kind: u8,
    owner: u64,
    /// 0: off
    keep_days: u16,
    readers: u16,
    since_ms: u64,
}

impl StoredValue for CaptureSetting {
    const KIND: &'static str = "capture setting";
    type Row = CaptureSettingRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let (owner_kind, owner) = owner_row(self.owner);
        let row = CaptureSettingRow {
            owner_kind,
            owner,
            keep_days: self.keep.map_or(0, KeepDays::days),
            readers: self.readers.0,
            since_ms: self.since_ms,
        };
        write_row(&row, into)
    }

    fn from_row(row: CaptureSettingRow) -> Result<CaptureSetting, String> {
        Ok(CaptureSetting {
            owner: owner_of(row.owner_kind, row.owner)?,
            keep: KeepDays::new(row.keep_days),
            readers: CaptureReaders(row.readers),
            since_ms: row.since_ms,
        })
    }
}
