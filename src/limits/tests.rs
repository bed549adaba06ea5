//! The table against known refusals, and a generator: a request beyond each limit is mended or refused.

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

const REFUSALS: &str = include_str!("../../tests/golden/refusals.json");
const TABLE: &str = include_str!("../../assets/vendor-limits.json");

#[derive(Deserialize)]
struct Examples {
    refusals: Vec<Example>,
    accepted: Vec<Example>,
}

#[derive(Deserialize)]
struct Example {
    vendor: String,
    endpoint: String,
    model: String,
    request: Value,
    #[serde(default)]
    rule: String,
    #[serde(default)]
    status: u16,
}

impl Example {
    fn refusal(&self) -> Option<Violation> {
        let models = [self.model.as_str()];
        let target = Target {
            vendor: &self.vendor,
            endpoint: &self.endpoint,
            models: &models,
        };
        Table::embedded().refusal(target, &self.request.to_string())
    }
}

#[test]
fn public_refusals_are_refused_and_usual_requests_are_accepted() {
    let examples: Examples = serde_json::from_str(REFUSALS).expect("examples");
    assert!(examples.refusals.len() >= 60);
    for example in &examples.refusals {
        let refusal = example.refusal();
        assert_eq!(
            refusal.map(|refusal| refusal.status),
            Some(example.status),
            "{}",
            example.rule
        );
    }
    for example in &examples.accepted {
        assert_eq!(
            example.refusal(),
            None,
            "{} {}",
            example.vendor,
            example.model
        );
    }
}

/// Every public refusal, as the gateway sends it.
#[test]
fn public_refusals_are_mended_or_refused_before_the_call() {
    let examples: Examples = serde_json::from_str(REFUSALS).expect("examples");
    let mut mended = 0;
    for example in &examples.refusals {
        let models = [example.model.as_str()];
        let target = Target {
            vendor: &example.vendor,
            endpoint: &example.endpoint,
            models: &models,
        };
        let Fit {
            body,
            changed,
            refusal,
        } = Table::embedded().fit(target, &example.request.to_string());
        assert_eq!(body.is_some(), !changed.is_empty(), "{}", example.rule);
        if let Some(body) = &body
            && refusal.is_none()
        {
            mended += 1;
            assert!(serde_json::from_str::<Value>(body).is_ok(), "{body}");
            assert_eq!(
                Table::embedded().refusal(target, body),
                None,
                "{}",
                example.rule
            );
        }
    }
    assert!(mended * 2 > examples.refusals.len(), "{mended}");
}

/// Sets a value at a path; lists get one element.
fn put(body: &mut Value, path: &str, value: Value) {
    let mut at = body;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let name = part.trim_end_matches("[]");
        if !name.is_empty() {
            if !at.is_object() {
                *at = json!({});
            }
            let name = if name == "*" { "any" } else { name };
            at = at
                .as_object_mut()
                .expect("an object")
                .entry(name)
                .or_insert(Value::Null);
        }
        for _ in 0..(part.len() - name.len()) / 2 {
            if !at.is_array() {
                *at = json!([null]);
            }
            at = &mut at[0];
        }
    }
    *at = value;
}

/// A value beyond the limit of a row; `None` for limits on whole conversations.
fn beyond(limit: &str, value: &Value) -> Option<Value> {
    let number = || value.as_f64().expect("a number");
    let count = || value.as_u64().expect("a count") as usize;
    Some(match limit {
        "known_fields" => json!({"x_unknown": 1}),
        "refused_fields" => json!({value[0].as_str()?: 1}),
        "required" => json!({}),
        "types" if value.to_string().contains("object") => json!(true),
        "types" => json!({"x": 1}),
        "max_chars" => json!("ü".repeat(count() + 1)),
        "min_chars" => json!(""),
        "max_key_chars" => json!({"k".repeat(count() + 1): "v"}),
        "pattern" => json!("a@ b"),
        "not_blank" => json!(" \n"),
        "min" => json!(number() - 1.0),
        "max" => json!(number() + 1.0),
        "max_items" => Value::Array(vec![json!("x"); count() + 1]),
        "min_items" => json!([]),
        "one_of" => json!("x-unknown"),
        "media_types" => json!("image/x-unknown"),
        "schema_keywords" => {
            json!({"type": "object", "properties": {"a": {"type": "string", "x-unknown": 5}}})
        }
        "additional_properties_false" | "all_required" => {
            json!({"type": "object", "properties": {"a": {"type": "string"}}})
        }
        "betas" => json!(["unknown-2020-01-01"]),
        _ => return None,
    })
}

/// A model of a row, and a request to it beyond the row's limit.
fn beyond_row(row: &Value) -> Option<(String, Value)> {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let value = beyond(text("limit"), &row["value"])?;
    let model = row["models"][0].as_str().unwrap_or("m").replace('*', "");
    let mut body = json!({});
    put(&mut body, text("field"), value);
    for condition in row["when"].as_array().into_iter().flatten() {
        if condition["absent"] != true {
            let value = condition["values"].get(0).cloned().unwrap_or(json!({}));
            put(
                &mut body,
                condition["field"].as_str().expect("a path"),
                value,
            );
        }
    }
    Some((model, body))
}

#[test]
fn request_beyond_each_limit_is_mended_with_its_name_or_refused_with_a_reason() {
    let file: Value = serde_json::from_str(TABLE).expect("the table");
    let (mut mended, mut refused) = (0, 0);
    for row in file["rules"].as_array().expect("rules") {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let Some((model, body)) = beyond_row(row) else {
            continue;
        };
        let models = [model.as_str()];
        let target = Target {
            vendor: text("vendor"),
            endpoint: text("endpoint"),
            models: &models,
        };
        let Fit {
            body: fitted,
            changed,
            refusal,
        } = Table::embedded().fit(target, &body.to_string());
        assert_eq!(fitted.is_some(), !changed.is_empty(), "{row}");
        match refusal {
            Some(refusal) => {
                assert!(!refusal.reason.is_empty());
                refused += 1;
            }
            None => {
                let sent = fitted.unwrap_or(body.to_string());
                assert_eq!(Table::embedded().refusal(target, &sent), None, "{row}");
                mended += 1;
            }
        }
    }
    assert!(
        mended > 300 && refused > 50,
        "{mended} mended, {refused} refused"
    );
}

#[test]
fn parts_without_violation_keep_their_bytes() {
    let body = r#"{"model":"gpt-4.1", "temperature": 1.50e0,"user":"U","messages":[ {"role":"user","content":"\u00e9 x"} ]}"#;
    let sent = body.replace("\"U\"", &format!("\"{}\"", "u".repeat(65)));
    let target = Target {
        vendor: "openai",
        endpoint: "chat",
        models: &["gpt-4.1"],
    };
    let fit = Table::embedded().fit(target, &sent);
    assert_eq!(fit.changed, ["user"]);
    let fitted = fit.body.expect("changed");
    let user = serde_json::from_str::<Value>(&fitted).expect("JSON")["user"].clone();
    assert_eq!(user.as_str().map(str::len), Some(24));
    assert!(fitted.contains(r#""temperature":1.50e0"#), "{fitted}");
    assert!(
        fitted.contains(r#"[ {"role":"user","content":"\u00e9 x"} ]"#),
        "{fitted}"
    );
    assert!(Table::embedded().fit(target, body).body.is_none());
}

/// A table of one row and nothing else.
fn alone(row: &Value) -> Table {
    let file = json!({"same_as": {}, "rules": [row]});
    Table::read(&file.to_string()).expect("a table")
}

#[test]
fn believed_row_never_refuses_and_names_what_it_changes() {
    let file: Value = serde_json::from_str(TABLE).expect("the table");
    let rows = file["rules"].as_array().expect("rows");
    let (mut judged, mut changing) = (0, 0);
    for row in rows
        .iter()
        .filter(|row| row["source"]["kind"] == "believed")
    {
        let Some((model, body)) = beyond_row(row) else {
            continue;
        };
        let models = [model.as_str()];
        let target = Target {
            vendor: row["vendor"].as_str().expect("a vendor"),
            endpoint: row["endpoint"].as_str().expect("an endpoint"),
            models: &models,
        };
        let table = alone(row);
        assert_eq!(table.refusal(target, &body.to_string()), None, "{row}");
        let fit = table.fit(target, &body.to_string());
        assert_eq!(fit.refusal, None, "{row}");
        assert_eq!(fit.body.is_some(), !fit.changed.is_empty(), "{row}");
        judged += 1;
        changing += usize::from(fit.body.is_some());
        // the same row with a source refuses what no remedy mends, or had to be mended
        let mut sourced = row.clone();
        sourced["source"]["kind"] = json!("doc");
        let fit = alone(&sourced).fit(target, &body.to_string());
        assert!(
            fit.body.is_some() || fit.refusal.is_some() || row["limit"] == "ignored_fields",
            "{row}"
        );
    }
    assert!(
        judged > 100 && changing > 80,
        "{judged} judged, {changing} change"
    );
}

fn fitted((vendor, endpoint): (&str, &str), model: &str, body: &Value) -> Fit {
    let models = [model];
    let target = Target {
        vendor,
        endpoint,
        models: &models,
    };
    Table::embedded().fit(target, &body.to_string())
}

#[test]
fn lone_text_becomes_the_list_that_a_vendor_wants_without_a_name() {
    let fit = fitted(("together", "chat"), "m", &json!({"stop": "END"}));
    assert_eq!(fit.body.as_deref(), Some(r#"{"stop":["END"]}"#));
    assert_eq!((fit.changed.len(), fit.refusal), (0, None));
}

#[test]
fn rules_of_another_vendor_hold_beside_own_rules_of_the_same_kind() {
    let body = json!({"frequency_penalty": 1, "logit_bias": {}, "stop": ["x"]});
    let fit = fitted(("azure", "chat"), "gpt-5.2", &body);
    assert_eq!(fit.refusal, None);
    for name in ["frequency_penalty", "logit_bias", "stop"] {
        assert!(fit.changed.iter().any(|changed| changed == name), "{name}");
    }
}

#[test]
fn conversation_that_a_stateless_vendor_never_kept_is_refused_and_not_left_out() {
    let body = json!({"input": "go", "previous_response_id": "resp_1"});
    let fit = fitted(("deepseek", "responses"), "deepseek-flash", &body);
    assert_eq!((fit.body, fit.changed.len()), (None, 0));
    assert!(fit.refusal.is_some());
}
