//! The price sheet: vendor and model in, the listed row out. Parsed once from JSON, then only read.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::row::Row;
use super::snapshot;

const EMBEDDED: &str = include_str!("../../assets/prices.json");

/// List prices by vendor and model.
#[derive(Clone, Debug)]
pub struct Sheet {
    vendors: HashMap<String, Vendor>,
}

/// Why a text is no price sheet.
#[derive(Debug, thiserror::Error)]
#[error("the price sheet cannot be read: {0}; take it again from where it came")]
pub struct SheetError(#[from] serde_json::Error);

#[derive(Clone, Debug, Default)]
struct Vendor {
    /// in the order of the sheet
    rows: Vec<Arc<Row>>,
    by_model: HashMap<String, Arc<Row>>,
    /// the newest dated row of a name without its date
    newest: HashMap<String, (snapshot::Date, Arc<Row>)>,
}

impl Sheet {
    /// The list prices that ship inside the program.
    pub fn embedded() -> Sheet {
        Sheet::parse(EMBEDDED).expect("the shipped price sheet is checked by a test")
    }

    /// Reads a sheet in the form of `assets/prices.json`.
    pub fn parse(json: &str) -> Result<Sheet, SheetError> {
        #[derive(Deserialize)]
        struct SheetFile {
            models: Vec<Row>,
        }
        let mut vendors: HashMap<String, Vendor> = HashMap::new();
        for row in serde_json::from_str::<SheetFile>(json)?.models {
            vendors
                .entry(row.vendor.clone())
                .or_default()
                .add(Arc::new(row));
        }
        Ok(Sheet { vendors })
    }

    /// The row of this very name; else, for a dated name, the row of the name without its date; else, for a name without a
    /// date, its newest dated row.
    pub fn find(&self, vendor: &str, model: &str) -> Option<Arc<Row>> {
        let vendor = self.vendors.get(vendor)?;
        let exact = vendor.by_model.get(model);
        let undated = || snapshot::split(model).and_then(|(name, _)| vendor.by_model.get(name));
        let newest = || vendor.newest.get(model).map(|(_, row)| row);
        exact.or_else(undated).or_else(newest).cloned()
    }

    /// All rows of a vendor, in the order of the sheet.
    pub fn models(&self, vendor: &str) -> impl Iterator<Item = &Arc<Row>> {
        self.vendors
            .get(vendor)
            .into_iter()
            .flat_map(|vendor| &vendor.rows)
    }
}

impl Vendor {
    fn add(&mut self, row: Arc<Row>) {
        if let Some((name, date)) = snapshot::split(&row.model) {
            let known = self.newest.get(name);
            if known.is_none_or(|(newest, _)| *newest < date) {
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

    fn found(sheet: &Sheet, asked: &str) -> Option<String> {
        sheet.find("v", asked).map(|row| row.model.clone())
    }

    #[test]
    fn the_shipped_sheet_reads_whole() {
        let sheet = Sheet::embedded();
        let rows: Vec<&Arc<Row>> = sheet
            .vendors
            .values()
            .flat_map(|vendor| &vendor.rows)
            .collect();
        assert_eq!(rows.len(), 931);
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
                && sheet.models("nobody").next().is_none()
        );
    }

    #[test]
    fn dated_and_undated_names_find_each_other() {
        let undated = sheet(&["gpt-5.1", "gpt-4"]);
        assert_eq!(
            found(&undated, "gpt-5.1-2025-11-13").as_deref(),
            Some("gpt-5.1")
        );
        assert_eq!(found(&undated, "gpt-4-0613").as_deref(), Some("gpt-4"));
        assert_eq!(
            found(&undated, "gpt-5.1-20251113").as_deref(),
            Some("gpt-5.1")
        );
        let dated = sheet(&["m-2025-11-13", "m-2026-02-01", "m-2025-12-31", "m-0613"]);
        assert_eq!(found(&dated, "m").as_deref(), Some("m-2026-02-01"));
        assert_eq!(
            found(&dated, "m-2025-11-13").as_deref(),
            Some("m-2025-11-13")
        );
        assert_eq!(
            found(&dated, "m-2024-01-01"),
            None,
            "another day may have another price"
        );
        assert_eq!(found(&dated, "n"), None);
    }

    #[test]
    fn an_unreadable_sheet_is_refused() {
        assert!(Sheet::parse("{}").is_err());
        assert!(Sheet::parse(r#"{"models":[{"provider":"v"}]}"#).is_err());
    }
}
