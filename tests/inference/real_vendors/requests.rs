//! Requests within the limits of the vendors that get them, at the endpoints that their models need.

use serde_json::{Value, json};

use super::{chat, chat_tools, claude_tools, dropped, fixture, messages, say, taken, with};
use crate::harness::script::Script;
use crate::inference::matrix::{Client, Say, TEXT};

#[test]
fn tools_with_reasoning_go_to_responses_where_chat_refuses_them() {
    let fixture = fixture();
    say(&fixture, Say::Thoughts, false);
    let thinking = json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}, "tools": claude_tools()});
    for model in ["openai/gpt-5.4", "azure/gpt-5.4", "openai/gpt-5.6"] {
        let (sent, response) = taken(
            &fixture,
            Client::Messages,
            &messages(model, thinking.clone()),
        );
        assert!(
            fixture
                .upstream
                .last_request()
                .path()
                .ends_with("/responses")
        );
        assert_eq!(
            sent["reasoning"],
            json!({"effort": "high", "summary": "auto"})
        );
        assert_eq!(sent["tools"][0]["name"], "look");
        let view = Client::Messages.parse(&response, false);
        assert!(
            !view.reasoning.is_empty() && !view.text.is_empty(),
            "{view:?}"
        );
        let body = chat(
            model,
            json!({"reasoning_effort": "low", "tools": chat_tools()}),
        );
        taken(&fixture, Client::Chat, &body);
        assert!(
            fixture
                .upstream
                .last_request()
                .path()
                .ends_with("/responses")
        );
    }
    let body = messages("openai/gpt-5.4", json!({"tools": claude_tools()}));
    say(&fixture, Say::Text, false);
    taken(&fixture, Client::Messages, &body);
    assert!(
        fixture
            .upstream
            .last_request()
            .path()
            .ends_with("/chat/completions")
    );
}

#[test]
fn models_served_at_responses_alone_work_from_chat_and_messages_clients() {
    let fixture = fixture();
    for model in ["openai/gpt-5.3-codex", "openai/o3-pro"] {
        for streamed in [false, true] {
            for client in [Client::Chat, Client::Messages] {
                let body = match client {
                    Client::Chat => chat(model, json!({"stream": streamed})),
                    _ => messages(
                        model,
                        json!({"stream": streamed, "thinking": {"type": "adaptive"}}),
                    ),
                };
                say(&fixture, Say::Text, streamed);
                let (_, response) = taken(&fixture, client, &body);
                assert!(
                    fixture
                        .upstream
                        .last_request()
                        .path()
                        .ends_with("/responses")
                );
                assert_eq!(client.parse(&response, streamed).text, TEXT);
                fixture.assert_recorded().assert_ended("ok", &[]);
            }
        }
    }
}

#[test]
fn reasoning_items_return_to_responses_sealed() {
    let fixture = fixture();
    let model = "openai/gpt-5.4";
    let thinking = json!({"thinking": {"type": "adaptive"}, "tools": claude_tools(), "output_config": {"effort": "low"}});
    fixture.upstream.respond_with(Script::json(200, &json!({"id": "resp_1", "object": "response", "status": "completed", "model": "gpt-5.4",
        "output": [
            {"type": "reasoning", "id": "rs_7", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "c2VjcmV0"},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": "{\"at\":\"x\"}", "status": "completed"},
        ],
        "usage": {"input_tokens": 5, "output_tokens": 9, "total_tokens": 14}})));
    let (_, response) = taken(
        &fixture,
        Client::Messages,
        &messages(model, thinking.clone()),
    );
    let content = response.json()["content"].clone();
    assert_eq!(content[0]["thinking"], "hm");
    assert!(
        !content[0]["signature"]
            .as_str()
            .expect("a signature")
            .contains("c2VjcmV0")
    );
    let result =
        json!([{"type": "tool_result", "tool_use_id": content[1]["id"], "content": "seen"}]);
    let turns = json!([{"role": "user", "content": "go"}, {"role": "assistant", "content": content}, {"role": "user", "content": result}]);
    let body = with(messages(model, thinking), json!({"messages": turns}));
    let (sent, _) = taken(&fixture, Client::Messages, &body);
    assert_eq!(sent["input"][1]["encrypted_content"], "c2VjcmV0");
    assert_eq!(sent["input"][1]["id"], "rs_7");
    assert_eq!(sent["input"][2]["call_id"], sent["input"][3]["call_id"]);
}

#[test]
fn betas_that_bedrock_does_not_take_are_dropped_with_their_members() {
    let fixture = fixture();
    say(&fixture, Say::Text, false);
    let cache = json!({"type": "ephemeral", "scope": "global"});
    let tool = json!({"name": "look", "input_schema": {"type": "object", "properties": {}}, "defer_loading": true});
    let more = json!({"context_management": {"edits": []}, "tools": [tool],
        "system": [{"type": "text", "text": "s", "cache_control": cache}]});
    let user = fixture.user().with(
        "anthropic-beta",
        "claude-code-20250219, context-1m-2025-08-07",
    );
    let response = user.post(
        "/v1/messages",
        &messages("bedrock/anthropic.claude-opus-4-6-v1", more.clone()),
    );
    response.assert_status(200);
    let sent = fixture.upstream.last_request().json();
    assert_eq!(sent["anthropic_beta"], json!(["context-1m-2025-08-07"]));
    assert!(
        sent["context_management"].is_null() && sent["tools"][0]["defer_loading"].is_null(),
        "{sent}"
    );
    assert_eq!(
        sent["system"][0]["cache_control"],
        json!({"type": "ephemeral"})
    );
    let named = dropped(&response).join(" ");
    for name in [
        "claude-code-20250219",
        "context_management",
        "defer_loading",
        "scope",
    ] {
        assert!(named.contains(name), "{name} in {named}");
    }
    let response = user.post(
        "/v1/messages",
        &messages("bedrock/anthropic.claude-opus-4-7-v1", more),
    );
    response.assert_status(200);
    assert!(fixture.upstream.last_request().json()["anthropic_beta"].is_null());
}

#[test]
fn end_user_of_messages_becomes_a_short_stable_pseudonym() {
    let fixture = fixture();
    say(&fixture, Say::Text, false);
    let account = "user_0123456789abcdef_account_11111111-2222-3333-4444-555555555555_session_"
        .to_owned()
        + &"0".repeat(90);
    let mut seen = Vec::new();
    for model in [
        "openai/gpt-4.1",
        "openai/gpt-4.1",
        "openrouter/openai/gpt-4.1",
    ] {
        let body = messages(model, json!({"metadata": {"user_id": account}}));
        let (sent, response) = taken(&fixture, Client::Messages, &body);
        let user = sent["user"].as_str().expect("a user").to_owned();
        assert!(user.len() <= 64 && !user.contains("1111"), "{user}");
        assert_eq!(dropped(&response), ["metadata.user_id"]);
        seen.push(user);
    }
    assert!(seen.iter().all(|user| *user == seen[0]), "{seen:?}");
    // a short one is an account of another vendor too
    let short = json!({"metadata": {"user_id": "account_11111111-2222"}});
    let (sent, _) = taken(
        &fixture,
        Client::Messages,
        &messages("openai/gpt-4.1", short),
    );
    assert!(!sent["user"].to_string().contains("1111"), "{sent}");
}

#[test]
fn output_cap_above_the_models_maximum_is_lowered_and_stated() {
    let fixture = fixture();
    say(&fixture, Say::Text, false);
    let body = with(
        messages("openai/gpt-4.1", json!({})),
        json!({"max_tokens": 64_000}),
    );
    let (sent, response) = taken(&fixture, Client::Messages, &body);
    assert_eq!(sent["max_completion_tokens"], 32_768);
    assert_eq!(response.header("x-gatekeeper-output-cap"), Some("32768"));
    let record = fixture.assert_recorded();
    assert_eq!(record.0["output_cap"], 32_768);
    // 32,768 tokens at $5 per million, not 64,000
    let ceiling = crate::harness::pico(record.0["ceiling_usd"].as_str().expect("a ceiling"));
    assert!(
        (163_840_000_000..170_000_000_000).contains(&ceiling),
        "{}",
        record.0
    );
}

#[test]
fn image_label_follows_the_first_bytes() {
    const JPEG: &str = "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////";
    let fixture = fixture();
    say(&fixture, Say::Text, false);
    for label in ["image/jpg", "", "application/octet-stream", "image/png"] {
        let part = json!({"type": "image_url", "image_url": {"url": format!("data:{label};base64,{JPEG}")}});
        let from_chat = json!({"messages": [{"role": "user", "content": [part]}]});
        let block = json!({"type": "image", "source": {"type": "base64", "media_type": label, "data": JPEG}});
        let from_messages = json!({"messages": [{"role": "user", "content": [block]}]});
        for (client, model, at, expected) in [
            (
                Client::Chat,
                "anthropic/claude-sonnet-4-6",
                "/messages/0/content/0/source/media_type",
                "image/jpeg",
            ),
            (
                Client::Chat,
                "gemini/gemini-2.5-flash",
                "/contents/0/parts/0/inlineData/mimeType",
                "image/jpeg",
            ),
            (
                Client::Chat,
                "bedrock/amazon.nova-pro-v1:0",
                "/messages/0/content/0/image/format",
                "jpeg",
            ),
            (
                Client::Messages,
                "openai/gpt-4.1",
                "/messages/0/content/0/image_url/url",
                "data:image/jpeg",
            ),
            (
                Client::Messages,
                "openai/gpt-5.3-codex",
                "/input/0/content/0/image_url",
                "data:image/jpeg",
            ),
        ] {
            let body = match client {
                Client::Chat => chat(model, from_chat.clone()),
                _ => messages(model, from_messages.clone()),
            };
            let (sent, _) = taken(&fixture, client, &body);
            let sent = sent.pointer(at).and_then(Value::as_str);
            let sent = sent.unwrap_or_default().split(';').next();
            assert_eq!(sent, Some(expected), "{label:?} to {model}");
        }
    }
}

#[test]
fn stop_sequences_for_models_that_take_none_are_left_out_and_named() {
    let fixture = fixture();
    say(&fixture, Say::Text, false);
    let (sent, response) = taken(
        &fixture,
        Client::Messages,
        &messages("openai/o4-mini", json!({"stop_sequences": ["x"]})),
    );
    assert!(sent["stop"].is_null());
    assert_eq!(dropped(&response), ["stop_sequences"]);
    // at /responses no model takes any
    for (client, body) in [
        (
            Client::Messages,
            messages("openai/gpt-5.3-codex", json!({"stop_sequences": ["x"]})),
        ),
        (
            Client::Chat,
            chat("openai/gpt-5.3-codex", json!({"stop": ["x", "y"]})),
        ),
    ] {
        let (sent, response) = taken(&fixture, client, &body);
        assert!(sent["stop"].is_null());
        assert!(
            dropped(&response)[0].starts_with("stop"),
            "{:?}",
            dropped(&response)
        );
    }
}

#[test]
fn reasoning_in_a_history_is_taken_out_or_added_as_the_vendor_wants_it() {
    let fixture = fixture();
    say(&fixture, Say::Text, false);
    let history = |reasoning: Value| {
        json!({"tools": chat_tools(), "messages": [
        {"role": "user", "content": "go"},
        with(json!({"role": "assistant", "content": null, "tool_calls": [{"id": "abcdefgh1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]}), reasoning),
        {"role": "tool", "tool_call_id": "abcdefgh1", "content": "seen"}]})
    };
    for model in ["mistral/mistral-medium-3-5", "groq/openai/gpt-oss-120b"] {
        let body = chat(model, history(json!({"reasoning_content": "hm"})));
        let (sent, response) = taken(&fixture, Client::Chat, &body);
        assert!(sent["messages"][1]["reasoning_content"].is_null());
        assert_eq!(dropped(&response), ["messages.reasoning_content"]);
    }
    let (sent, _) = taken(
        &fixture,
        Client::Chat,
        &chat("deepseek/deepseek-reasoner", history(json!({}))),
    );
    assert!(sent["messages"][1]["reasoning_content"].is_string());
}

#[test]
fn effort_none_disables_thinking_where_the_model_takes_it() {
    let fixture = fixture();
    say(&fixture, Say::Text, false);
    let (sent, _) = taken(
        &fixture,
        Client::Chat,
        &chat(
            "anthropic/claude-opus-4-7",
            json!({"reasoning_effort": "none"}),
        ),
    );
    assert_eq!(sent["thinking"], json!({"type": "disabled"}));
    let body = chat(
        "bedrock/anthropic.claude-opus-4-7-v1",
        json!({"reasoning_effort": "none"}),
    );
    let (sent, _) = taken(&fixture, Client::Chat, &body);
    let thinking = &sent["additionalModelRequestFields"]["thinking"];
    assert_eq!(*thinking, json!({"type": "disabled"}));
    // this model always thinks
    let body = chat(
        "anthropic/claude-sonnet-5-5",
        json!({"reasoning_effort": "none"}),
    );
    let (sent, response) = taken(&fixture, Client::Chat, &body);
    assert_ne!(sent["thinking"]["type"], "disabled");
    assert_eq!(dropped(&response), ["reasoning_effort"]);
}

#[test]
fn cache_hint_on_a_chat_message_or_request_is_kept_on_the_last_part() {
    let fixture = fixture();
    say(&fixture, Say::Text, false);
    let hint = json!({"type": "ephemeral"});
    let turns = json!([{"role": "system", "content": "s", "cache_control": hint}, {"role": "user", "content": "go"}]);
    let body = chat(
        "anthropic/claude-sonnet-4-6",
        json!({"messages": turns, "cache_control": hint}),
    );
    let (sent, response) = taken(&fixture, Client::Chat, &body);
    assert_eq!(sent["system"][0]["cache_control"], hint);
    assert_eq!(sent["messages"][0]["content"][0]["cache_control"], hint);
    assert!(dropped(&response).is_empty());
}

#[test]
fn instructions_after_the_last_turn_reach_mistral_as_the_users() {
    let fixture = fixture();
    say(&fixture, Say::Text, false);
    let result = json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "seen"}]},
        {"role": "system", "content": "be short"},
    ]);
    for turns in [
        json!([{"role": "user", "content": "go"}, {"role": "system", "content": "be short"}]),
        result,
    ] {
        let body = with(
            messages(
                "mistral/mistral-medium-3-5",
                json!({"tools": claude_tools()}),
            ),
            json!({"messages": turns}),
        );
        let (sent, response) = taken(&fixture, Client::Messages, &body);
        let last = sent["messages"]
            .as_array()
            .and_then(|turns| turns.last())
            .cloned();
        let last = last.expect("a turn");
        assert_eq!(last["role"], "user", "{sent}");
        assert!(last["content"].to_string().contains("be short"), "{sent}");
        assert_eq!(dropped(&response), ["messages"]);
    }
}

/// Of a vendor's own clients too, and of bodies that are only fitted; the change is named, and no `unsupported = "error"` forbids it.
#[test]
fn image_label_follows_the_first_bytes_where_a_body_is_not_translated() {
    const JPEG: &str = "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////";
    let fixture = fixture();
    say(&fixture, Say::Text, false);
    for label in ["image/jpg", "", "application/octet-stream", "image/png"] {
        let url = format!("data:{label};base64,{JPEG}");
        let source = json!({"type": "base64", "media_type": label, "data": JPEG});
        let block = json!({"type": "image", "source": source});
        let part = json!({"type": "image_url", "image_url": {"url": url}});
        let item = json!({"type": "input_image", "image_url": url});
        for (client, field, content, model) in [
            (
                Client::Messages,
                "messages",
                &block,
                "anthropic/claude-sonnet-4-6",
            ),
            (
                Client::Messages,
                "messages",
                &block,
                "bedrock/anthropic.claude-opus-4-6-v1",
            ),
            (Client::Chat, "messages", &part, "openai/gpt-4.1"),
            (
                Client::Chat,
                "messages",
                &part,
                "mistral/mistral-medium-3-5",
            ),
            (Client::Chat, "messages", &part, "openai_compatible/local"),
            (Client::Responses, "input", &item, "openai/gpt-5.4"),
        ] {
            let mut body = json!({"model": model, field: [{"role": "user", "content": [content]}]});
            if client == Client::Messages {
                body["max_tokens"] = json!(2_000);
            }
            let (sent, response) = taken(&fixture, client, &body);
            let right = |text: &str| text.replace(label, "image/jpeg");
            let written = sent[field][0]["content"][0].to_string();
            let expected = match client {
                Client::Messages => {
                    let mut block = block.clone();
                    block["source"]["media_type"] = json!("image/jpeg");
                    block.to_string()
                }
                _ if label.is_empty() => content.to_string().replace("data:;", "data:image/jpeg;"),
                _ => right(&content.to_string()),
            };
            assert_eq!(written, expected, "{model}");
            assert_eq!(dropped(&response).len(), 1, "{model} {label}");
        }
    }
}

#[test]
fn chat_for_mistral_gets_its_ids_roles_and_order() {
    let fixture = fixture();
    say(&fixture, Say::Text, false);
    let turns = json!([
        {"role": "developer", "content": "be short"},
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "call_0123456789", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_0123456789", "content": "seen"},
        {"role": "user", "content": "so"},
    ]);
    let (sent, _) = taken(
        &fixture,
        Client::Chat,
        &chat(
            "mistral/mistral-medium-3-5",
            json!({"messages": turns, "tools": chat_tools()}),
        ),
    );
    let sent = &sent["messages"];
    assert_eq!(sent[0]["role"], "system");
    assert_eq!(sent[2]["tool_calls"][0]["id"], sent[3]["tool_call_id"]);
    assert_eq!(sent[3]["tool_call_id"].as_str().map(str::len), Some(9));
    assert_eq!(
        (&sent[4]["role"], &sent[5]["role"]),
        (&json!("assistant"), &json!("user"))
    );
}
