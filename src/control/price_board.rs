//! Price sheet of the process: the newer of the embedded and the applied one, and the way to put another one in force.

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use arc_swap::ArcSwapOption;

use crate::price::Sheet;
use crate::store::{AppliedSheet, SheetName, Store, StoreError, sha256};

/// Puts a sheet in force.
pub type PricePublisher = dyn Fn(Arc<Sheet>) + Send + Sync;

/// Applied sheet as the process knows it, and the way to put another one in force.
pub(super) struct PriceBoard {
    applied: ArcSwapOption<AppliedSheet>,
    publish: Arc<PricePublisher>,
    /// of the sheet in force at the start; `None` without one
    at_start: Option<SheetName>,
}

impl Default for PriceBoard {
    fn default() -> PriceBoard {
        PriceBoard {
            applied: ArcSwapOption::empty(),
            publish: Arc::new(|_| {}),
            at_start: None,
        }
    }
}

/// Reasons why the stored sheet cannot be put in force at the start.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error(
        "applied price sheet unreadable for this release: {0}; go back to the embedded one with `gatekeeper prices reset --offline`"
    )]
    Sheet(String),
}

/// Sheets of the books at the start.
pub struct StoredPrices {
    pub sheet: Arc<Sheet>,
    applied: Option<AppliedSheet>,
    is_applied: bool,
}

/// The embedded sheet while it is read beside the rest of a start.
pub struct EmbeddedSheet(JoinHandle<Sheet>);

impl EmbeddedSheet {
    /// Begins to read.
    pub fn begin() -> EmbeddedSheet {
        EmbeddedSheet(std::thread::spawn(|| {
            embedded_sha256();
            Sheet::embedded()
        }))
    }

    /// The sheet, once it is read.
    pub fn finish(self) -> Sheet {
        self.0.join().unwrap_or_else(|_| Sheet::embedded())
    }
}

impl StoredPrices {
    /// Reads the applied sheet; the embedded one is in force if it is newer.
    pub fn load(store: &Store, embedded: EmbeddedSheet) -> Result<StoredPrices, PricesError> {
        let applied = store.applied_sheet()?;
        let chosen = choose_beside(applied.as_ref(), || embedded.finish());
        let (sheet, is_applied) = chosen.map_err(PricesError::Sheet)?;
        if applied.is_some() && !is_applied {
            tracing::warn!(
                in_force = %sheet.as_of,
                "embedded price sheet is newer than the applied one and is in force"
            );
        }
        Ok(StoredPrices {
            sheet: Arc::new(sheet),
            applied,
            is_applied,
        })
    }
}

impl PriceBoard {
    /// `embedded`: hash of the embedded sheet.
    pub fn new(stored: StoredPrices, publish: Arc<PricePublisher>, embedded: &str) -> PriceBoard {
        let applied = stored.applied.as_ref().filter(|_| stored.is_applied);
        let sha256 = applied.map_or(embedded, |applied| &applied.sha256);
        PriceBoard {
            at_start: Some(SheetName {
                as_of: stored.sheet.as_of.clone(),
                sha256: sha256.to_owned(),
            }),
            applied: ArcSwapOption::from_pointee(stored.applied),
            publish,
        }
    }

    /// Name of the sheet in force at the start.
    pub fn at_start(&self) -> Option<SheetName> {
        self.at_start.clone()
    }

    /// The applied sheet, even if a newer embedded one is in force.
    pub fn applied(&self) -> Option<Arc<AppliedSheet>> {
        self.applied.load_full()
    }

    /// Puts a committed sheet in force, or the embedded one again.
    pub fn put(&self, applied: Option<AppliedSheet>) {
        match choose(applied.as_ref()) {
            Ok((sheet, _)) => (self.publish)(Arc::new(sheet)),
            Err(error) => tracing::error!(%error, "price sheet not put in force"),
        }
        self.applied.store(applied.map(Arc::new));
    }
}

/// Hash of the embedded sheet, made once.
pub(super) fn embedded_sha256() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| sha256(&Sheet::embedded_text()))
}

/// The newer of the applied and the embedded sheet; in the same month, the applied one.
pub(super) fn choose(applied: Option<&AppliedSheet>) -> Result<(Sheet, bool), String> {
    choose_beside(applied, Sheet::embedded)
}

fn choose_beside(
    applied: Option<&AppliedSheet>,
    embedded: impl FnOnce() -> Sheet,
) -> Result<(Sheet, bool), String> {
    let embedded = embedded();
    let Some(applied) = applied else {
        return Ok((embedded, false));
    };
    let sheet = Sheet::parse(&applied.text).map_err(|error| error.to_string())?;
    match embedded.month() > sheet.month() {
        true => Ok((embedded, false)),
        false => Ok((sheet, true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(as_of: &str) -> AppliedSheet {
        let text = format!(
            r#"{{"as_of":"{as_of}","models":[{{"provider":"openai","model":"gpt-x","mode":"chat","rates":{{"input":"1","output":"2"}}}}]}}"#
        );
        AppliedSheet::new(text, 1)
    }

    #[test]
    fn embedded_sheet_is_in_force_once_it_is_newer_than_the_applied_one() {
        let same_month = format!("mine, {}", Sheet::embedded().month().expect("a month"));
        for (as_of, is_applied) in [
            ("mine, 2020-01", false),
            (same_month.as_str(), true),
            ("mine, 2100-01", true),
        ] {
            let (chosen, chose_applied) = choose(Some(&sheet(as_of))).expect("a sheet");
            assert_eq!(chose_applied, is_applied, "{as_of}");
            assert_eq!(chosen.as_of == as_of, is_applied, "{as_of}");
        }
    }
}
