//! Keys, teams and organizations of the server's lists as typed rows that borrow from their page: a list of 10,000 keys as trees of JSON
//! takes several times as long.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::failure::Failure;
use crate::cli::values::BudgetWords;

/// A key, team or organization.
#[derive(Debug, Deserialize)]
pub struct OwnerRow<'p> {
    #[serde(borrow)]
    pub id: Cow<'p, str>,
    #[serde(borrow, default)]
    pub object: Cow<'p, str>,
    #[serde(borrow)]
    pub name: Cow<'p, str>,
    #[serde(borrow, default)]
    pub hint: Option<Cow<'p, str>>,
    #[serde(borrow, default)]
    pub team: Option<Cow<'p, str>>,
    #[serde(borrow, default)]
    pub organization: Option<Cow<'p, str>>,
    #[serde(borrow, default)]
    pub parent: Option<Cow<'p, str>>,
    /// null: without an allow-list of its own
    #[serde(default)]
    pub models: Value,
    #[serde(borrow, default)]
    pub budgets: Vec<BudgetRow<'p>>,
    #[serde(default)]
    pub limits: Value,
    #[serde(default)]
    pub disabled: bool,
    #[serde(default)]
    pub imported: bool,
    #[serde(borrow, default)]
    pub expires_at: Option<Cow<'p, str>>,
    #[serde(borrow, default)]
    pub created_at: Option<Cow<'p, str>>,
}

/// A budget of an owner.
#[derive(Debug, Deserialize)]
pub struct BudgetRow<'p> {
    #[serde(borrow)]
    pub limit: Cow<'p, str>,
    #[serde(borrow)]
    pub period: Cow<'p, str>,
    #[serde(borrow)]
    pub action: Cow<'p, str>,
    #[serde(borrow, default)]
    pub model: Option<Cow<'p, str>>,
    #[serde(borrow, default)]
    pub spent: Option<Cow<'p, str>>,
    #[serde(borrow, default)]
    pub remaining: Option<Cow<'p, str>>,
}

impl BudgetRow<'_> {
    pub fn words(&self) -> BudgetWords<'_> {
        BudgetWords {
            limit: &self.limit,
            period: &self.period,
            model: self.model.as_deref(),
            is_warning: self.action == "warn",
        }
    }
}

/// Rows of the pages of one list.
pub fn rows_of(pages: &[String]) -> Result<Vec<OwnerRow<'_>>, Failure> {
    #[derive(Deserialize)]
    struct OwnerPage<'p> {
        #[serde(borrow)]
        data: Vec<OwnerRow<'p>>,
    }
    let mut rows = Vec::new();
    for page in pages {
        let page: OwnerPage<'_> = serde_json::from_str(page)
            .map_err(|error| Failure::runtime(format!("unexpected list of the server: {error}")))?;
        rows.extend(page.data);
    }
    Ok(rows)
}
