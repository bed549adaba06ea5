//! Settings that were changed through the API, by name. The table is absent before the first.

use redb::{ReadableDatabase, ReadableTable, TableError};

use crate::store::books::store::Store;
use crate::store::books::tables::SETTINGS;
use crate::store::books::tenants::ChangeTransaction;
use crate::store::error::StoreError;

impl Store {
    /// Stored settings with their values.
    pub fn settings(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let table = match self.database.open()?.begin_read()?.open_table(SETTINGS) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut settings = Vec::new();
        for row in table.iter()? {
            let (name, value) = row?;
            settings.push((name.value().to_owned(), value.value()));
        }
        Ok(settings)
    }
}

impl ChangeTransaction<'_> {
    /// Stores a setting; `None` takes it away.
    pub fn put_setting(&mut self, name: &str, value: Option<u64>) -> Result<(), StoreError> {
        let mut settings = self.transaction.open_table(SETTINGS)?;
        match value {
            Some(value) => settings.insert(name, value)?,
            None => settings.remove(name)?,
        };
        Ok(())
    }
}
