//! Standard output: column-aligned tables for people, JSON for scripts, and renderers of values that several commands
//! share. Must never print more than the server returned.

use std::io::{self, Write};

use serde_json::Value;

use crate::cli::failure::Failure;

/// Writes a text to standard output. A closed pipe (`| head -1`) is not a failure.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::runtime(format!(
            "failed to write standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Prints the server's response as JSON.
pub fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// Renders a heading and rows in columns as wide as their widest cell.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|title| (*title).to_owned()).collect();
    let lines = || std::iter::once(&heading).chain(rows);
    let width = |column: usize| {
        lines()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    lines().map(line).collect()
}

/// Renders a JSON value as a table cell; `-` for null.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Renders an allow-list; null allows all models.
pub fn models(value: &Value) -> String {
    match value.as_array() {
        Some(models) if models.is_empty() => "none".to_owned(),
        Some(models) => models.iter().map(cell).collect::<Vec<_>>().join(", "),
        None => "all".to_owned(),
    }
}

/// Renders budgets with remainder and reset: `$10 daily, $7.5 left until 2026-11-24T00:00:00Z`.
pub fn budgets(value: &Value) -> String {
    let render = |budget: &Value| {
        let mut text = format!("${} {}", cell(&budget["limit"]), cell(&budget["period"]));
        if !budget["model"].is_null() {
            text += &format!(" on {}", cell(&budget["model"]));
        }
        if budget["action"] == "warn" {
            text += " (warns only)";
        }
        if !budget["remaining"].is_null() {
            text += &format!(", ${} left", cell(&budget["remaining"]));
        }
        if !budget["resets_at"].is_null() {
            text += &format!(" until {}", cell(&budget["resets_at"]));
        }
        text
    };
    match value.as_array() {
        Some(budgets) if !budgets.is_empty() => {
            budgets.iter().map(render).collect::<Vec<_>>().join("; ")
        }
        _ => "none".to_owned(),
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
        if !limit["model"].is_null() {
            text += &format!(" on {}", cell(&limit["model"]));
        }
        text
    };
    match value.as_array() {
        Some(limits) if !limits.is_empty() => {
            limits.iter().map(render).collect::<Vec<_>>().join("; ")
        }
        _ => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn table_columns_fit_their_widest_cell() {
        let rows = [
            vec!["engineering".to_owned(), "1".to_owned()],
            vec!["ops".to_owned(), "22".to_owned()],
        ];
        assert_eq!(
            table(&["TEAM", "COST"], &rows),
            "TEAM         COST\nengineering  1\nops          22\n"
        );
    }

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
        let expected = "$10 total, $7.5 left; $1 daily on gpt-* (warns only), $1 left until 2026-11-24T00:00:00Z";
        assert_eq!(budgets(&value), expected);
        assert_eq!(
            (
                budgets(&json!([])),
                models(&json!([])),
                models(&Value::Null),
                models(&json!(["a", "b"]))
            ),
            ("none".into(), "none".into(), "all".into(), "a, b".into())
        );
    }
}
