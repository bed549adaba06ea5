//! JSON Schemas on their way to a vendor that takes most of them: what only names the kind of schema is taken out, the rest stays as
//! the client wrote it. Must never change what a schema means.

use std::borrow::Cow;

use crate::conversation::{RawJson, raw};
use crate::dialect::wire::raw_object::RawObject;

/// The member that says which JSON Schema a schema is written in; several vendors refuse what they do not know there.
const KIND: &str = "$schema";

/// The schema without its `$schema`.
pub(super) fn without_kind(schema: &RawJson) -> Cow<'_, RawJson> {
    let text = schema.as_str();
    let Ok(members) = RawObject::read(text.as_bytes()) else {
        return Cow::Borrowed(schema);
    };
    if members.value(text.as_bytes(), KIND).is_none() {
        return Cow::Borrowed(schema);
    }
    let kept = members
        .list
        .iter()
        .filter(|member| member.name(text.as_bytes()) != KIND.as_bytes());
    let written = kept.map(|member| {
        let name = String::from_utf8_lossy(member.name(text.as_bytes()));
        format!(
            "{}:{}",
            serde_json::Value::from(name),
            &text[member.value.clone()]
        )
    });
    let written: Vec<String> = written.collect();
    raw(format!("{{{}}}", written.join(","))).map_or(Cow::Borrowed(schema), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kind_is_taken_out_and_the_rest_keeps_its_order_and_its_numbers() {
        for (schema, expected) in [
            (r#"{"type":"object"}"#, r#"{"type":"object"}"#),
            (
                r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","$defs":{"a":{"$schema":1}},"x":1.0}"#,
                r#"{"type":"object","$defs":{"a":{"$schema":1}},"x":1.0}"#,
            ),
            (r#"{"a\"b": 1, "$schema": 2}"#, r#"{"a\"b":1}"#),
            ("7", "7"),
        ] {
            let schema = raw(schema.to_owned()).expect("JSON");
            assert_eq!(without_kind(&schema).as_str(), expected);
        }
    }
}
