//! Inspection of the books without a write: schema number, identity and time zone, read through a copy-on-write overlay.

use redb::{Database, ReadableDatabase, TableError};

use crate::domain::zone::Zone;
use crate::store::books::database::FILE;
use crate::store::books::declarations;
use crate::store::books::overlay::Overlay;
use crate::store::books::tables::META;
use crate::store::books::time_zone;
use crate::store::error::StoreError;
use crate::store::identity::Identity;
use crate::store::options::{Options, SealKeyCheck};

/// The books, open for reading only.
pub(in crate::store) struct Inspection(Database);

impl Inspection {
    pub(in crate::store) fn open(options: &Options) -> Result<Inspection, StoreError> {
        let file = options.disk.open(FILE)?;
        let database = Database::builder()
            .set_cache_size(1 << 20)
            .create_with_backend(Overlay::over(file))?;
        Ok(Inspection(database))
    }

    pub(in crate::store) fn schema(&self) -> Result<u64, StoreError> {
        self.number("schema")
    }

    /// Reads the identity; the schema must be a known one. Books with records in another time zone are refused.
    pub(in crate::store) fn identity(&self, zone: &Zone) -> Result<Identity, StoreError> {
        let mut instance = [0u8; 16];
        instance[..8].copy_from_slice(&self.number("instance_high")?.to_le_bytes());
        instance[8..].copy_from_slice(&self.number("instance_low")?.to_le_bytes());
        let identity = Identity {
            instance,
            generation: self.number("generation")? as u32,
            applied: self.number("applied")?,
        };
        if identity.applied > 0 {
            time_zone::check(&self.0, zone)?;
        }
        Ok(identity)
    }

    /// Refuses a seal key that cannot open the credentials in the books.
    pub(in crate::store) fn check_seal_key(&self, check: &SealKeyCheck) -> Result<(), StoreError> {
        let found = match check {
            SealKeyCheck::Skip => return Ok(()),
            SealKeyCheck::Absent => None,
            SealKeyCheck::Id(id) => Some(id),
        };
        let declarations = declarations::read_all(&self.0)?;
        let credentials = declarations.iter().flat_map(|row| &row.credentials);
        let mut wanted = credentials.map(|credential| &credential.seal_key_id);
        match wanted.find(|wanted| Some(*wanted) != found) {
            None => Ok(()),
            Some(wanted) => Err(StoreError::SealKey {
                wanted: wanted.clone(),
                found: found.cloned(),
            }),
        }
    }

    fn number(&self, name: &'static str) -> Result<u64, StoreError> {
        let read = self.0.begin_read()?;
        let meta = match read.open_table(META) {
            // books are created under another name, so these once had all tables
            Err(TableError::TableDoesNotExist(_)) => return Err(StoreError::Emptied),
            meta => meta?,
        };
        meta.get(name)?
            .map(|value| value.value())
            .ok_or(StoreError::Record {
                kind: "meta",
                reason: format!("`{name}` is missing"),
            })
    }
}
