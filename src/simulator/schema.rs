//! A JSON value that fits a JSON schema: for structured outputs and for the arguments of tool calls. The same schema gives the
//! same value.

use serde_json::{Map, Value, json};

/// Depth at which a schema that contains itself ends.
const DEPTH_MAX: u8 = 16;

/// A value with every property of the schema; `null` where the schema is too deep.
pub(super) fn fill(schema: &Value) -> Value {
    value(schema, schema, 0)
}

fn value(schema: &Value, root: &Value, depth: u8) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    let inner = |schema: &Value| value(schema, root, depth + 1);
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#'));
        return target.map_or(Value::Null, inner);
    }
    if let Some(fixed) = schema.get("const").or(schema.pointer("/enum/0")) {
        return fixed.clone();
    }
    for choices in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[choices].get(0) {
            return inner(first);
        }
    }
    let kind = schema["type"].as_str().or(schema["type"][0].as_str());
    match kind {
        Some("number" | "integer") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        Some("array") => {
            let items = schema["minItems"].as_u64().unwrap_or(1).clamp(1, 8);
            (0..items).map(|_| inner(&schema["items"])).collect()
        }
        Some("object") => object(schema, inner),
        None if schema["properties"].is_object() => object(schema, inner),
        _ => json!(text(&schema["format"])),
    }
}

fn object(schema: &Value, inner: impl Fn(&Value) -> Value) -> Value {
    let properties = schema["properties"].as_object();
    let filled = |(name, property): (&String, &Value)| (name.clone(), inner(property));
    properties
        .map(|properties| properties.iter().map(filled).collect::<Map<_, _>>())
        .unwrap_or_default()
        .into()
}

fn text(format: &Value) -> &'static str {
    match format.as_str() {
        Some("date") => "2026-01-01",
        Some("date-time") => "2026-01-01T00:00:00Z",
        Some("email") => "simulator@example.com",
        Some("uri") => "https://example.com/",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        _ => "simulator",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_has_every_property_of_a_nested_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "day": {"type": "string", "format": "date"},
                "kind": {"enum": ["bug", "wish"]},
                "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 2},
                "score": {"type": ["number", "null"], "minimum": 3},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            "$defs": {"step": {"type": "object", "properties": {"done": {"type": "boolean"}}}},
        });
        let expected = json!({"name": "simulator", "day": "2026-01-01", "kind": "bug", "score": 3, "note": "simulator",
            "steps": [{"done": true}, {"done": true}]});
        assert_eq!(fill(&schema), expected);
    }

    #[test]
    fn schema_that_contains_itself_ends() {
        let schema = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
        assert!(
            fill(&schema).to_string().ends_with("null}}}}}}}}}"),
            "{}",
            fill(&schema)
        );
        assert_eq!(fill(&json!({})), "simulator");
        assert_eq!(fill(&json!({"type": "object"})), json!({}));
    }
}
