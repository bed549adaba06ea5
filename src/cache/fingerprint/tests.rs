//! Property: every member and header counts, but for the lists.

use serde_json::{Map, Value, json};

use super::*;
use crate::dialect::{Operation, read};
use crate::domain::secret::Secret;

fn fingerprints() -> Fingerprints {
    Fingerprints::new(&SealKey::of_secret(&Secret::new("k".repeat(32))))
}

fn context() -> RequestContext<'static> {
    RequestContext {
        scope: ScopeId::Team(TeamId(1)),
        route: b"version",
        namespace: None,
        headers: &[],
        user: None,
        ignore_user: false,
    }
}

fn request(dialect: Dialect, body: &Value) -> Request {
    read(dialect, Operation::Conversation, body.to_string().into()).expect("a request")
}

fn exact(dialect: Dialect, body: &Value, context: &RequestContext<'_>) -> CacheEntryId {
    let id = fingerprints().exact(&request(dialect, body), context);
    id.expect("a fingerprint")
}

fn chat() -> Value {
    json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
        ],
        "temperature": 0.5, "top_p": 1, "max_tokens": 9, "seed": 3, "stop": ["a", "b"],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"a": {"b": [1, null]}}}}],
        "user": "u", "metadata": {"k": "v"}, "response_format": {"type": "text"}, "unknown": {"x": true}
    })
}

/// Paths of every leaf, and of every container.
fn paths(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                paths(inner, &format!("{at}/{name}"), into);
            }
        }
        Value::Array(items) => {
            for (place, inner) in items.iter().enumerate() {
                paths(inner, &format!("{at}/{place}"), into);
            }
        }
        _ => {}
    }
}

/// The same kind of value with another content.
fn changed(value: &Value) -> Value {
    match value {
        Value::Null => json!(false),
        Value::Bool(flag) => json!(!flag),
        Value::Number(number) => json!(number.as_f64().unwrap_or_default() + 1.0),
        Value::String(text) => json!(format!("{text} ")),
        Value::Array(items) => {
            let mut items = items.clone();
            items.push(json!("more"));
            Value::Array(items)
        }
        Value::Object(members) => {
            let mut members = members.clone();
            members.insert("more".into(), Value::Null);
            Value::Object(members)
        }
    }
}

/// A request of each dialect with members of every kind.
fn bodies() -> [(Dialect, Value); 3] {
    let tool = json!({"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}});
    let messages = json!({
        "model": "m", "max_tokens": 9, "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": [{"type": "text", "text": "More"}]}
        ],
        "temperature": 0.5, "top_k": 3, "stop_sequences": ["a", "b"], "tools": [tool], "tool_choice": {"type": "auto"},
        "metadata": {"user_id": "u"}, "unknown": {"x": true}
    });
    let responses = json!({
        "model": "m", "instructions": "Be brief.", "store": false, "max_output_tokens": 20,
        "input": [
            {"role": "user", "content": "Hi"},
            {"role": "user", "content": [{"type": "input_text", "text": "More"}]}
        ],
        "temperature": 0.5, "top_p": 1, "text": {"format": {"type": "text"}, "verbosity": "low"},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true}],
        "metadata": {"k": "v"}, "user": "u", "unknown": [1, null]
    });
    [
        (Dialect::Chat, chat()),
        (Dialect::Messages, messages),
        (Dialect::Responses, responses),
    ]
}

/// Fingerprint of a body that a change may have made invalid, which no cache sees.
fn exact_if_valid(dialect: Dialect, body: &Value) -> Option<CacheEntryId> {
    let read = read(dialect, Operation::Conversation, body.to_string().into()).ok()?;
    fingerprints().exact(&read, &context())
}

#[test]
fn any_change_of_a_member_changes_the_fingerprint() {
    for (dialect, body) in bodies() {
        let before = exact(dialect, &body, &context());
        let mut all = Vec::new();
        paths(&body, "", &mut all);
        let mut tried = 0;
        for path in all.iter().filter(|path| !path.is_empty()) {
            let mut other = body.clone();
            let value = other.pointer_mut(path).expect("a path");
            *value = changed(value);
            let Some(after) = exact_if_valid(dialect, &other) else {
                continue;
            };
            tried += 1;
            assert_ne!(after, before, "{dialect:?} {path}");
        }
        assert!(tried > 25, "{tried} changes of {dialect:?}");
    }
}

#[test]
fn added_or_removed_member_changes_the_fingerprint() {
    for (dialect, body) in bodies() {
        let before = exact(dialect, &body, &context());
        for member in [
            "logit_bias",
            "presence_penalty",
            "prompt_cache_key",
            "service_tier",
            "anything",
        ] {
            let mut other = body.clone();
            other[member] = json!("x");
            let after = exact_if_valid(dialect, &other);
            assert_ne!(after, Some(before), "{dialect:?} with {member}");
        }
        for (member, _) in body.as_object().expect("an object") {
            let mut other = body.clone();
            other.as_object_mut().expect("an object").remove(member);
            let after = exact_if_valid(dialect, &other);
            assert_ne!(after, Some(before), "{dialect:?} without {member}");
        }
    }
}

#[test]
fn form_of_the_answer_order_of_members_and_spelling_do_not_count() {
    let body = chat();
    let before = exact(Dialect::Chat, &body, &context());
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({"include_usage": true});
    assert_eq!(exact(Dialect::Chat, &streamed, &context()), before);
    let reversed: Vec<(String, Value)> = body
        .as_object()
        .cloned()
        .unwrap_or_default()
        .into_iter()
        .rev()
        .collect();
    let members: Vec<String> = reversed
        .iter()
        .map(|(name, value)| format!("{name:?} : {value}"))
        .collect();
    let text = format!("{{ {} }}", members.join(" ,\n"));
    let read = read(Dialect::Chat, Operation::Conversation, text.into()).expect("a request");
    assert_eq!(fingerprints().exact(&read, &context()), Some(before));
}

#[test]
fn context_counts() {
    let body = chat();
    let before = exact(Dialect::Chat, &body, &context());
    let headers = |pairs: &[(&'static str, &str)]| -> Vec<KnownHeader> {
        pairs
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect()
    };
    let ignored = headers(&[("user-agent", "a"), ("accept", "b")]);
    let with = |headers| RequestContext {
        headers,
        ..context()
    };
    assert_eq!(exact(Dialect::Chat, &body, &with(&ignored)), before);
    let beta = headers(&[("anthropic-beta", "x")]);
    let others = [
        with(&beta),
        RequestContext {
            scope: ScopeId::Team(TeamId(2)),
            ..context()
        },
        RequestContext {
            scope: ScopeId::Key(KeyId(1)),
            ..context()
        },
        RequestContext {
            scope: ScopeId::Organization(OrganizationId(1)),
            ..context()
        },
        RequestContext {
            route: b"version 2",
            ..context()
        },
        RequestContext {
            namespace: Some("n"),
            ..context()
        },
        RequestContext {
            user: Some("u"),
            ..context()
        },
    ];
    for other in others {
        assert_ne!(exact(Dialect::Chat, &body, &other), before);
    }
    let mut without: Map<String, Value> = body.as_object().cloned().unwrap_or_default();
    without.retain(|name, _| name != "tools" && name != "response_format");
    let (chat, messages) = (Value::Object(without.clone()), Value::Object(without));
    assert_ne!(
        exact(Dialect::Chat, &chat, &context()),
        exact(Dialect::Messages, &messages, &context()),
        "the dialect of the answer"
    );
}

#[test]
fn user_is_left_out_where_the_policy_ignores_it() {
    let ignoring = RequestContext {
        ignore_user: true,
        user: Some("x"),
        ..context()
    };
    let before = exact(Dialect::Chat, &chat(), &ignoring);
    let mut other = chat();
    other["user"] = json!("another");
    other["metadata"] = json!({});
    assert_eq!(exact(Dialect::Chat, &other, &ignoring), before);
}

#[test]
fn last_message_is_found_and_everything_before_it_is_kept_as_written() {
    let of = |dialect, body: &Value| {
        let request = request(dialect, body);
        last_message(&request).map(|last| (last.text, last.before.to_owned()))
    };
    let (text, before) = of(Dialect::Chat, &chat()).expect("a text");
    assert_eq!(text, "Hi");
    assert_eq!(before, r#"[{"content":"Be brief.","role":"system"},"#);
    let input = json!({"model": "m", "input": "Hello"});
    assert_eq!(
        of(Dialect::Responses, &input),
        Some(("Hello".into(), String::new()))
    );
    for last in [
        json!({"role": "assistant", "content": "x"}),
        json!({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
        json!({"role": "user", "content": "x", "name": "n"}),
    ] {
        let body = json!({"model": "m", "messages": [last]});
        assert_eq!(of(Dialect::Chat, &body), None);
    }
}

#[test]
fn namespace_leaves_out_the_last_text_only() {
    let of = |body: &Value| {
        let request = request(Dialect::Chat, body);
        let last = last_message(&request).expect("a text");
        fingerprints().namespace(&request, &context(), &last, "embedder")
    };
    let before = of(&chat());
    let mut other = chat();
    other["messages"][1]["content"] = json!("Something else");
    assert_eq!(of(&other), before);
    for path in [
        "/messages/0/content",
        "/temperature",
        "/tools/0/function/name",
        "/seed",
    ] {
        let mut other = chat();
        let value = other.pointer_mut(path).expect("a path");
        *value = changed(value);
        assert_ne!(of(&other), before, "{path}");
    }
}
