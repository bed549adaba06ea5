//! Result of one check, and the list of all with its text and JSON form.

use serde_json::{Value, json};

use crate::cli::style::{Style, Tone};
use crate::cli::table::{Cell, Column, Table};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    /// works, and an operator should look at it
    Warning,
    /// the instance cannot start, or refuses requests
    Fault,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Fault => "fault",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Verdict::Ok => Tone::Good,
            Verdict::Warning => Tone::Warning,
            Verdict::Fault => Tone::Bad,
        }
    }
}

/// A check with its verdict: what was found and, unless that is fine, the remedy.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    check: String,
    pub verdict: Verdict,
    pub detail: String,
}

impl Finding {
    fn new(verdict: Verdict, check: impl Into<String>, detail: impl Into<String>) -> Finding {
        Finding {
            check: check.into(),
            verdict,
            detail: detail.into(),
        }
    }

    pub fn ok(check: impl Into<String>, detail: impl Into<String>) -> Finding {
        Finding::new(Verdict::Ok, check, detail)
    }

    pub fn warning(check: impl Into<String>, detail: impl Into<String>) -> Finding {
        Finding::new(Verdict::Warning, check, detail)
    }

    pub fn fault(check: impl Into<String>, detail: impl Into<String>) -> Finding {
        Finding::new(Verdict::Fault, check, detail)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub fn add(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.0.extend(findings);
    }

    pub fn faults(&self) -> usize {
        self.count(Verdict::Fault)
    }

    fn count(&self, verdict: Verdict) -> usize {
        let found = self.0.iter().filter(|finding| finding.verdict == verdict);
        found.count()
    }

    pub fn render(&self, style: &Style) -> String {
        let mut table = Table::new([
            Column::text("CHECK"),
            Column::text("RESULT"),
            Column::text("DETAIL"),
        ]);
        for finding in &self.0 {
            table.row(vec![
                Cell::from(finding.check.as_str()),
                Cell::toned(finding.verdict.tone(), finding.verdict.as_str()),
                Cell::from(finding.detail.as_str()),
            ]);
        }
        let (warnings, faults) = (self.count(Verdict::Warning), self.faults());
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        format!(
            "{}\n{} checks, {warnings} warning{}, {faults} fault{}\n",
            table.render(style),
            self.0.len(),
            plural(warnings),
            plural(faults)
        )
    }

    pub fn to_json(&self) -> Value {
        let checks = self.0.iter().map(|finding| {
            json!({
                "check": finding.check,
                "result": finding.verdict.as_str(),
                "detail": finding.detail,
            })
        });
        json!({
            "checks": checks.collect::<Vec<Value>>(),
            "warnings": self.count(Verdict::Warning),
            "faults": self.faults(),
        })
    }
}
