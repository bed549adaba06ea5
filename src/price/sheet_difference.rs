//! Difference of two price sheets, member by member as they are written, so that no member is overlooked. Inputs are texts that
//! `Sheet::parse` accepts.

use std::collections::BTreeMap;

use serde_json::Value;

/// Rows of one sheet against those of another; a row is named `provider/model`, a fee `fee of PROVIDER for TOOL`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SheetDifference {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<ChangedRow>,
}

/// A row that both sheets have, with the members that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedRow {
    pub name: String,
    pub members: Vec<ChangedMember>,
}

/// A member with its values as written; `None`: absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedMember {
    pub name: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

type Members = BTreeMap<String, String>;

impl SheetDifference {
    /// Compares two sheets by their text.
    pub fn between(before: &str, after: &str) -> Result<SheetDifference, serde_json::Error> {
        let (before, mut after) = (rows(before)?, rows(after)?);
        let mut difference = SheetDifference::default();
        for (name, old) in before {
            let Some(new) = after.remove(&name) else {
                difference.removed.push(name);
                continue;
            };
            let members = changed_members(&old, &new);
            if !members.is_empty() {
                difference.changed.push(ChangedRow { name, members });
            }
        }
        difference.added = after.into_keys().collect();
        Ok(difference)
    }

    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

fn rows(text: &str) -> Result<BTreeMap<String, Members>, serde_json::Error> {
    let sheet: Value = serde_json::from_str(text)?;
    let list = |name: &str| sheet[name].as_array().cloned().unwrap_or_default();
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let models = list("models").into_iter();
    let models = models.map(|row| {
        (
            format!("{}/{}", word(&row, "provider"), word(&row, "model")),
            row,
        )
    });
    let fees = list("fees").into_iter().map(|fee| {
        let (provider, tool) = (word(&fee, "provider"), word(&fee, "tool"));
        (format!("fee of {provider} for {tool}"), fee)
    });
    let mut rows = BTreeMap::new();
    for (name, row) in models.chain(fees) {
        let mut members = Members::new();
        flatten("", &row, &mut members);
        rows.insert(name, members);
    }
    Ok(rows)
}

/// Members of nested objects under their path; lists are compared as a whole, null counts as absent.
fn flatten(path: &str, value: &Value, members: &mut Members) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = match path.is_empty() {
                    true => name.clone(),
                    false => format!("{path}.{name}"),
                };
                flatten(&path, value, members);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            members.insert(path.to_owned(), text.clone());
        }
        other => {
            members.insert(path.to_owned(), other.to_string());
        }
    }
}

fn changed_members(old: &Members, new: &Members) -> Vec<ChangedMember> {
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let differs = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name));
    differs
        .map(|name| ChangedMember {
            name: name.clone(),
            before: old.get(name).cloned(),
            after: new.get(name).cloned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price::Sheet;

    fn changed(name: &str, before: Option<&str>, after: Option<&str>) -> ChangedMember {
        ChangedMember {
            name: name.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        }
    }

    #[test]
    fn difference_names_every_changed_member_and_row() {
        let before = r#"{"fees":[{"provider":"v","tool":"web_search","usd":"0.01","per":"call","from":"x"}],"models":[
            {"provider":"v","model":"kept","mode":"chat","context":null,"rates":{"input":"1","output":"2"}},
            {"provider":"v","model":"dearer","mode":"chat","context":8,"rates":{"input":"1","output":"2"}},
            {"provider":"v","model":"gone","mode":"chat","rates":{"input":"1","output":"2"}}]}"#;
        let after = r#"{"fees":[{"provider":"v","tool":"web_search","usd":"0.02","per":"call","from":"x"}],"models":[
            {"provider":"v","model":"dearer","mode":"chat","rates":{"input":"1","output":"3"},"lacks":["vision"]},
            {"provider":"v","model":"kept","mode":"chat","rates":{"output":"2","input":"1"}},
            {"provider":"v","model":"new","mode":"chat","rates":{"input":"1","output":"2"}}]}"#;
        let found = SheetDifference::between(before, after).expect("sheets");
        assert_eq!(found.added, ["v/new"]);
        assert_eq!(found.removed, ["v/gone"]);
        let [fee, dearer] = found.changed.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(fee.name, "fee of v for web_search");
        assert_eq!(fee.members, [changed("usd", Some("0.01"), Some("0.02"))]);
        assert_eq!(dearer.name, "v/dearer");
        assert_eq!(
            dearer.members,
            [
                changed("context", Some("8"), None),
                changed("lacks", None, Some("[\"vision\"]")),
                changed("rates.output", Some("2"), Some("3")),
            ]
        );
    }

    #[test]
    fn sheet_has_no_difference_from_itself_and_every_row_a_name_of_its_own() {
        let text = &Sheet::embedded_text();
        let found = SheetDifference::between(text, text).expect("the embedded sheet");
        assert!(found.is_empty());
        let empty = SheetDifference::between(r#"{"models":[]}"#, text).expect("sheets");
        let rows = empty
            .added
            .iter()
            .filter(|name| !name.starts_with("fee of"));
        assert_eq!(rows.count(), Sheet::embedded().len());
    }
}
