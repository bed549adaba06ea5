//! Fees of tools that a vendor runs, by model and by vendor, from the sheet. Must never take an
//! unlisted fee for zero.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

use crate::domain::cost_line::LineUnit;
use crate::domain::money::Money;
use crate::domain::server_tool::ServerTool;

/// Beginnings of fees of the sheet's head that are kept and not priced: no response reports their units.
const UNCOUNTED_TOOLS: [&str; 2] = ["file_search_storage", "guardrail."];

/// Unit that a fee is charged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeeUnit {
    Call,
    Query,
    /// once for a request, however many searches it ran
    Prompt,
    Session,
}

/// Fee for one unit of a tool's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolFee {
    pub pico: u64,
    pub per: FeeUnit,
}

impl FeeUnit {
    /// Unit of a cost line.
    pub fn line_unit(self) -> LineUnit {
        match self {
            FeeUnit::Call => LineUnit::Call,
            FeeUnit::Query => LineUnit::Query,
            FeeUnit::Prompt => LineUnit::Prompt,
            FeeUnit::Session => LineUnit::Session,
        }
    }
}

impl ToolFee {
    /// Units charged for this many uses.
    pub fn units(self, uses: u64) -> u64 {
        match self.per {
            FeeUnit::Prompt => uses.min(1),
            FeeUnit::Call | FeeUnit::Query | FeeUnit::Session => uses,
        }
    }
}

/// Fee of a row: USD for what `per` says.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowFee {
    #[serde(deserialize_with = "pico")]
    usd: u64,
    per: FeeUnit,
    /// the vendor's allowance belongs to an account, whose use a gateway cannot see
    #[serde(default, rename = "free")]
    _free: de::IgnoredAny,
}

/// Fee of the sheet's head, for all models of a provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VendorFee {
    pub(super) provider: String,
    tool: String,
    #[serde(deserialize_with = "pico")]
    usd: u64,
    per: String,
    /// origin of the figure, for readers of the file
    #[serde(rename = "from")]
    _from: String,
}

impl VendorFee {
    /// Tool and fee; `None` for a fee whose units no response reports.
    pub(super) fn tool_fee(&self) -> Result<Option<(ServerTool, ToolFee)>, String> {
        if UNCOUNTED_TOOLS
            .iter()
            .any(|name| self.tool.starts_with(name))
        {
            return Ok(None);
        }
        let tool = ServerTool::parse(&self.tool);
        let tool = tool.ok_or_else(|| format!("unknown tool `{}`", self.tool))?;
        let per = match self.per.as_str() {
            "call" => FeeUnit::Call,
            "session" => FeeUnit::Session,
            other => return Err(format!("unknown unit `{other}` of tool `{}`", self.tool)),
        };
        Ok(Some((
            tool,
            ToolFee {
                pico: self.usd,
                per,
            },
        )))
    }
}

/// Fees of one card by tool.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, RowFee>")]
pub(super) struct Fees([Option<ToolFee>; ServerTool::ALL.len()]);

impl TryFrom<BTreeMap<String, RowFee>> for Fees {
    type Error = String;

    fn try_from(listed: BTreeMap<String, RowFee>) -> Result<Fees, String> {
        let mut fees = Fees::default();
        for (name, fee) in listed {
            let tool = ServerTool::parse(&name).ok_or_else(|| format!("unknown tool `{name}`"))?;
            fees.add(
                tool,
                ToolFee {
                    pico: fee.usd,
                    per: fee.per,
                },
            );
        }
        Ok(fees)
    }
}

impl Fees {
    pub(super) fn of(&self, tool: ServerTool) -> Option<ToolFee> {
        self.0[tool as usize]
    }

    /// Adds a fee unless the tool has one.
    pub(super) fn add(&mut self, tool: ServerTool, fee: ToolFee) {
        self.0[tool as usize].get_or_insert(fee);
    }

    /// Own fees, completed by those of `other`.
    pub(super) fn or(&self, other: &Fees) -> Fees {
        Fees(std::array::from_fn(|at| self.0[at].or(other.0[at])))
    }

    /// Search with the highest fee among those that the card lists.
    pub(super) fn dearest_search(&self) -> Option<(ServerTool, ToolFee)> {
        let listed = ServerTool::ALL
            .into_iter()
            .filter(|tool| tool.is_search())
            .filter_map(|tool| Some((tool, self.of(tool)?)));
        // of equal fees the first, so that a plain search keeps its name
        listed.reduce(|best, next| {
            if next.1.pico > best.1.pico {
                next
            } else {
                best
            }
        })
    }
}

/// `"0.01"` USD is 10,000,000,000 pico-USD.
fn pico<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let pico = Money::parse(&text).map_err(de::Error::custom)?.pico();
    u64::try_from(pico).map_err(|_| de::Error::custom(format!("fee `{text}` exceeds the maximum")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cost_line::CostLine;

    #[test]
    fn tool_names_round_trip_and_have_a_cost_class() {
        for (at, tool) in ServerTool::ALL.into_iter().enumerate() {
            assert_eq!(tool as usize, at);
            assert_eq!(ServerTool::parse(tool.name()), Some(tool));
            assert!(CostLine::CLASSES.contains(&tool.cost_class()), "{tool:?}");
        }
    }

    #[test]
    fn fee_per_prompt_is_charged_once() {
        let fee = |per| ToolFee { pico: 1, per };
        assert_eq!(fee(FeeUnit::Prompt).units(9), 1);
        assert_eq!(fee(FeeUnit::Prompt).units(0), 0);
        assert_eq!(fee(FeeUnit::Query).units(9), 9);
    }

    #[test]
    fn unknown_tool_or_member_of_a_fee_is_an_error() {
        for json in [
            r#"{"telepathy":{"usd":"1","per":"call"}}"#,
            r#"{"web_search":{"usd":"1","per":"thought"}}"#,
            r#"{"web_search":{"usd":"1","per":"call","tax":"1"}}"#,
        ] {
            assert!(serde_json::from_str::<Fees>(json).is_err(), "{json}");
        }
        let fees: Fees = serde_json::from_str(
            r#"{"google_search":{"usd":"0.035","per":"prompt","free":{"count":1,"per":"day","shared_by":"g"}},
            "google_maps":{"usd":"1","per":"prompt"}}"#,
        )
        .expect("fees");
        let (tool, fee) = fees.dearest_search().expect("a search");
        assert_eq!((tool, fee.pico), (ServerTool::GoogleSearch, 35_000_000_000));
    }
}
