//! A JSON value that fits a JSON schema: for structured outputs and for the arguments of tool calls. The same schema gives the same
//! value.

use serde_json::{Map, Value, json};

/// Depth from which the shortest value is taken, so that a schema that contains itself ends.
const SHALLOW: u8 = 4;
const DEPTH_MAX: u8 = 16;
const ITEMS_MAX: u64 = 8;
const TEXT_CHARS_MAX: u64 = 200;
const WORD: &str = "simulator ";

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
        if let Some(choices) = schema[choices].as_array() {
            return choice(choices, depth).map_or(Value::Null, inner);
        }
    }
    match kind(schema) {
        Some("integer" | "number") => number(schema),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        Some("array") => {
            let default = u64::from(depth < SHALLOW);
            let items = schema["minItems"].as_u64().unwrap_or(default);
            (0..items.min(ITEMS_MAX))
                .map(|at| {
                    inner(
                        schema["prefixItems"]
                            .get(at as usize)
                            .unwrap_or(&schema["items"]),
                    )
                })
                .collect()
        }
        Some("object") => object(schema, inner),
        None if schema["properties"].is_object() => object(schema, inner),
        _ => json!(text(schema)),
    }
}

/// The first alternative, far inside `null` if it is one of them.
fn choice(choices: &[Value], depth: u8) -> Option<&Value> {
    let is_null = |choice: &&Value| choice["type"] == "null";
    let shortest = choices.iter().find(is_null).filter(|_| depth >= SHALLOW);
    shortest.or(choices.first())
}

fn kind(schema: &Value) -> Option<&str> {
    schema["type"].as_str().or(schema["type"][0].as_str())
}

/// 1, or the number next to it within the bounds.
fn number(schema: &Value) -> Value {
    let least = match (&schema["minimum"], &schema["exclusiveMinimum"]) {
        (Value::Number(least), _) => least.as_f64(),
        (_, Value::Number(below)) => below.as_f64().map(|below| below + 1.0),
        _ => None,
    };
    let most = schema["maximum"].as_f64();
    let bounded = 1f64.max(least.unwrap_or(1.0)).min(most.unwrap_or(f64::MAX));
    if bounded.fract() == 0.0 {
        json!(bounded as i64)
    } else {
        json!(bounded)
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

fn text(schema: &Value) -> String {
    let text = match schema["format"].as_str() {
        Some("date") => "2026-01-01",
        Some("date-time") => "2026-01-01T00:00:00Z",
        Some("time") => "00:00:00Z",
        Some("email") => "simulator@example.com",
        Some("uri") => "https://example.com/",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        _ => WORD.trim_end(),
    };
    let least = schema["minLength"].as_u64().unwrap_or(0);
    let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
    let chars = (text.len() as u64).max(least.min(TEXT_CHARS_MAX)).min(most);
    let filler = WORD.chars().cycle().skip(text.len());
    text.chars().chain(filler).take(chars as usize).collect()
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
                "share": {"type": "number", "maximum": 0.5},
                "code": {"type": "string", "minLength": 12, "maxLength": 12},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            "$defs": {"step": {"type": "object", "properties": {"done": {"type": "boolean"}}}},
        });
        let expected = json!({"name": "simulator", "day": "2026-01-01", "kind": "bug", "score": 3, "share": 0.5,
            "code": "simulator si", "note": "simulator", "steps": [{"done": true}, {"done": true}]});
        assert_eq!(fill(&schema), expected);
    }

    #[test]
    fn schema_that_contains_itself_ends_at_its_shortest_value() {
        let next = json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]});
        let schema = json!({"type": "object", "properties": {"next": next}});
        let filled = fill(&schema).to_string();
        assert!(filled.ends_with("{\"next\":null}}"), "{filled}");
        let endless = fill(&json!({"type": "object", "properties": {"next": {"$ref": "#"}}}));
        assert!(endless.to_string().contains("null"), "{endless}");
        assert_eq!(fill(&json!({})), "simulator");
        assert_eq!(fill(&json!({"type": "object"})), json!({}));
    }
}
