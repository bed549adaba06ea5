//! Price sheet: finds the row of a vendor's model. Parsed once from JSON, then immutable. Must
//! never return the price of another date for a dated name, nor skip a member that it does not know.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, de::Error};

use super::fees::{ToolFee, VendorFee};
use super::row::Row;
use crate::compression::embedded_text;
use crate::domain::server_tool::ServerTool;
use crate::domain::snapshot::{self, SnapshotAge};

const EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/prices.json.gz"));

/// Prices by vendor and model.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// source and month
    pub as_of: String,
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
    newest: HashMap<String, (SnapshotAge, Arc<Row>)>,
}

impl Sheet {
    /// Price sheet embedded in the binary.
    pub fn embedded() -> Sheet {
        Sheet::parse(&Sheet::embedded_text()).expect("a test parses the embedded price sheet")
    }

    /// Text of the price sheet embedded in the binary.
    pub fn embedded_text() -> String {
        embedded_text(EMBEDDED)
    }

    /// Month at the end of `as_of`, as in `litellm 1.110.2, 2026-11`.
    pub fn month(&self) -> Option<&str> {
        let month = self.as_of.rsplit(' ').next()?;
        let (year, number) = month.split_once('-')?;
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_month = year.len() == 4 && number.len() == 2 && is_number(year);
        (is_month && is_number(number) && ("01"..="12").contains(&number)).then_some(month)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.vendors.values().map(|vendor| vendor.rows.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.vendors.is_empty()
    }

    /// Parses a sheet in the format of `assets/prices.json`.
    pub fn parse(json: &str) -> Result<Sheet, SheetError> {
        let file: SheetFile = serde_json::from_str(json)?;
        let fees = vendor_fees(&file.fees).map_err(serde_json::Error::custom)?;
        let mut vendors: HashMap<String, VendorRows> = HashMap::new();
        for mut row in file.models {
            for (tool, fee) in fees.get(&row.vendor).into_iter().flatten() {
                row.add_vendor_fee(*tool, *fee);
            }
            vendors
                .entry(row.vendor.clone())
                .or_default()
                .add(Arc::new(row));
        }
        Ok(Sheet {
            as_of: file.as_of,
            vendors,
        })
    }

    /// Row of exactly this name; else, for a dated name, the row of the undated name; else, for an
    /// undated name, its newest dated row. A fine-tuned model has the row of its base model.
    pub fn find(&self, vendor: &str, model: &str) -> Option<Arc<Row>> {
        let vendor = self.vendors.get(vendor)?;
        let fine_tuned = || fine_tuned(model).and_then(|base| vendor.find(base));
        vendor.find(model).or_else(fine_tuned).cloned()
    }

    /// Rows of all vendors.
    #[cfg(test)]
    pub(super) fn rows(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.vendors.values().flat_map(|vendor| &vendor.rows)
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
    fn find(&self, model: &str) -> Option<&Arc<Row>> {
        let mut undated =
            snapshot::undated_names(model).filter_map(|(name, _)| self.by_model.get(name));
        let newest = || self.newest.get(model).map(|(_, row)| row);
        let exact = self.by_model.get(model);
        exact.or_else(|| undated.next()).or_else(newest)
    }

    fn add(&mut self, row: Arc<Row>) {
        for (name, age) in snapshot::undated_names(&row.model) {
            let newest = self.newest.get(name);
            if newest.is_none_or(|(newest, _)| *newest < age) {
                self.newest.insert(name.to_owned(), (age, row.clone()));
            }
        }
        self.by_model.insert(row.model.clone(), row.clone());
        self.rows.push(row);
    }
}

/// Sheet as stored in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SheetFile {
    #[serde(default)]
    as_of: String,
    /// explanation of the units, for readers of the file
    #[serde(default, rename = "unit")]
    _unit: String,
    /// origin of the figures, for readers of the file
    #[serde(default, rename = "source")]
    _source: String,
    #[serde(default)]
    fees: Vec<VendorFee>,
    models: Vec<Row>,
}

type ToolFees = Vec<(ServerTool, ToolFee)>;

/// Fees of the head by vendor.
fn vendor_fees(listed: &[VendorFee]) -> Result<HashMap<String, ToolFees>, String> {
    let mut fees: HashMap<String, ToolFees> = HashMap::new();
    for fee in listed {
        if let Some(tool_fee) = fee.tool_fee()? {
            fees.entry(fee.provider.clone()).or_default().push(tool_fee);
        }
    }
    Ok(fees)
}

/// Returns true for the row of a base model's fine-tunes, which is a price and no model: `ft:gpt-4.1`. A fine-tune has the
/// organization and an id behind it.
pub fn is_price_of_fine_tunes(name: &str) -> bool {
    name.strip_prefix("ft:")
        .is_some_and(|base| !base.contains(':'))
}

/// Listed name of a fine-tuned model: `ft:gpt-4.1` for `ft:gpt-4.1:acme::id`.
fn fine_tuned(model: &str) -> Option<&str> {
    let (base, _) = model.strip_prefix("ft:")?.split_once(':')?;
    Some(&model[.."ft:".len() + base.len()])
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
        assert_eq!(rows.len(), 999);
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
    fn sheet_find_matches_versions_and_fine_tuned_models() {
        let versioned = sheet(&["a.claude-x-20250929-v1:0", "ft:gpt-4.1-2025-04-14"]);
        for name in [
            "a.claude-x",
            "a.claude-x-20250929",
            "a.claude-x-20250929-v1:0",
        ] {
            assert_eq!(
                find(&versioned, name).as_deref(),
                Some("a.claude-x-20250929-v1:0"),
                "{name}"
            );
        }
        assert_eq!(find(&versioned, "a.claude-x-20240101-v1:0"), None);
        assert_eq!(
            find(&versioned, "us.a.claude-x"),
            None,
            "a profile is an id of its own"
        );
        assert_eq!(
            find(&versioned, "ft:gpt-4.1-2025-04-14:acme::id").as_deref(),
            Some("ft:gpt-4.1-2025-04-14")
        );
        assert_eq!(find(&versioned, "ft:gpt-9:acme::id"), None);
    }

    #[test]
    fn vendor_id_with_slash_is_priced() {
        let sheet = Sheet::embedded();
        for (vendor, model) in [
            ("groq", "openai/gpt-oss-120b"),
            ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ] {
            let row = sheet.find(vendor, model).expect(model);
            assert!(row.is_priced() && row.model == model, "{model}");
        }
    }

    #[test]
    fn snapshots_on_the_sheet_have_the_mode_of_their_model() {
        let sheet = Sheet::embedded();
        let mut pairs = 0;
        for vendor in sheet.vendors.values() {
            for row in &vendor.rows {
                for (name, _) in snapshot::undated_names(&row.model) {
                    if let Some(undated) = vendor.by_model.get(name) {
                        assert_eq!(undated.mode, row.mode, "{name} {}", row.model);
                        pairs += 1;
                    }
                }
            }
        }
        assert!(pairs > 80, "{pairs}");
    }

    #[test]
    fn unknown_member_of_a_sheet_is_an_error() {
        for json in [
            r#"{"models":[],"discounts":[]}"#,
            r#"{"models":[{"provider":"v","model":"m","mode":"chat","rates":{},"surcharge":"1"}]}"#,
            r#"{"fees":[{"provider":"v","tool":"telepathy","usd":"1","per":"call","from":"x"}],"models":[]}"#,
            r#"{"fees":[{"provider":"v","tool":"web_search","usd":"1","per":"year","from":"x"}],"models":[]}"#,
        ] {
            assert!(Sheet::parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn sheet_month_is_the_last_word_of_its_source() {
        for (as_of, month) in [
            ("litellm 1.110.2, 2026-11", Some("2026-11")),
            ("2027-01", Some("2027-01")),
            ("", None),
            ("mine, 2026-13", None),
            ("mine, 26-01", None),
            ("2026-11 mine", None),
        ] {
            let sheet = Sheet::parse(&format!(r#"{{"as_of":"{as_of}","models":[]}}"#));
            assert_eq!(sheet.expect("a sheet").month(), month, "{as_of}");
        }
        assert!(Sheet::embedded().month().is_some());
    }

    #[test]
    fn malformed_sheet_is_an_error() {
        assert!(Sheet::parse("{}").is_err());
        assert!(Sheet::parse(r#"{"models":[{"provider":"v"}]}"#).is_err());
    }
}
