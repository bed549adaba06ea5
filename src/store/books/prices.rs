//! Applied price sheet: one text in the books, with its hash and the time of its application. The table is absent before the first.
//! A text that differs from its hash is damaged and never returned.

use redb::{ReadableDatabase, ReadableTable, TableError};

use crate::store::applied_sheet::{AppliedSheet, SheetName};
use crate::store::books::store::Store;
use crate::store::books::tables::{PRICE_SHEETS, PRICES};
use crate::store::books::tenants::{ChangeTransaction, RowChange};
use crate::store::error::StoreError;

const TEXT: &str = "text";
const SHA256: &str = "sha256";
const APPLIED_MS: &str = "applied_ms";

impl Store {
    /// The applied sheet as of the last commit; `None`: none was applied since the last reset.
    pub fn applied_sheet(&self) -> Result<Option<AppliedSheet>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let table = match read.open_table(PRICES) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let value = |name: &str| -> Result<Option<Vec<u8>>, StoreError> {
            Ok(table.get(name)?.map(|value| value.value().to_vec()))
        };
        let Some(text) = value(TEXT)? else {
            return Ok(None);
        };
        let (stored, at) = (value(SHA256)?, value(APPLIED_MS)?);
        let sheet = String::from_utf8(text)
            .ok()
            .zip(at.and_then(|at| at.try_into().ok()));
        let sheet = sheet.map(|(text, at)| AppliedSheet::new(text, u64::from_le_bytes(at)));
        let is_whole = |sheet: &AppliedSheet| stored.as_deref() == Some(sheet.sha256.as_bytes());
        match sheet.filter(is_whole) {
            Some(sheet) => Ok(Some(sheet)),
            None => Err(StoreError::Prices(
                "its text differs from its hash".to_owned(),
            )),
        }
    }
}

impl Store {
    /// Name of the sheet that was in force at an instant; `None` before the first that was noted.
    pub fn sheet_at(&self, at_ms: u64) -> Result<Option<SheetName>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let table = match read.open_table(PRICE_SHEETS) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let row = table.range(..=at_ms)?.next_back().transpose()?;
        Ok(row.and_then(|(_, name)| sheet_name(name.value())))
    }
}

fn sheet_name(row: &str) -> Option<SheetName> {
    let (sha256, as_of) = row.split_once(' ')?;
    Some(SheetName {
        as_of: as_of.to_owned(),
        sha256: sha256.to_owned(),
    })
}

impl ChangeTransaction<'_> {
    /// Notes that a sheet is in force from an instant on, if it is another than before.
    pub fn note_sheet(&mut self, at_ms: u64, name: &SheetName) -> Result<(), StoreError> {
        let row = format!("{} {}", name.sha256, name.as_of);
        let mut table = self.transaction.open_table(PRICE_SHEETS)?;
        let last = table.last()?.map(|(_, last)| last.value().to_owned());
        if last.as_ref() != Some(&row) {
            table.insert(at_ms, row.as_str())?;
        }
        Ok(())
    }

    /// Stores a sheet in place of the one applied before; `None` removes it.
    pub fn put_applied_sheet(&mut self, sheet: Option<AppliedSheet>) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(PRICES)?;
        match &sheet {
            Some(sheet) => {
                table.insert(TEXT, sheet.text.as_bytes())?;
                table.insert(SHA256, sheet.sha256.as_bytes())?;
                table.insert(APPLIED_MS, sheet.at_ms.to_le_bytes().as_slice())?;
            }
            None => {
                for name in [TEXT, SHA256, APPLIED_MS] {
                    table.remove(name)?;
                }
            }
        }
        drop(table);
        self.note_row(RowChange::Prices(sheet));
        Ok(())
    }

    pub fn has_applied_sheet(&mut self) -> Result<bool, StoreError> {
        Ok(self.transaction.open_table(PRICES)?.get(TEXT)?.is_some())
    }

    /// Changes a byte of the stored text, as a fault of the disk would.
    #[cfg(test)]
    pub(crate) fn damage_applied_sheet(&mut self) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(PRICES)?;
        let text = table.get(TEXT)?.map(|text| text.value().to_vec());
        let mut text = text.unwrap_or_default();
        text.push(b' ');
        table.insert(TEXT, text.as_slice())?;
        Ok(())
    }
}
