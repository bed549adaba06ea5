//! JSON schemas for vendors that accept most of them: removes `$schema`, keeps the rest as the client wrote it. Must never change the
//! meaning of a schema.

use std::borrow::Cow;

use crate::conversation::{RawJson, raw};
use crate::dialect::wire::raw_object::RawObject;

/// Version of JSON Schema; several vendors reject unknown ones.
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
    fn schema_field_is_removed_and_the_rest_is_unchanged() {
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
