//! Rows of the settings of prompt capture. Their table is absent before the first setting; an empty setting has no row.

use redb::{ReadTransaction, ReadableTable, TableError};

use crate::domain::budget::Owner;
use crate::domain::capture::CaptureSetting;
use crate::store::books::store::Store;
use crate::store::books::tables::CAPTURE_SETTINGS;
use crate::store::books::tenants::{ChangeTransaction, RowChange};
use crate::store::codec::StoredValue;
use crate::store::error::StoreError;

impl Store {
    pub(super) fn capture_settings_in(
        read: &ReadTransaction,
    ) -> Result<Vec<CaptureSetting>, StoreError> {
        let table = match read.open_table(CAPTURE_SETTINGS) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let setting = |bytes: &[u8]| CaptureSetting::decode(bytes);
        table.iter()?.map(|row| setting(row?.1.value())).collect()
    }
}

impl ChangeTransaction<'_> {
    /// Stores a setting; removes the row of an empty one.
    pub fn put_capture_setting(&mut self, setting: &CaptureSetting) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(CAPTURE_SETTINGS)?;
        let key = row_key(setting.owner);
        if setting.is_empty() {
            table.remove(key)?;
        } else {
            table.insert(key, setting.encode()?.as_slice())?;
        }
        self.note_row(RowChange::Capture(setting.clone()));
        Ok(())
    }
}

/// Kind (0 organization, 1 team, 2 key) and id.
fn row_key(owner: Owner) -> (u8, u64) {
    match owner {
        Owner::Organization(id) => (0, id.0),
        Owner::Team(id) => (1, id.0),
        Owner::Key(id) => (2, id.0),
    }
}
