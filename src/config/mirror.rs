//! `mirror` of a route: takes the table as written, returns target, share and budget of the copies or reports every error.

use toml::de::DeValue;

use super::file::{ConfigErrors, Section, Spanned};
use crate::domain::id::BudgetId;

const MILLION: u32 = 1_000_000;

/// Copies of a route's requests to a deployment that serves no client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorConfig {
    /// `provider/model`, or a model that one provider lists
    pub target: String,
    /// requests of a million
    pub share_ppm: u32,
    /// budget of the key that pays for the copies
    pub budget: BudgetId,
}

/// Resolves `mirror`; `parse_name` checks the name of a model.
pub(super) fn resolve(
    section: &mut Section<'_>,
    parse_name: fn(&str) -> Result<String, String>,
    errors: &mut ConfigErrors,
) -> Option<MirrorConfig> {
    let written = section.take("mirror")?;
    let mut table = section.nested(written.clone(), errors);
    let target = table.string("target", errors);
    let target = target.and_then(|target| target.parse(errors, |name| parse_name(name)));
    let share = table.take("share");
    let share_ppm = share.and_then(|share| share.parse(errors, parse_share));
    let budget = table.string("budget", errors);
    let budget = budget.and_then(|budget| budget.parse(errors, |id| parse_budget(id)));
    table.finish(errors);
    match (target, share_ppm, budget) {
        (Some(target), Some(share_ppm), Some(budget)) => Some(MirrorConfig {
            target,
            share_ppm,
            budget,
        }),
        _ => {
            report_incomplete(&written, errors);
            None
        }
    }
}

fn report_incomplete(written: &Spanned<DeValue<'_>>, errors: &mut ConfigErrors) {
    let example = "{ target = \"provider/model\", share = 0.01, budget = \"bud_7\" }";
    written.report(errors, format_args!("incomplete mirror; write {example}"));
}

fn parse_share(written: &DeValue<'_>) -> Result<u32, String> {
    let share: Option<f64> = match written {
        DeValue::Float(digits) => digits.as_str().parse().ok(),
        DeValue::Integer(digits) => digits.as_str().parse().ok(),
        _ => None,
    };
    let share = share.filter(|share| *share > 0.0 && *share <= 1.0);
    let share = share.ok_or("invalid share; use a number above 0 and up to 1, such as 0.01")?;
    Ok(((share * f64::from(MILLION)).round() as u32).max(1))
}

fn parse_budget(id: &str) -> Result<BudgetId, String> {
    BudgetId::parse(id).ok_or_else(|| {
        "invalid budget; use the id of a key's budget from `gatekeeper budgets list`, like bud_7".to_owned()
    })
}
