//! Declarations of the API, by kind and name. The table is absent before the first.

use redb::{Database, ReadableDatabase, ReadableTable, TableError};

use crate::domain::declaration::{Declaration, DeclarationKind};
use crate::store::books::store::Store;
use crate::store::books::tables::DECLARATIONS;
use crate::store::books::tenants::ChangeTransaction;
use crate::store::codec::StoredValue;
use crate::store::error::StoreError;

impl Store {
    /// All declarations, by kind and name.
    pub fn declarations(&self) -> Result<Vec<Declaration>, StoreError> {
        read_all(&*self.database.open()?)
    }
}

/// All declarations of the books.
pub(in crate::store) fn read_all(database: &Database) -> Result<Vec<Declaration>, StoreError> {
    let table = match database.begin_read()?.open_table(DECLARATIONS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let rows = table.iter()?;
    rows.map(|row| Declaration::decode(row?.1.value()))
        .collect()
}

impl ChangeTransaction<'_> {
    pub fn put_declaration(&mut self, declaration: &Declaration) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(DECLARATIONS)?;
        let key = (declaration.kind as u8, declaration.name.as_str());
        table.insert(key, declaration.encode()?.as_slice())?;
        Ok(())
    }

    pub fn remove_declaration(
        &mut self,
        kind: DeclarationKind,
        name: &str,
    ) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(DECLARATIONS)?;
        table.remove((kind as u8, name))?;
        Ok(())
    }
}
