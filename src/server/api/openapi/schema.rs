//! JSON Schema in short: the pieces of which bodies, parameters and answers without a type of their own are built.

use serde_json::{Map, Value, json};

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

pub(super) fn instant() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// Money as exact decimal.
pub(super) fn money() -> Value {
    json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$" })
}

pub(super) fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

pub(super) fn integer() -> Value {
    json!({ "type": "integer" })
}

pub(super) fn any_object() -> Value {
    json!({ "type": "object" })
}

pub(super) fn constant(word: &str) -> Value {
    json!({ "const": word })
}

pub(super) fn words(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

pub(super) fn array(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

pub(super) fn nullable(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

pub(super) fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object with all of these members.
pub(super) fn object(members: &[(&str, Value)]) -> Value {
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    json!({ "type": "object", "required": required, "properties": properties(members) })
}

/// A page of objects.
pub(super) fn page(item: Value) -> Value {
    object(&[("data", array(item)), ("next", nullable(text()))])
}

/// An object that may have these members and no others.
pub(super) fn closed(required: &[&str], members: &[(&str, Value)]) -> Value {
    json!({
        "type": "object",
        "required": required,
        "properties": properties(members),
        "additionalProperties": false,
    })
}

fn properties(members: &[(&str, Value)]) -> Map<String, Value> {
    let members = members.iter();
    members
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect()
}
