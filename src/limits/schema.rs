//! JSON schemas inside a request, as values or written as texts: the schemas within a schema, and the limits that vendors set to them.

use super::rule::Limit;
use super::tree::Node;

/// Members whose values are schemas by name, schemas in a list, or a schema.
const BY_NAME: [&str; 4] = ["properties", "$defs", "definitions", "patternProperties"];
const IN_LIST: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
const SINGLE: [&str; 3] = ["items", "additionalProperties", "not"];

/// The schema and every schema inside it.
fn each<'n>(schema: &'n Node<'_>, found: &mut dyn FnMut(&'n Node<'n>)) {
    if !schema.is_object() {
        return;
    }
    found(schema);
    for (name, child) in schema.children() {
        let name = name.unwrap_or_default();
        if BY_NAME.contains(&name) || IN_LIST.contains(&name) {
            child.children().for_each(|(_, inner)| each(inner, found));
        } else if SINGLE.contains(&name) {
            each(child, found);
        }
    }
}

fn all<'n>(schema: &'n Node<'_>) -> Vec<&'n Node<'n>> {
    let mut found = Vec::new();
    each(schema, &mut |schema| found.push(schema));
    found
}

fn is_object(schema: &Node<'_>) -> bool {
    let kind = schema.member("type");
    let is_named = |node: &Node<'_>| node.string().as_deref() == Some("object");
    kind.is_some_and(|kind| is_named(kind) || kind.children().any(|(_, kind)| is_named(kind)))
        || schema.member("properties").is_some()
}

fn depth(schema: &Node<'_>) -> usize {
    if !schema.is_object() {
        return 0;
    }
    let deepest = schema.children().map(|(name, child)| match name {
        Some("properties" | "anyOf" | "oneOf" | "allOf") => {
            let inner = child.children().map(|(_, inner)| depth(inner));
            inner.max().unwrap_or(0)
        }
        Some("items") => depth(child),
        _ => 0,
    });
    let own = usize::from(is_object(schema) || schema.member("items").is_some());
    own + deepest.max().unwrap_or(0)
}

pub(super) fn violates(limit: &Limit, schema: &Node<'_>) -> bool {
    match schema.string() {
        Some(text) => Node::read(&text).is_some_and(|schema| exceeds(limit, &schema)),
        None => exceeds(limit, schema),
    }
}

/// Changes a schema, also one that is written as a text.
pub(super) fn change(node: &mut Node<'_>, change: impl FnOnce(&mut Node<'_>)) {
    let text = node.string().map(std::borrow::Cow::into_owned);
    let Some(text) = text else {
        return change(node);
    };
    let Some(mut schema) = Node::read(&text) else {
        return;
    };
    change(&mut schema);
    let mut written = String::with_capacity(text.len());
    schema.write(&mut written);
    node.replace(Node::text_value(&written));
}

fn exceeds(limit: &Limit, schema: &Node<'_>) -> bool {
    let properties = |schema: &Node<'_>| schema.member("properties").map_or(0, Node::size);
    match limit {
        Limit::SchemaKeywords { words, top_only } => {
            let has_word = |schema: &Node<'_>| {
                let mut names = schema.children().filter_map(|(name, _)| name);
                names.any(|name| !words.iter().any(|word| word == name))
            };
            if *top_only {
                schema.is_object() && has_word(schema)
            } else {
                all(schema).into_iter().any(has_word)
            }
        }
        Limit::AllRequired => all(schema).into_iter().any(|schema| {
            let required = schema.member("required");
            let is_required = |name: &str| {
                required.is_some_and(|required| {
                    let mut names = required.children();
                    names.any(|(_, known)| known.string().as_deref() == Some(name))
                })
            };
            schema.member("properties").is_some_and(|properties| {
                let mut names = properties.children().filter_map(|(name, _)| name);
                names.any(|name| !is_required(name))
            })
        }),
        Limit::AdditionalPropertiesFalse => all(schema).into_iter().any(is_open),
        Limit::MaxDepth(max) => depth(schema) > *max,
        Limit::MaxProperties(max) => all(schema).into_iter().map(properties).sum::<usize>() > *max,
        _ => false,
    }
}

fn is_open(schema: &Node<'_>) -> bool {
    let closed = schema.member("additionalProperties");
    is_object(schema) && closed.and_then(Node::json) != Some(false.into())
}

/// Changes the schema and every schema inside it.
pub(super) fn change_each(schema: &mut Node<'_>, change: &mut dyn FnMut(&mut Node<'_>)) {
    if !schema.is_object() {
        return;
    }
    for (name, child) in schema.change_children() {
        let name = name.unwrap_or_default();
        if BY_NAME.contains(&name) || IN_LIST.contains(&name) {
            for (_, inner) in child.change_children() {
                change_each(inner, change);
            }
        } else if SINGLE.contains(&name) {
            change_each(child, change);
        }
    }
    change(schema);
}

/// Members of a schema that a vendor takes at its top.
const TOP: [&str; 3] = ["type", "properties", "required"];
/// Bounds of a schema whose references are replaced.
const INLINED_BYTES_MAX: usize = 256 * 1024;
const INLINED_DEPTH_MAX: usize = 32;
/// In place of a definition within itself.
const ANY_OBJECT: &str = r#"{"type":"object"}"#;

/// Replaces the references to the definitions of a schema by the definitions, for a vendor that takes no definitions.
pub(super) fn inline_references(schema: &mut Node<'_>) {
    let mut inlined = Vec::new();
    {
        let definitions = Definitions(schema);
        let target = definitions.target(schema);
        for name in TOP {
            let own = schema.member(name);
            let value = own.or_else(|| target.and_then(|target| target.member(name)));
            let is_changed = own.is_none() || own.is_some_and(has_reference);
            if let Some(value) = value.filter(|_| is_changed) {
                let mut json = String::new();
                definitions.write(value, 0, &mut json);
                inlined.push((name, json));
            }
        }
    }
    for (name, json) in inlined {
        schema.set_member(name, Node::written(json));
    }
}

fn has_reference(node: &Node<'_>) -> bool {
    node.children()
        .any(|(name, child)| name == Some("$ref") || has_reference(child))
}

/// A schema as the place of its definitions.
struct Definitions<'n, 't>(&'n Node<'t>);

impl<'n, 't> Definitions<'n, 't> {
    /// Definition that a schema refers to.
    fn target(&self, schema: &Node<'_>) -> Option<&'n Node<'t>> {
        let reference = schema.member("$ref")?.string()?;
        let (place, name) = reference.strip_prefix("#/")?.split_once('/')?;
        let is_place = ["$defs", "definitions"].contains(&place);
        self.0.member(place).filter(|_| is_place)?.member(name)
    }

    fn write(&self, node: &Node<'_>, depth: usize, out: &mut String) {
        if depth > INLINED_DEPTH_MAX || out.len() > INLINED_BYTES_MAX {
            return out.push_str(ANY_OBJECT);
        }
        if node.is_array() {
            return self.write_list(node, depth, out);
        }
        if !node.is_object() {
            return node.write(out);
        }
        let target = self.target(node);
        let referred = target.into_iter().flat_map(|target| target.children());
        let referred =
            referred.filter(|(name, _)| name.is_some_and(|name| node.member(name).is_none()));
        let own = node
            .children()
            .filter(|(name, _)| target.is_none() || *name != Some("$ref"));
        out.push('{');
        for (number, (name, child)) in own.chain(referred).enumerate() {
            if number > 0 {
                out.push(',');
            }
            out.push_str(&serde_json::Value::from(name.unwrap_or_default()).to_string());
            out.push(':');
            self.write(child, depth + 1, out);
        }
        out.push('}');
    }

    fn write_list(&self, node: &Node<'_>, depth: usize, out: &mut String) {
        out.push('[');
        for (number, (_, child)) in node.children().enumerate() {
            if number > 0 {
                out.push(',');
            }
            self.write(child, depth + 1, out);
        }
        out.push(']');
    }
}

/// Moves the keywords that are not in the list into the description, where the model still reads them.
pub(super) fn describe_others(schema: &mut Node<'_>, words: &[String]) {
    let is_known = |name: &str| words.iter().any(|word| word == name);
    let others = schema.children().filter_map(|(name, value)| {
        let name = name.filter(|name| !is_known(name) && !name.starts_with('$'))?;
        Some(format!("{name}: {}", value.json()?))
    });
    let others: Vec<String> = others.collect();
    schema.retain_members(is_known);
    if others.is_empty() || !is_known("description") {
        return;
    }
    let said = schema.member("description").and_then(|said| said.string());
    let said = said.filter(|said| !said.is_empty());
    let before = said.map(|said| format!("{said} ")).unwrap_or_default();
    let description = format!("{before}({})", others.join(", "));
    schema.set_member("description", Node::text_value(&description));
}

/// Excludes further properties of an object.
pub(super) fn close(schema: &mut Node<'_>) {
    if is_open(schema) {
        schema.set_member("additionalProperties", Node::written("false".to_owned()));
    }
}
