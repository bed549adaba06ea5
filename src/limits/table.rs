//! The table of all rules, read once from the embedded file, and its part for one target.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use serde::Deserialize;

use crate::compression::embedded_text;

use super::fit::{self, Fit, Violation};
use super::rule::{Limit, Rule, RuleRow};

const EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vendor-limits.json.gz"));

static TABLE: LazyLock<Table> =
    LazyLock::new(|| Table::read(&embedded_text(EMBEDDED)).unwrap_or_default());

#[derive(Deserialize)]
struct File {
    /// vendor, and the vendor whose rules hold for it too
    same_as: HashMap<String, String>,
    rules: Vec<RuleRow>,
}

/// Rules of all vendors.
#[derive(Debug, Default)]
pub struct Table {
    /// vendor, its rules by endpoint
    vendors: HashMap<String, HashMap<String, Vec<Rule>>>,
}

/// Endpoint of a vendor, and the names of one model: as sent, and as the price sheet knows it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub vendor: &'a str,
    pub endpoint: &'a str,
    pub models: &'a [&'a str],
}

impl Table {
    /// The table of this binary.
    pub fn embedded() -> &'static Table {
        &TABLE
    }

    pub(super) fn read(json: &str) -> Option<Table> {
        let file: File = serde_json::from_str(json).ok()?;
        let mut table = Table::default();
        for row in &file.rules {
            table.add(&row.vendor, row, row.rule(false)?);
        }
        for (vendor, other) in &file.same_as {
            let own = file.rules.iter().filter(|row| row.vendor == *vendor);
            let own: HashSet<_> = own.map(RuleRow::name).collect();
            for row in file.rules.iter().filter(|row| row.vendor == *other) {
                if !own.contains(&row.name()) {
                    table.add(vendor, row, row.rule(true)?);
                }
            }
        }
        Some(table)
    }

    fn add(&mut self, vendor: &str, row: &RuleRow, rule: Rule) {
        let endpoints = self.vendors.entry(vendor.to_owned()).or_default();
        let rules = endpoints.entry(row.endpoint.clone()).or_default();
        rules.push(rule);
    }

    fn rules(&self, target: Target<'_>) -> Vec<&Rule> {
        let rules = self
            .vendors
            .get(target.vendor)
            .and_then(|endpoints| endpoints.get(target.endpoint));
        let rules = rules.into_iter().flatten();
        rules.filter(|rule| rule.serves(target.models)).collect()
    }

    /// Endpoints that serve the model, where it is not served everywhere.
    pub fn only_at(&self, target: Target<'_>) -> Option<&[String]> {
        let rules = self.vendors.get(target.vendor)?.values().flatten();
        rules
            .filter(|rule| rule.serves(target.models))
            .find_map(|rule| match &rule.limit {
                Limit::OnlyAt(endpoints) => Some(endpoints.as_slice()),
                _ => None,
            })
    }

    /// Endpoint that takes this request of the model, where the target refuses it as a whole.
    pub fn served_at(&self, target: Target<'_>, body: &str) -> Option<&str> {
        let rules = self.rules(target);
        fit::served_at(&rules, body)
    }

    /// Bounds that the target sets to a number of the body, such as the output cap.
    pub fn bounds(&self, target: Target<'_>, field: &str) -> (Option<u64>, Option<u64>) {
        let (mut min, mut max) = (None::<u64>, None::<u64>);
        for rule in self.rules(target) {
            if !rule.when.is_empty() || rule.field.dotted() != field {
                continue;
            }
            match rule.limit {
                Limit::Min(least) => min = min.max(Some(least as u64)),
                Limit::Max(most) => {
                    max = Some(max.map_or(most as u64, |max| max.min(most as u64)));
                }
                _ => {}
            }
        }
        (min, max)
    }

    /// Most elements that the target takes in a list of the body.
    pub fn max_items(&self, target: Target<'_>, field: &str) -> Option<usize> {
        let rules = self.rules(target).into_iter();
        let of_field = rules.filter(|rule| rule.when.is_empty() && rule.field.dotted() == field);
        let bars = of_field.filter_map(|rule| match rule.limit {
            Limit::MaxItems(max) => Some(max),
            _ => None,
        });
        bars.min()
    }

    /// Fits a written body to the target.
    pub fn fit(&self, target: Target<'_>, body: &str) -> Fit {
        fit::fit(&self.rules(target), body)
    }

    /// The first sourced rule that refuses a body at the target, as the vendor would.
    pub fn refusal(&self, target: Target<'_>, body: &str) -> Option<Violation> {
        if let Some(endpoints) = self.only_at(target)
            && !endpoints.iter().any(|endpoint| endpoint == target.endpoint)
        {
            return Some(Violation::wrong_endpoint());
        }
        fit::refusal(&self.rules(target), body)
    }
}
