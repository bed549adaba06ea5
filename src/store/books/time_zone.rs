//! Time zone of the books. Balances and roll-ups are stored by the instants at which a zone begins its windows and days; in another zone
//! none of them would be found, so the zone is fixed once something is stored.

use redb::{Database, ReadableDatabase, ReadableTableMetadata};

use crate::domain::zone::Zone;
use crate::store::books::database::begin;
use crate::store::books::tables::{DAYS, TIMEZONE, WORDS};
use crate::store::error::StoreError;

/// Refuses a zone other than that of the books.
pub(in crate::store) fn check(database: &Database, zone: &Zone) -> Result<(), StoreError> {
    let words = database.begin_read()?.open_table(WORDS)?;
    let stored = words
        .get(TIMEZONE)?
        .map_or_else(String::new, |word| word.value().to_owned());
    let configured = zone.name();
    if stored == configured {
        Ok(())
    } else {
        Err(StoreError::OtherZone {
            stored,
            configured: configured.to_owned(),
        })
    }
}

/// Adopts the zone of the options for books without a record. Counted refusals fix the zone as well, and so do records in the log.
pub(in crate::store) fn adopt(
    database: &Database,
    zone: &Zone,
    log_has_records: bool,
) -> Result<(), StoreError> {
    let Err(other) = check(database, zone) else {
        return Ok(());
    };
    let is_fixed = log_has_records || !database.begin_read()?.open_table(DAYS)?.is_empty()?;
    if is_fixed {
        return Err(other);
    }
    let transaction = begin(database)?;
    transaction
        .open_table(WORDS)?
        .insert(TIMEZONE, zone.name())?;
    transaction.commit()?;
    Ok(())
}
