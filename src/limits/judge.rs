//! Verdict of a rule on a body: the values that violate it. The specification of the kinds is `tests/limits/check.py`.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use super::path::{Path, Trail};
use super::rule::{Condition, Limit, Rule};
use super::schema;
use super::tree::Node;

/// Trails of the values that violate the rule, in the order of the body.
pub(super) fn violations(rule: &Rule, body: &Node<'_>) -> Vec<Trail> {
    if matches!(rule.limit, Limit::IgnoredFields | Limit::OnlyAt(_)) {
        return Vec::new();
    }
    let mut judged = rule.field.trails(body);
    judged.retain(|trail| {
        let mut conditions = rule.when.iter();
        conditions.all(|condition| holds(condition, body, &rule.field, trail))
    });
    if rule.first_only {
        let mut arrays: Vec<Trail> = Vec::new();
        judged.retain(|trail| {
            let array = trail[..trail.len().saturating_sub(1)].to_vec();
            let is_first = !arrays.contains(&array);
            arrays.push(array);
            is_first
        });
    }
    if let Limit::MaxCount { max, per } = rule.limit {
        return surplus(judged, max, per);
    }
    judged.retain(|trail| {
        body.at(trail)
            .is_some_and(|value| violates(rule, value, trail, body))
    });
    judged
}

/// Values beyond the count of each element; the last ones are kept.
fn surplus(judged: Vec<Trail>, max: usize, per: usize) -> Vec<Trail> {
    let mut counts: HashMap<Trail, usize> = HashMap::new();
    let element = |trail: &Trail| trail[..per.min(trail.len())].to_vec();
    for trail in &judged {
        *counts.entry(element(trail)).or_default() += 1;
    }
    let mut removed: HashMap<Trail, usize> = HashMap::new();
    judged
        .into_iter()
        .filter(|trail| {
            let key = element(trail);
            let surplus = counts.get(&key).copied().unwrap_or(0).saturating_sub(max);
            let removed = removed.entry(key).or_default();
            let is_surplus = *removed < surplus;
            *removed += usize::from(is_surplus);
            is_surplus
        })
        .collect()
}

pub(super) fn holds(condition: &Condition, body: &Node<'_>, own: &Path, trail: &[usize]) -> bool {
    let found = condition.field.bound(body, own, trail);
    let is_met = match &condition.values {
        Some(values) => found.iter().any(|node| is_one_of(node, values)),
        None => !found.is_empty(),
    };
    is_met != condition.absent
}

fn is_one_of(node: &Node<'_>, values: &[Value]) -> bool {
    values.iter().any(|value| match value {
        Value::String(text) => node.string().as_deref() == Some(text),
        Value::Number(number) => node.number().is_some() && node.number() == number.as_f64(),
        other => node.json().as_ref() == Some(other),
    })
}

fn violates(rule: &Rule, value: &Node<'_>, trail: &[usize], body: &Node<'_>) -> bool {
    let text = |fails: &dyn Fn(&str) -> bool| value.string().is_some_and(|text| fails(&text));
    let number = |fails: &dyn Fn(f64) -> bool| value.number().is_some_and(fails);
    let names = |fails: &dyn Fn(&str) -> bool| {
        value.is_object() && value.children().any(|(name, _)| name.is_some_and(fails))
    };
    match &rule.limit {
        Limit::KnownFields(known) => names(&|name| !known.iter().any(|known| known == name)),
        Limit::RefusedFields(refused) => refused.iter().any(|name| value.member(name).is_some()),
        Limit::Required(required) => {
            value.is_object() && required.iter().any(|name| value.member(name).is_none())
        }
        Limit::Types(kinds) => !kinds.iter().any(|kind| kind == value.kind()),
        Limit::MaxChars(max) => text(&|text| text.len() > *max && text.chars().count() > *max),
        Limit::MinChars(min) => text(&|text| text.chars().count() < *min),
        Limit::MaxKeyChars(max) => names(&|name| name.chars().count() > *max),
        Limit::Pattern(pattern) => text(&|text| !pattern.is_match(text)),
        Limit::NotBlank => text(&|text| text.trim().is_empty()),
        Limit::Min(min) => number(&|number| number < *min),
        Limit::Max(max) => number(&|number| number > *max),
        Limit::LessThan(path) => number(&|number| {
            let others = path.bound(body, &rule.field, trail);
            others
                .iter()
                .filter_map(|other| other.number())
                .any(|other| number >= other)
        }),
        Limit::MaxItems(max) => value.size() > *max,
        Limit::MinItems(min) => value.size() < *min,
        Limit::OneOf(values) => !is_one_of(value, values),
        Limit::MediaTypes(types) => {
            text(&|text| media_type(text).is_some_and(|media| !types.contains(&media)))
        }
        Limit::MaxBytes(max) => data_bytes(value) > *max,
        Limit::NotWith(conditions) => conditions
            .iter()
            .any(|condition| holds(condition, body, &rule.field, trail)),
        Limit::FirstOneOf(roles) => role_at(value, true).is_some_and(|role| !has(roles, &role)),
        Limit::LastOneOf(roles) => role_at(value, false).is_some_and(|role| !has(roles, &role)),
        Limit::NotAfter(order) => !misplaced(value, order).is_empty(),
        Limit::Betas(known) => value.children().any(|(_, beta)| {
            beta.string()
                .is_some_and(|beta| !known.iter().any(|known| *known == beta))
        }),
        Limit::SchemaKeywords { .. }
        | Limit::AllRequired
        | Limit::AdditionalPropertiesFalse
        | Limit::MaxDepth(_)
        | Limit::MaxProperties(_) => schema::violates(&rule.limit, value),
        Limit::MaxCount { .. } | Limit::IgnoredFields | Limit::OnlyAt(_) => false,
    }
}

fn has(roles: &[String], role: &str) -> bool {
    roles.iter().any(|known| known == role)
}

fn role_at<'n>(messages: &'n Node<'_>, is_first: bool) -> Option<Cow<'n, str>> {
    let mut messages = messages.children().map(|(_, message)| message);
    let message = if is_first {
        messages.next()
    } else {
        messages.last()
    };
    message?.member("role")?.string()
}

/// Numbers of the messages whose role must not follow the one before.
pub(super) fn misplaced(messages: &Node<'_>, order: &HashMap<String, Vec<String>>) -> Vec<usize> {
    let role = |message: &Node<'_>| {
        let role = message.member("role").and_then(|role| role.string());
        role.map(Cow::into_owned).unwrap_or_default()
    };
    let roles: Vec<String> = messages.children().map(|(_, node)| role(node)).collect();
    let pairs = roles.windows(2).enumerate();
    pairs
        .filter(|(_, pair)| {
            order
                .get(&pair[0])
                .is_some_and(|after| has(after, &pair[1]))
        })
        .map(|(number, _)| number + 1)
        .collect()
}

/// Media type of a data URL, or the text itself; `None` for another URL, which is not judged.
fn media_type(text: &str) -> Option<String> {
    match text.strip_prefix("data:") {
        Some(rest) => {
            let end = rest.find([';', ',']).unwrap_or(rest.len());
            Some(rest[..end].to_ascii_lowercase())
        }
        None if text.contains("://") => None,
        None => Some(text.to_ascii_lowercase()),
    }
}

/// Bytes of base64 data, of a data URL's payload, or of the written value.
fn data_bytes(value: &Node<'_>) -> usize {
    let Some(text) = value.string() else {
        return value.bytes();
    };
    let payload = match text.strip_prefix("data:") {
        Some(rest) => rest.split_once(',').map_or("", |(_, payload)| payload),
        None => &text,
    };
    payload.len() * 3 / 4
}
