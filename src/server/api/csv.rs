//! Rows as CSV (RFC 4180), for spreadsheets: takes the members of JSON objects by name, returns a heading and a line each.
//! Never lets a cell be taken for a formula.

use serde_json::{Map, Value};

/// The columns of these rows; a member that is missing or null is an empty cell.
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
        Value::String(text) => quoted(&defused(text)),
        // a list of words
        Value::Array(items) => quoted(&defused(
            &items
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(" "),
        )),
        other => quoted(&other.to_string()),
    }
}

/// A spreadsheet runs what begins like a formula; after an apostrophe it is text.
fn defused(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

fn quoted(text: &str) -> String {
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
    fn cells_are_quoted_and_never_formulas() {
        let row = json!({"a": "=1+1", "b": "x, \"y\"\nz", "c": null, "d": 3, "e": "0.000000000001", "f": ["one", "two"], "g": "\t@"});
        let row = row.as_object().expect("an object");
        assert_eq!(
            table(&["a", "b", "c", "d", "e", "f", "g", "h"], [row]),
            "a,b,c,d,e,f,g,h\r\n'=1+1,\"x, \"\"y\"\"\nz\",,3,0.000000000001,one two,'\t@,\r\n"
        );
        for text in ["+1", "-1", "@a", "\ta", "\ra"] {
            assert!(defused(text).starts_with('\''), "{text:?}");
        }
        assert_eq!(defused("a=b"), "a=b");
    }
}
