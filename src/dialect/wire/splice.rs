//! Edits of top-level fields of an object in its bytes. Everything else stays byte for byte: order, spacing, number formats. Added
//! fields go last, so that equal requests stay equal bytes. Must never re-serialize a value.

use std::borrow::Cow;

use crate::dialect::wire::raw_object::{RawField, RawObject};

/// Change of a top-level field. Of several edits of one field the last counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// replaces the value in place, or adds the field; `json` is one JSON value
    Set { member: &'a str, json: Cow<'a, str> },
    /// removes the field with exactly one comma
    Remove { member: &'a str },
}

impl<'a> Edit<'a> {
    /// Sets a field to a text.
    pub fn text(member: &'a str, text: &str) -> Edit<'a> {
        Edit::Set {
            member,
            json: Cow::Owned(quoted(text)),
        }
    }

    pub(crate) fn member(&self) -> &'a str {
        match self {
            Edit::Set { member, .. } | Edit::Remove { member } => member,
        }
    }
}

/// The object with the edits made.
pub(crate) fn splice(text: &[u8], members: &RawObject, edits: &[Edit<'_>]) -> Vec<u8> {
    let added_bytes: usize = edits
        .iter()
        .map(|edit| edit.member().len() + json(edit).len() + 4)
        .sum();
    let mut out = Vec::with_capacity(text.len() + added_bytes);
    let mut at = members.open + 1;
    out.extend_from_slice(&text[..at]);
    let mut is_first = true;
    for (place, member) in members.list.iter().enumerate() {
        let lead = &text[at..member.value.start];
        at = member.value.end;
        let edit = edits
            .iter()
            .rev()
            .find(|edit| edit.member().as_bytes() == member.name(text));
        if let Some(Edit::Remove { .. }) = edit {
            continue;
        }
        out.extend_from_slice(if is_first && place > 0 {
            after_comma(lead)
        } else {
            lead
        });
        out.extend_from_slice(
            edit.map_or(&text[member.value.clone()], |edit| json(edit).as_bytes()),
        );
        is_first = false;
    }
    for edit in added(text, &members.list, edits) {
        if !is_first {
            out.push(b',');
        }
        out.extend_from_slice(quoted(edit.member()).as_bytes());
        out.push(b':');
        out.extend_from_slice(json(edit).as_bytes());
        is_first = false;
    }
    out.extend_from_slice(&text[at..]);
    out
}

/// Edits that add a field: neither the text nor a later edit has its name.
fn added<'e, 'a>(
    text: &[u8],
    list: &[RawField],
    edits: &'e [Edit<'a>],
) -> impl Iterator<Item = &'e Edit<'a>> {
    edits.iter().enumerate().filter_map(move |(place, edit)| {
        let later = edits[place + 1..]
            .iter()
            .any(|other| other.member() == edit.member());
        let known = list
            .iter()
            .any(|member| member.name(text) == edit.member().as_bytes());
        (matches!(edit, Edit::Set { .. }) && !later && !known).then_some(edit)
    })
}

fn json<'e>(edit: &'e Edit<'_>) -> &'e str {
    match edit {
        Edit::Set { json, .. } => json,
        Edit::Remove { .. } => "",
    }
}

/// The bytes between two values, after the comma, which is the first byte that is not blank.
fn after_comma(lead: &[u8]) -> &[u8] {
    memchr::memchr(b',', lead).map_or(lead, |comma| &lead[comma + 1..])
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is always a JSON string")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<'a>(member: &'a str, json: &'a str) -> Edit<'a> {
        Edit::Set {
            member,
            json: Cow::Borrowed(json),
        }
    }

    fn objects(text: &str, edits: &[Edit<'_>]) -> String {
        let members = RawObject::read(text.as_bytes()).expect("an object");
        String::from_utf8(splice(text.as_bytes(), &members, edits)).expect("UTF-8")
    }

    #[test]
    fn removal_takes_exactly_one_comma_at_any_position() {
        let (a, b, c) = (
            Edit::Remove { member: "a" },
            Edit::Remove { member: "b" },
            Edit::Remove { member: "c" },
        );
        let text = r#"{ "a":"x,y", "b" : {"c":2} ,"c":3 }"#;
        for (edits, expected) in [
            (vec![a.clone()], r#"{ "b" : {"c":2} ,"c":3 }"#),
            (vec![b.clone()], r#"{ "a":"x,y" ,"c":3 }"#),
            (vec![c.clone()], r#"{ "a":"x,y", "b" : {"c":2} }"#),
            (vec![a.clone(), b.clone()], r#"{"c":3 }"#),
            (vec![a.clone(), c.clone()], r#"{ "b" : {"c":2} }"#),
            (vec![a.clone(), b.clone(), c.clone()], "{ }"),
            (
                vec![a.clone(), b.clone(), c.clone(), set("d", "4")],
                r#"{"d":4 }"#,
            ),
            (
                vec![a, set("d", "4"), c, set("b", "5")],
                r#"{ "b" : 5,"d":4 }"#,
            ),
        ] {
            assert_eq!(objects(text, &edits), expected, "{edits:?}");
        }
    }

    #[test]
    fn empty_object_gets_no_comma() {
        assert_eq!(objects("{}", &[set("a", "1")]), r#"{"a":1}"#);
        assert_eq!(
            objects(" { } ", &[set("a\"b", "1"), set("c", "2")]),
            r#" {"a\"b":1,"c":2 } "#
        );
        assert_eq!(
            objects("{}", &[set("a", "1"), Edit::Remove { member: "a" }]),
            "{}"
        );
    }

    #[test]
    fn every_splice_of_every_small_object_has_the_expected_fields() {
        let names = ["a", "b", "c"];
        for present in 0..8u8 {
            let members: Vec<String> = (0..3)
                .filter(|n| present >> n & 1 == 1)
                .map(|n| format!(" \"{}\" : {n} ", names[n]))
                .collect();
            let text = format!("{{{}}}", members.join(","));
            for choice in 0..27 {
                let edits: Vec<Edit<'_>> = (0..3)
                    .filter_map(|n| match choice / 3_usize.pow(n as u32) % 3 {
                        0 => None,
                        1 => Some(Edit::Remove { member: names[n] }),
                        _ => Some(set(names[n], "9")),
                    })
                    .collect();
                let read: std::collections::BTreeMap<String, u64> =
                    serde_json::from_str(&objects(&text, &edits)).expect("still one object");
                for (n, name) in names.into_iter().enumerate() {
                    let expected = match choice / 3_usize.pow(n as u32) % 3 {
                        0 => (present >> n & 1 == 1).then_some(n as u64),
                        1 => None,
                        _ => Some(9),
                    };
                    assert_eq!(read.get(name).copied(), expected, "{text} {edits:?}");
                }
            }
        }
    }
}
