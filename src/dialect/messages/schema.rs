//! JSON schemas as Anthropic requires them. Keeps the order of the schema and adds only what is missing.

use crate::conversation::{RawJson, raw};
use crate::dialect::wire::raw_object::RawObject;

/// Deeper schemas are left unchanged.
const DEPTH_MAX: u8 = 64;

/// A tool's schema, with the required `type: object`.
pub(in crate::dialect) fn object(schema: &RawJson) -> RawJson {
    let json = schema.as_str().trim();
    let said = |members: &RawObject| members.value(json.as_bytes(), "type").is_some();
    let members = RawObject::read(json.as_bytes());
    match members {
        Ok(members) if !said(&members) => {
            raw(with(json, "\"type\":\"object\"")).unwrap_or_default()
        }
        Ok(_) => schema.clone(),
        Err(_) => raw(r#"{"type":"object"}"#.to_owned()).unwrap_or_default(),
    }
}

/// A response schema, with every object closed as required.
pub(in crate::dialect) fn closed(schema: &RawJson) -> RawJson {
    raw(close(schema.as_str(), DEPTH_MAX)).unwrap_or_else(|| schema.clone())
}

/// Adds a field at the beginning of an object.
fn with(object: &str, member: &str) -> String {
    let rest = object[1..].trim_start();
    let comma = if rest.starts_with('}') { "" } else { "," };
    format!("{{{member}{comma}{rest}")
}

fn close(json: &str, depth: u8) -> String {
    let json = json.trim();
    let (Some(depth), Ok(members)) = (depth.checked_sub(1), RawObject::read(json.as_bytes()))
    else {
        return json.to_owned();
    };
    let mut written = String::with_capacity(json.len() + 64);
    let mut from = 0;
    for member in &members.list {
        let value = &json[member.value.clone()];
        let closed = match member.name(json.as_bytes()) {
            b"properties" | b"$defs" | b"definitions" => each_value(value, depth),
            b"items" | b"not" => close(value, depth),
            b"anyOf" | b"oneOf" | b"allOf" | b"prefixItems" => each_element(value, depth),
            _ => continue,
        };
        written.push_str(&json[from..member.value.start]);
        written.push_str(&closed);
        from = member.value.end;
    }
    written.push_str(&json[from..]);
    let has = |name: &str| members.value(json.as_bytes(), name);
    let is_object = has("type") == Some("\"object\"") || has("properties").is_some();
    if is_object && has("additionalProperties").is_none() {
        return with(&written, "\"additionalProperties\":false");
    }
    written
}

/// An object whose values are schemas.
fn each_value(json: &str, depth: u8) -> String {
    let Ok(members) = RawObject::read(json.as_bytes()) else {
        return json.to_owned();
    };
    let mut written = String::with_capacity(json.len() + 64);
    let mut from = 0;
    for member in &members.list {
        written.push_str(&json[from..member.value.start]);
        written.push_str(&close(&json[member.value.clone()], depth));
        from = member.value.end;
    }
    written.push_str(&json[from..]);
    written
}

fn each_element(json: &str, depth: u8) -> String {
    let Ok(elements) = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(json) else {
        return json.to_owned();
    };
    let closed: Vec<String> = elements
        .iter()
        .map(|element| close(element.get(), depth))
        .collect();
    format!("[{}]", closed.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> RawJson {
        raw(json.to_owned()).expect("JSON")
    }

    #[test]
    fn tool_schema_has_type_object() {
        for (schema, expected) in [
            ("{}", r#"{"type":"object"}"#),
            (
                r#"{ "properties":{"b":{},"a":{}}}"#,
                r#"{"type":"object","properties":{"b":{},"a":{}}}"#,
            ),
            (
                r#"{"$schema":"x","type":"object"}"#,
                r#"{"$schema":"x","type":"object"}"#,
            ),
        ] {
            assert_eq!(object(&read(schema)).as_str(), expected);
        }
    }

    #[test]
    fn response_schema_is_closed_at_every_level_and_keeps_its_order() {
        for (schema, expected) in [
            (r#"{"type":"string"}"#, r#"{"type":"string"}"#),
            (
                r#"{"type":"object"}"#,
                r#"{"additionalProperties":false,"type":"object"}"#,
            ),
            (
                r#"{"type":"object","properties":{"z":{"type":"array","items":{"type":"object","properties":{}}},"a":{"anyOf":[{"type":"null"},{"properties":{}}]}},"required":["z"],"additionalProperties":false}"#,
                r#"{"type":"object","properties":{"z":{"type":"array","items":{"additionalProperties":false,"type":"object","properties":{}}},"a":{"anyOf":[{"type":"null"},{"additionalProperties":false,"properties":{}}]}},"required":["z"],"additionalProperties":false}"#,
            ),
            (
                r#"{"type":"object","additionalProperties":true,"$defs":{"x":{"type":"object"}}}"#,
                r#"{"type":"object","additionalProperties":true,"$defs":{"x":{"additionalProperties":false,"type":"object"}}}"#,
            ),
        ] {
            assert_eq!(closed(&read(schema)).as_str(), expected);
        }
    }
}
