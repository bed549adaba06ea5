//! Values of the server's responses in the words that several commands share: allow-lists, budgets, limits.

use serde_json::Value;

use crate::cli::style::Style;

pub use crate::cli::json::{cell, rows};

/// Renders an allow-list; null allows all models.
pub fn models(value: &Value) -> String {
    match value.as_array() {
        Some(models) if models.is_empty() => "none".to_owned(),
        Some(models) => models.iter().map(cell).collect::<Vec<_>>().join(", "),
        None => "all".to_owned(),
    }
}

/// Terms of a budget.
#[derive(Clone, Copy, Debug)]
pub struct BudgetWords<'b> {
    pub limit: &'b str,
    pub period: &'b str,
    pub model: Option<&'b str>,
    pub is_warning: bool,
}

impl BudgetWords<'_> {
    /// Renders `$10/month on gpt-5* (warns only)`.
    pub fn render(&self, style: &Style) -> String {
        let mut text = style.money_text(self.limit);
        text += match self.period {
            "daily" => "/day",
            "weekly" => "/week",
            "monthly" => "/month",
            _ => " total",
        };
        if let Some(model) = self.model {
            text += &format!(" on {model}");
        }
        if self.is_warning {
            text += " (warns only)";
        }
        text
    }
}

/// Renders the terms of a budget.
pub fn budget_terms(budget: &Value, style: &Style) -> String {
    let words = BudgetWords {
        limit: budget["limit"].as_str().unwrap_or("-"),
        period: budget["period"].as_str().unwrap_or_default(),
        model: budget["model"].as_str(),
        is_warning: budget["action"] == "warn",
    };
    words.render(style)
}

/// Renders budgets with remainder and reset: `$10.00/day, $7.50 left until 24 Nov 00:00 UTC`.
pub fn budgets(value: &Value, style: &Style) -> String {
    let render = |budget: &Value| {
        let mut text = budget_terms(budget, style);
        if !budget["remaining"].is_null() {
            text += &format!(", {} left", style.money(&budget["remaining"]));
        }
        if !budget["resets_at"].is_null() {
            text += &format!(" until {}", style.date(&budget["resets_at"]));
        }
        text
    };
    match rows(value) {
        [] => "none".to_owned(),
        budgets => budgets.iter().map(render).collect::<Vec<_>>().join("; "),
    }
}

/// Line with the most that one request may cost; empty without such a bound.
pub fn max_cost(owner: &Value, style: &Style) -> String {
    match &owner["max_cost_usd"] {
        Value::Null => String::new(),
        most => format!("  request  at most {}\n", style.money(most)),
    }
}

/// Renders rate limits: `60 requests per minute, 4 in parallel on gpt-5*`.
pub fn limits(value: &Value) -> String {
    let render = |limit: &Value| {
        let measures = [
            ("rpm", "requests per minute"),
            ("tpm", "tokens per minute"),
            ("max_parallel", "in parallel"),
        ];
        let present = measures.iter().filter(|(name, _)| !limit[name].is_null());
        let mut text = present
            .map(|(name, unit)| format!("{} {unit}", limit[name]))
            .collect::<Vec<_>>()
            .join(", ");
        if let Some(model) = limit["model"].as_str() {
            text += &format!(" on {model}");
        }
        text
    };
    match rows(value) {
        [] => "none".to_owned(),
        limits => limits.iter().map(render).collect::<Vec<_>>().join("; "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_are_rendered_with_units_and_model() {
        let value = json!([{"rpm": 60, "tpm": null, "max_parallel": 4, "model": null}, {"tpm": 1000, "model": "gpt-5*"}]);
        assert_eq!(
            limits(&value),
            "60 requests per minute, 4 in parallel; 1000 tokens per minute on gpt-5*"
        );
        assert_eq!(limits(&json!([])), "none");
    }

    #[test]
    fn budgets_are_rendered_with_remainder_and_reset() {
        let value = json!([
            {"limit": "10", "period": "total", "action": "block", "model": null, "remaining": "7.5"},
            {"limit": "1", "period": "daily", "action": "warn", "model": "gpt-*", "remaining": "1",
             "resets_at": "2026-11-24T00:00:00Z"},
        ]);
        let expected = "$10.00 total, $7.50 left; $1.00/day on gpt-* (warns only), $1.00 left until 24 Nov 2026 00:00 UTC";
        let style = Style::default();
        assert_eq!(budgets(&value, &style), expected);
        assert_eq!(
            (
                budgets(&json!([]), &style),
                models(&json!([])),
                models(&Value::Null),
                models(&json!(["a", "b"]))
            ),
            ("none".into(), "none".into(), "all".into(), "a, b".into())
        );
    }
}
