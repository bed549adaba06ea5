//! JSON objects as CSV (RFC 4180) for spreadsheets: columns are members by name. No cell can be read as a formula.

use serde_json::{Map, Value};

/// A header line and a line per row; a missing or null member is an empty cell.
pub(crate) fn table<'r>(
    columns: &[&str],
    rows: impl IntoIterator<Item = &'r Map<String, Value>>,
) -> String {
    let mut text = line(columns.iter().map(|column| cell(&Value::from(*column))));
    for row in rows {
        text += &line(
            columns
                .iter()
                .map(|column| row.get(*column).map_or(String::new(), cell)),
        );
    }
    text
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(",") + "\r\n"
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => quote(&escape_formula(text)),
        // a list of words, separated by spaces
        Value::Array(items) => quote(&escape_formula(
            &items
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(" "),
        )),
        other => quote(&other.to_string()),
    }
}

/// Letters with which spreadsheets begin a formula, the full-width ones of East Asian input included.
const FORMULA_STARTS: [char; 10] = [
    '=', '+', '-', '@', '\t', '\r', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
];

/// Prefixes an apostrophe to text that a spreadsheet would run as a formula.
fn escape_formula(text: &str) -> String {
    if text.starts_with(FORMULA_STARTS) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

fn quote(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cell_is_quoted_and_never_a_formula() {
        let row = json!({"a": "=1+1", "b": "x, \"y\"\nz", "c": null, "d": 3, "e": "0.000000000001", "f": ["one", "two"], "g": "\t@"});
        let row = row.as_object().expect("an object");
        assert_eq!(
            table(&["a", "b", "c", "d", "e", "f", "g", "h"], [row]),
            "a,b,c,d,e,f,g,h\r\n'=1+1,\"x, \"\"y\"\"\nz\",,3,0.000000000001,one two,'\t@,\r\n"
        );
        let full_width = ["\u{ff1d}1", "\u{ff0b}1", "\u{ff0d}1", "\u{ff20}a"];
        for text in ["+1", "-1", "@a", "\ta", "\ra"].iter().chain(&full_width) {
            assert!(escape_formula(text).starts_with('\''), "{text:?}");
        }
        assert_eq!(escape_formula("a=b"), "a=b");
    }
}
