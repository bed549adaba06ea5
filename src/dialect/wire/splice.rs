//! Edits top-level members of a request in its bytes. What no edit names stays byte for byte as it came: order, spacing,
//! number formats. Added members go last, so that equal requests stay equal bytes. Must never re-serialise anything.

use std::borrow::Cow;

use bytes::Bytes;

use crate::dialect::Dialect;
use crate::dialect::request::{Request, cap_members};
use crate::dialect::wire::json::Leaf;
use crate::dialect::wire::raw_object::{RawField, RawObject};

/// One change to a top-level member. Of several that name the same member the last counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// replaces the value in place, or adds the member; `json` is one JSON value
    Set { member: &'a str, json: Cow<'a, str> },
    /// takes the member out with exactly one comma
    Remove { member: &'a str },
}

impl<'a> Edit<'a> {
    /// Sets a member to a text.
    pub fn text(member: &'a str, text: &str) -> Edit<'a> {
        Edit::Set {
            member,
            json: Cow::Owned(quoted(text)),
        }
    }

    fn member(&self) -> &'a str {
        match self {
            Edit::Set { member, .. } | Edit::Remove { member } => member,
        }
    }
}

impl Request {
    /// The body with the edits made; the very same bytes, not a copy, if they change nothing.
    pub fn spliced(&self, edits: &[Edit<'_>]) -> Bytes {
        let changes = |edit: &Edit<'_>| {
            matches!(edit, Edit::Set { .. }) || self.member(edit.member()).is_some()
        };
        if !edits.iter().any(changes) {
            return self.body.clone();
        }
        Bytes::from(splice(&self.body, &self.members, edits))
    }

    /// What makes a chat upstream report its usage in a stream; `None` when the client asked for that itself.
    pub fn stream_options_with_usage(&self) -> Option<Edit<'static>> {
        if self.usage_asked || self.dialect != Dialect::Chat {
            return None;
        }
        let include = Edit::Set {
            member: "include_usage",
            json: Cow::Borrowed("true"),
        };
        let options = self
            .member("stream_options")
            .filter(|json| *json != "null")
            .unwrap_or("{}");
        // `read` has refused everything else than null or an object
        let members = RawObject::read(options.as_bytes()).ok()?;
        let json = String::from_utf8(splice(options.as_bytes(), &members, &[include])).ok()?;
        Some(Edit::Set {
            member: "stream_options",
            json: Cow::Owned(json),
        })
    }

    /// Caps the output: lowers every cap the client named that is above it, and if none is named adds one as `added_as`.
    pub fn capped<'a>(&self, tokens: u64, added_as: &'a str) -> Vec<Edit<'a>> {
        let set = |member| Edit::Set {
            member,
            json: Cow::Owned(tokens.to_string()),
        };
        if self.output_cap.is_none() {
            // only chat has several names for it
            let own = cap_members(self.dialect)
                .first()
                .copied()
                .filter(|_| self.dialect != Dialect::Chat);
            return vec![set(own.unwrap_or(added_as))];
        }
        let above = |member: &&&'static str| matches!(self.member(member).and_then(Leaf::of), Some(Leaf::Whole(named)) if named > tokens);
        cap_members(self.dialect)
            .iter()
            .filter(above)
            .map(|member| set(member))
            .collect()
    }
}

fn splice(text: &[u8], members: &RawObject, edits: &[Edit<'_>]) -> Vec<u8> {
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

/// The edits that add a member: nothing in the text has its name and no later edit does.
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

/// What stands between two values, from behind the comma: the first thing in it that is not blank.
fn after_comma(lead: &[u8]) -> &[u8] {
    memchr::memchr(b',', lead).map_or(lead, |comma| &lead[comma + 1..])
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is always a JSON string")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::request::read;

    fn chat(body: &str) -> Request {
        read(Dialect::Chat, Bytes::copy_from_slice(body.as_bytes())).expect("a request")
    }

    fn set<'a>(member: &'a str, json: &'a str) -> Edit<'a> {
        Edit::Set {
            member,
            json: Cow::Borrowed(json),
        }
    }

    fn spliced(body: &str, edits: &[Edit<'_>]) -> String {
        String::from_utf8(chat(body).spliced(edits).to_vec()).expect("UTF-8")
    }

    fn objects(text: &str, edits: &[Edit<'_>]) -> String {
        let members = RawObject::read(text.as_bytes()).expect("an object");
        String::from_utf8(splice(text.as_bytes(), &members, edits)).expect("UTF-8")
    }

    #[test]
    fn p01_everything_but_the_edited_value_is_byte_identical() {
        let body = "\n{ \"temperature\" :1.0,\"top_p\":1e3 , \"x_unknown\":{\"model\":\"decoy\", \"é\":\"\\u00e9\"},\t\"mod\\u0065l\": \"gpt\" ,\"messages\":[ ],\"n\":1}\n ";
        assert_eq!(
            spliced(body, &[set("model", "\"other\"")]),
            body.replace("\"gpt\"", "\"other\"")
        );
    }

    #[test]
    fn no_edit_is_no_copy() {
        let request = chat(r#"{"model":"m","messages":[]}"#);
        for edits in [&[][..], &[Edit::Remove { member: "absent" }]] {
            assert_eq!(request.spliced(edits).as_ptr(), request.body.as_ptr());
        }
    }

    #[test]
    fn added_members_go_last_and_in_order() {
        let body = r#"{"model":"m","messages":[] }"#;
        let edits = [set("b", "1"), set("a", "[2]"), set("b", "3")];
        assert_eq!(
            spliced(body, &edits),
            r#"{"model":"m","messages":[],"a":[2],"b":3 }"#
        );
        assert_eq!(spliced(body, &edits), spliced(body, &edits));
    }

    #[test]
    fn removal_takes_exactly_one_comma_wherever_it_stands() {
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
    fn an_empty_object_gets_no_comma() {
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
    fn every_splice_of_every_small_object_is_one_object_with_the_right_members() {
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

    #[test]
    fn usage_is_asked_for_with_the_options_kept() {
        for (options, expected) in [
            ("", Some(r#"{"include_usage":true}"#)),
            (
                r#","stream_options":null"#,
                Some(r#"{"include_usage":true}"#),
            ),
            (
                r#","stream_options":{ }"#,
                Some(r#"{"include_usage":true }"#),
            ),
            (
                r#","stream_options":{ "x" : 1.0 }"#,
                Some(r#"{ "x" : 1.0,"include_usage":true }"#),
            ),
            (
                r#","stream_options":{"include_usage" : false, "x":1}"#,
                Some(r#"{"include_usage" : true, "x":1}"#),
            ),
            (
                r#","stream_options":{"include_usage":null}"#,
                Some(r#"{"include_usage":true}"#),
            ),
            (r#","stream_options":{"include_usage":true}"#, None),
        ] {
            let edit = chat(&format!(r#"{{"model":"m","messages":[]{options}}}"#))
                .stream_options_with_usage();
            assert_eq!(
                edit,
                expected.map(|json| set("stream_options", json)),
                "{options}"
            );
        }
    }

    #[test]
    fn p02_usage_is_injected_last() {
        let request = chat(r#"{"model":"m","stream":true,"messages":[]}"#);
        let edit = request.stream_options_with_usage().expect("not asked");
        assert_eq!(
            request.spliced(&[edit]),
            r#"{"model":"m","stream":true,"messages":[],"stream_options":{"include_usage":true}}"#
        );
    }

    #[test]
    fn a_cap_lowers_every_named_one_that_is_above_it() {
        let capped = |caps: &str| {
            let request = chat(&format!(r#"{{"model":"m","messages":[]{caps}}}"#));
            String::from_utf8(request.spliced(&request.capped(100, "max_tokens")).to_vec())
                .expect("UTF-8")
        };
        let body = |caps: &str| format!(r#"{{"model":"m","messages":[]{caps}}}"#);
        assert_eq!(capped(""), body(r#","max_tokens":100"#));
        assert_eq!(
            capped(r#","max_tokens":null"#),
            body(r#","max_tokens":100"#)
        );
        assert_eq!(
            capped(r#","max_completion_tokens":50"#),
            body(r#","max_completion_tokens":50"#)
        );
        assert_eq!(
            capped(r#","max_tokens":5000,"max_completion_tokens":8000"#),
            body(r#","max_tokens":100,"max_completion_tokens":100"#)
        );
        assert_eq!(
            capped(r#","max_tokens":50,"max_completion_tokens":101"#),
            body(r#","max_tokens":50,"max_completion_tokens":100"#)
        );
    }
}
