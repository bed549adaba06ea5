//! Edits of a request in its bytes: splices, the usage report of a chat stream, the output cap. Must never re-serialize the body.

use std::borrow::Cow;

use bytes::Bytes;

use crate::dialect::request::Request;
use crate::dialect::wire::json::Leaf;
use crate::dialect::wire::raw_object::RawObject;
use crate::dialect::wire::splice::{Edit, splice};

impl Request {
    /// The body with the edits made; the same bytes, not a copy, if they change nothing.
    pub fn spliced(&self, edits: &[Edit<'_>]) -> Bytes {
        let changes = |edit: &Edit<'_>| {
            matches!(edit, Edit::Set { .. }) || self.member(edit.member()).is_some()
        };
        if !edits.iter().any(changes) {
            return self.body.clone();
        }
        Bytes::from(splice(&self.body, &self.object, edits))
    }

    /// Edit that makes a chat upstream report its usage in a stream; `None` if the stream reports it anyway.
    pub fn stream_options_with_usage(&self) -> Option<Edit<'static>> {
        if self.usage_asked {
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

    /// Name of the field that caps the output of a request in this dialect.
    pub fn output_cap_member(&self) -> &'static str {
        self.output_cap_fields
            .last()
            .copied()
            .unwrap_or("max_tokens")
    }

    /// Returns true for a field that caps the output in this dialect.
    pub fn caps_output_by(&self, name: &str) -> bool {
        self.output_cap_fields.contains(&name)
    }

    /// Edits that cap the output: lower every named cap above it, or add one as `added_as` if none is named.
    pub fn capped<'a>(&self, tokens: u64, added_as: &'a str) -> Vec<Edit<'a>> {
        let set = |member| Edit::Set {
            member,
            json: Cow::Owned(tokens.to_string()),
        };
        if self.output_cap.is_none() {
            // only chat has several fields for it
            return vec![match self.output_cap_fields {
                [only] => set(only),
                _ => set(added_as),
            }];
        }
        let above = |member: &&&'static str| matches!(self.member(member).and_then(Leaf::of), Some(Leaf::Whole(named)) if named > tokens);
        self.output_cap_fields
            .iter()
            .filter(above)
            .map(|member| set(member))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Dialect, Operation, read};

    fn chat(body: &str) -> Request {
        let body = Bytes::copy_from_slice(body.as_bytes());
        read(Dialect::Chat, Operation::Conversation, body).expect("a request")
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

    #[test]
    fn p01_everything_but_the_edited_value_is_byte_identical() {
        let body = "\n{ \"temperature\" :1.0,\"top_p\":1e3 , \"x_unknown\":{\"model\":\"decoy\", \"é\":\"\\u00e9\"},\t\"mod\\u0065l\": \"gpt\" ,\"messages\":[ ],\"n\":1}\n ";
        assert_eq!(
            spliced(body, &[set("model", "\"other\"")]),
            body.replace("\"gpt\"", "\"other\"")
        );
    }

    #[test]
    fn request_without_edits_is_not_copied() {
        let request = chat(r#"{"model":"m","messages":[]}"#);
        for edits in [&[][..], &[Edit::Remove { member: "absent" }]] {
            assert_eq!(request.spliced(edits).as_ptr(), request.body.as_ptr());
        }
    }

    #[test]
    fn added_fields_go_last_in_order() {
        let body = r#"{"model":"m","messages":[] }"#;
        let edits = [set("b", "1"), set("a", "[2]"), set("b", "3")];
        assert_eq!(
            spliced(body, &edits),
            r#"{"model":"m","messages":[],"a":[2],"b":3 }"#
        );
        assert_eq!(spliced(body, &edits), spliced(body, &edits));
    }

    #[test]
    fn stream_options_keep_their_fields_with_include_usage() {
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
    fn output_cap_lowers_every_named_cap_above_it() {
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
