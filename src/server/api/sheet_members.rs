//! Members of the embedded price sheet: each one that changes changes a cost, a ceiling or what `/v1/prices` shows. A member that
//! nothing reads fails, unless it is listed here with the reason.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::domain::input_bound::InputBound;
use crate::domain::server_tool::ServerTool;
use crate::domain::usage::Usage;
use crate::gateway::PricedModel;
use crate::price::{Price, PricingContext, Sheet};
use crate::server::api::providers::price_json;

const SHEET: &str = include_str!("../../../assets/prices.json");

/// Members that are kept for readers of the file, by a part of their path.
const UNREAD: [(&str, &str); 10] = [
    ("per_", "no endpoint is billed by the query or page"),
    (
        "_per_",
        "no endpoint is billed by the image, pixel, character, second or page",
    ),
    ("sizes[]", "no endpoint makes images or videos by size"),
    ("endpoints.", "endpoints that the gateway does not serve"),
    (
        ".free.",
        "an allowance of the vendor's account, whose use a gateway cannot see",
    ),
    ("head.unit", "explanation"),
    ("head.source", "explanation"),
    ("head.fees[].from", "origin of a figure"),
    ("head.fees[guardrail", "no response reports guardrails"),
    (
        "head.fees[file_search_storage",
        "no response reports storage",
    ),
];

/// Rows in which a member of one kind is tried.
const ROWS_MAX: usize = 24;

#[test]
fn member_of_the_price_sheet_that_nothing_reads_is_listed_with_its_reason() {
    let sheet: Value = serde_json::from_str(SHEET).expect("JSON");
    let mut kinds: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
    let rows = sheet["models"].as_array().expect("rows");
    for (at, row) in rows.iter().enumerate() {
        let mut add = |kind: String, path: String| {
            let found = kinds.entry(kind).or_default();
            if found.len() < ROWS_MAX {
                found.push((at, path));
            }
        };
        walk(row, "", "", &mut add);
    }
    assert!(kinds.len() > 150, "{}", kinds.len());
    let mut unread: Vec<String> = kinds
        .iter()
        .filter(|(_, found)| {
            !found
                .iter()
                .any(|(at, path)| is_read(&sheet, &rows[*at], path))
        })
        .map(|(kind, _)| kind.clone())
        .collect();
    unread.extend(unread_of_head(&sheet));
    let is_listed = |kind: &&String| UNREAD.iter().any(|(part, _)| kind.contains(part));
    let unlisted: Vec<&String> = unread.iter().filter(|kind| !is_listed(kind)).collect();
    assert!(unlisted.is_empty(), "nothing reads {unlisted:?}");
    for (part, reason) in UNREAD {
        let is_unread = unread.iter().any(|kind| kind.contains(part));
        assert!(is_unread, "{part} ({reason}) is read, or not there");
    }
}

/// Calls `add` with kind and path of each leaf: names of places and positions are left out of the kind.
fn walk(value: &Value, kind: &str, path: &str, add: &mut impl FnMut(String, String)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let shown = if kind.ends_with("regions") {
                    "PLACE"
                } else {
                    name
                };
                let dot = if kind.is_empty() { "" } else { "." };
                walk(
                    member,
                    &format!("{kind}{dot}{shown}"),
                    &format!("{path}/{name}"),
                    add,
                );
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                walk(item, &format!("{kind}[]"), &format!("{path}/{at}"), add);
            }
        }
        Value::Null => {}
        // the key of a row
        _ if ["provider", "model"].contains(&kind) => {}
        _ => add(kind.to_owned(), path.to_owned()),
    }
}

/// Another value of the same form.
fn other(path: &str, value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_u64().map_or(7, |count| count * 3 + 1)),
        Value::String(text) => match (path.rsplit('/').next(), text.as_str()) {
            (Some("per"), "prompt") => json!("call"),
            (Some("per"), _) => json!("prompt"),
            (Some("mode"), "chat") => json!("embedding"),
            (Some("mode"), _) => json!("chat"),
            _ if text.parse::<f64>().is_ok() => json!("997.25"),
            _ => json!("changed"),
        },
        other => other.clone(),
    }
}

fn is_read(sheet: &Value, row: &Value, path: &str) -> bool {
    let mut changed = row.clone();
    let leaf = changed.pointer_mut(path).expect("a path of the row");
    *leaf = other(path, leaf);
    let fees = fees_of(sheet, row);
    observed(&fees, row, path) != observed(&fees, &changed, path)
}

/// Fees of the head for the provider of a row.
fn fees_of(sheet: &Value, row: &Value) -> Value {
    let fees = sheet["fees"].as_array().expect("fees").iter();
    fees.filter(|fee| fee["provider"] == row["provider"])
        .cloned()
        .collect()
}

fn unread_of_head(sheet: &Value) -> Vec<String> {
    let mut unread = Vec::new();
    for (name, value) in sheet.as_object().expect("a sheet") {
        let is_shown = name == "as_of" && Sheet::embedded().as_of == *value;
        if !["fees", "models"].contains(&name.as_str()) && !is_shown {
            unread.push(format!("head.{name}"));
        }
    }
    for (at, fee) in sheet["fees"].as_array().expect("fees").iter().enumerate() {
        let is_provider =
            |row: &&Value| row["provider"] == fee["provider"] && row["mode"] == "chat";
        let rows = sheet["models"].as_array().expect("rows").iter();
        let rows: Vec<&Value> = rows.filter(is_provider).take(ROWS_MAX).collect();
        for (member, new) in [("usd", "3"), ("per", "session"), ("from", "x")] {
            let is_read = rows.iter().any(|row| {
                let mut fees = sheet["fees"].clone();
                fees[at][member] = json!(new);
                if fee[member] == new {
                    fees[at][member] = json!("call");
                }
                let with = |fees: Value| observed(&fees_of(&json!({"fees": fees}), row), row, "");
                with(sheet["fees"].clone()) != with(fees)
            });
            if !is_read {
                let tool = fee["tool"].as_str().expect("a tool");
                let named = if member == "from" { "" } else { tool };
                unread.push(format!("head.fees[{named}].{member}"));
            }
        }
    }
    unread
}

/// Costs and ceilings of a row at the places of the path, at every tier, and its facts as `/v1/prices` shows them.
fn observed(fees: &Value, row: &Value, path: &str) -> String {
    let text = json!({"fees": fees, "models": [row]}).to_string();
    let Ok(sheet) = Sheet::parse(&text) else {
        return "refused".to_owned();
    };
    let of = |member: &str| row[member].as_str().expect(member);
    let found = sheet.find(of("provider"), of("model")).expect("the row");
    let price = Price::Sheet(found.clone());
    let mut seen = String::new();
    for place in places(row, path) {
        let context = PricingContext {
            place: place.as_deref(),
            ..PricingContext::default()
        };
        observe_costs(&price, context, &mut seen);
    }
    let shown = PricedModel {
        name: found.model.clone(),
        provider: found.vendor.clone(),
        model: found.model.clone(),
        source: "sheet",
        rates: price.base_rates(None),
        context: price.context(),
        max_output: price.max_output(),
        place: None,
        row: Some(Arc::clone(&found)),
    };
    seen + &price_json(&shown, true).to_string()
}

/// No place, those of OpenAI's hosts, and the place that a path names or lists.
fn places(row: &Value, path: &str) -> Vec<Option<String>> {
    let mut places: Vec<Option<String>> = vec![None];
    places.extend(["eu", "us", "gov"].map(|place| Some(place.to_owned())));
    let mut parts = path.split('/').skip(1);
    match parts.next() {
        Some("regions") => places.extend(parts.next().map(|place| Some(place.to_owned()))),
        Some("regions_at_base") => {
            let listed = row["regions_at_base"].as_array().into_iter().flatten();
            places.extend(listed.map(|place| place.as_str().map(str::to_owned)));
        }
        _ => {}
    }
    places
}

const TIERS: [&str; 7] = [
    "standard",
    "batch",
    "flex",
    "priority",
    "ultrafast",
    "fast",
    "inference_geo=us",
];

fn observe_costs(price: &Price, context: PricingContext<'_>, seen: &mut String) {
    for tier in TIERS {
        for tokens in [1_000, 60_000] {
            let bill = price.cost(&usage(tokens, tier), context);
            let bill = bill.map(|bill| (bill.total, bill.rates_estimated, words(&bill.lines)));
            write!(seen, "{bill:?}").expect("a text");
        }
    }
    for images in [0, 2] {
        let bound = InputBound {
            text_bytes: 1_000,
            images,
            audio: images > 0,
            ..InputBound::default()
        };
        for tier in TIERS {
            let context = PricingContext {
                tier: Some(tier),
                ..context
            };
            write!(seen, "{:?}", price.ceiling(&bound, 100, 1, context)).expect("a text");
        }
    }
}

fn words(lines: &[crate::domain::cost_line::CostLine]) -> String {
    lines.iter().map(ToString::to_string).collect()
}

/// Every class of tokens, a search and two uses of every tool.
fn usage(tokens: u64, tier: &str) -> Usage {
    Usage {
        uncached_in: tokens * 4,
        cache_read: tokens * 3,
        cache_write_5m: tokens,
        cache_write_1h: tokens,
        cache_write_12h: tokens,
        cache_write_other: tokens,
        out_total: tokens * 5,
        reasoning: tokens,
        audio_in: tokens,
        audio_cached: tokens,
        audio_out: tokens,
        image_in: tokens,
        image_cached: tokens,
        image_out: tokens,
        web_searches: 1,
        tools: ServerTool::ALL.map(|tool| (tool, 2)).to_vec(),
        service_tier: Some(tier.to_owned()),
        ..Usage::default()
    }
}
