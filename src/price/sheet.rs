//! Price sheet: finds the row of a vendor's model. Parsed once from JSON, then immutable. Must
//! never return the price of another date for a dated name.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::row::Row;
use super::snapshot;

const EMBEDDED: &str = include_str!("../../assets/prices.json");

/// Prices by vendor and model.
#[derive(Clone, Debug)]
pub struct Sheet {
    vendors: HashMap<String, VendorRows>,
}

/// Failure to parse a price sheet.
#[derive(Debug, thiserror::Error)]
#[error("malformed price sheet: {0}; fetch it again from its source")]
pub struct SheetError(#[from] serde_json::Error);

#[derive(Clone, Debug, Default)]
struct VendorRows {
    /// in sheet order
    rows: Vec<Arc<Row>>,
    by_model: HashMap<String, Arc<Row>>,
    /// newest dated row by undated name
    newest: HashMap<String, (snapshot::SnapshotDate, Arc<Row>)>,
}

impl Sheet {
    /// Price sheet embedded in the binary.
    pub fn embedded() -> Sheet {
        Sheet::parse(EMBEDDED).expect("a test parses the embedded price sheet")
    }

    /// Parses a sheet in the format of `assets/prices.json`.
    pub fn parse(json: &str) -> Result<Sheet, SheetError> {
        #[derive(Deserialize)]
        struct SheetFile {
            models: Vec<Row>,
        }
        let mut vendors: HashMap<String, VendorRows> = HashMap::new();
        for row in serde_json::from_str::<SheetFile>(json)?.models {
            vendors
                .entry(row.vendor.clone())
                .or_default()
                .add(Arc::new(row));
        }
        Ok(Sheet { vendors })
    }

    /// Row of exactly this name; else, for a dated name, the row of the undated name; else, for an
    /// undated name, its newest dated row.
    pub fn find(&self, vendor: &str, model: &str) -> Option<Arc<Row>> {
        let vendor = self.vendors.get(vendor)?;
        let exact = vendor.by_model.get(model);
        let undated =
            || snapshot::split_date(model).and_then(|(name, _)| vendor.by_model.get(name));
        let newest = || vendor.newest.get(model).map(|(_, row)| row);
        exact.or_else(undated).or_else(newest).cloned()
    }

    /// Rows of a vendor in sheet order.
    pub fn models(&self, vendor: &str) -> impl Iterator<Item = &Arc<Row>> {
        self.vendors
            .get(vendor)
            .into_iter()
            .flat_map(|vendor| &vendor.rows)
    }
}

impl VendorRows {
    fn add(&mut self, row: Arc<Row>) {
        if let Some((name, date)) = snapshot::split_date(&row.model) {
            let newest = self.newest.get(name);
            if newest.is_none_or(|(newest, _)| *newest < date) {
                self.newest.insert(name.to_owned(), (date, row.clone()));
            }
        }
        self.by_model.insert(row.model.clone(), row.clone());
        self.rows.push(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price::Mode;

    fn sheet(models: &[&str]) -> Sheet {
        let row = |model: &&str| {
            format!(
                r#"{{"provider":"v","model":"{model}","mode":"chat","context":null,"max_output":null,"rates":{{"input":"1","output":"2"}}}}"#
            )
        };
        let rows: Vec<String> = models.iter().map(row).collect();
        Sheet::parse(&format!(r#"{{"models":[{}]}}"#, rows.join(","))).expect("a sheet")
    }

    fn find(sheet: &Sheet, name: &str) -> Option<String> {
        sheet.find("v", name).map(|row| row.model.clone())
    }

    #[test]
    fn embedded_sheet_parses_completely() {
        let sheet = Sheet::embedded();
        let rows: Vec<&Arc<Row>> = sheet
            .vendors
            .values()
            .flat_map(|vendor| &vendor.rows)
            .collect();
        assert_eq!(rows.len(), 995);
        let priced = rows
            .iter()
            .filter(|row| row.mode == Mode::Chat && row.is_priced())
            .count();
        assert!(priced > 650, "{priced}");
        let sonnet = sheet
            .find("anthropic", "claude-sonnet-4-5")
            .expect("listed");
        assert_eq!(
            (sonnet.vendor.as_str(), sonnet.deprecated_on.as_deref()),
            ("anthropic", Some("2026-11-30"))
        );
        assert!(
            sheet
                .models("openai")
                .any(|row| row.model == "gpt-5.1" && row.supports_reasoning())
        );
        assert!(
            sheet.find("openai", "claude-sonnet-4-5").is_none()
                && sheet.models("unknown").next().is_none()
        );
    }

    #[test]
    fn sheet_find_matches_dated_and_undated_names() {
        let undated = sheet(&["gpt-5.1", "gpt-4"]);
        assert_eq!(
            find(&undated, "gpt-5.1-2025-11-13").as_deref(),
            Some("gpt-5.1")
        );
        assert_eq!(find(&undated, "gpt-4-0613").as_deref(), Some("gpt-4"));
        assert_eq!(
            find(&undated, "gpt-5.1-20251113").as_deref(),
            Some("gpt-5.1")
        );
        let dated = sheet(&["m-2025-11-13", "m-2026-02-01", "m-2025-12-31", "m-0613"]);
        assert_eq!(find(&dated, "m").as_deref(), Some("m-2026-02-01"));
        assert_eq!(
            find(&dated, "m-2025-11-13").as_deref(),
            Some("m-2025-11-13")
        );
        assert_eq!(
            find(&dated, "m-2024-01-01"),
            None,
            "another date can have another price"
        );
        assert_eq!(find(&dated, "n"), None);
    }

    #[test]
    fn malformed_sheet_is_an_error() {
        assert!(Sheet::parse("{}").is_err());
        assert!(Sheet::parse(r#"{"models":[{"provider":"v"}]}"#).is_err());
    }
}
