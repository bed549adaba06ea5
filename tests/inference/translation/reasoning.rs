//! Reasoning: signed thinking of Anthropic passes through, foreign thinking is removed, and the reasoning memory returns
//! signatures that a chat client cannot carry.

use serde_json::{Value, json};

use super::{SIGNATURE, SONNET, chat, deliveries, fixture, messages, sent, tool, with};
use crate::harness::golden;
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::inference::fixture::{Chat, Fixture, Messages};

#[test]
fn e08_foreign_reasoning_is_removed_for_anthropic() {
    let fixture = fixture();
    let own = json!({"type": "thinking", "thinking": "mine", "signature": SIGNATURE});
    let foreign = json!({"type": "thinking", "thinking": "theirs", "signature": ""});
    let said = |text: &str| json!({"type": "text", "text": text});
    let turn = |role: &str, content: Value| json!({"role": role, "content": content});
    let turns = |first: Value| {
        json!([
            turn("user", json!("one")),
            first,
            turn("user", json!("two")),
            turn("assistant", json!([own, said("b")])),
            turn("user", json!("three"))
        ])
    };
    let body = |turns: Value| {
        with(
            messages(json!({"messages": turns})),
            json!({"model": SONNET}),
        )
    };
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    let (sent, response) = sent(
        &fixture,
        Messages.path(),
        &body(turns(turn("assistant", json!([foreign, said("a")])))),
    );
    assert_eq!(
        sent["messages"],
        turns(turn("assistant", json!([said("a")])))
    );
    assert_eq!(response.text(), golden("anthropic/answer.json"));
}

#[test]
fn p04_signed_and_redacted_thinking_pass_through_both_ways() {
    let fixture = fixture();
    let recording = golden("anthropic/thinking_tool.sse");
    for script in deliveries(&recording) {
        fixture.upstream.respond_with(script);
        let body = with(messages(json!({"stream": true})), json!({"model": SONNET}));
        let (bytes, _) = fixture
            .user()
            .open_stream(Messages.path(), &body)
            .read_bytes();
        let parsed = String::from_utf8(bytes).expect("UTF-8").replace('\r', "");
        let parsed: Vec<&str> = parsed
            .split_inclusive('\n')
            .filter(|line| !line.starts_with(": x-gatekeeper-cost"))
            .collect();
        assert_eq!(parsed.concat(), recording);
        fixture.assert_recorded().assert_ended("ok", &[]);
    }
    let text = format!(
        r#"{{"model":"{SONNET}","max_tokens":500, "messages":[{{"role":"user","content":"one"}},{{"role":"assistant","content":[{{"type":"thinking","thinking":"hm","signature":"{SIGNATURE}"}}, {{"type":"redacted_thinking","data":"cmVk"}},{{"type":"text","text":"a"}}]}},{{"role":"user","content":"two"}}]}}"#
    );
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    fixture
        .user()
        .post_bytes(Messages.path(), text.as_bytes())
        .assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    assert_eq!(
        String::from_utf8_lossy(&fixture.upstream.last_request().body),
        text
    );
}

#[test]
fn reasoning_memory_purge_removes_entries() {
    let fixture = fixture();
    first_turn(&fixture, true);
    assert_eq!(forwarded_content(&fixture, None)[0]["type"], "thinking");
    let purged = fixture.gatekeeper.admin().delete("/v1/reasoning-memory");
    assert_eq!(
        purged.assert_status(200).json(),
        json!({"object": "purge", "entries": 1})
    );
    assert_eq!(forwarded_content(&fixture, None)[0]["type"], "text");
    first_turn(&fixture, true);
    let parsed = fixture.gatekeeper.run(&["memory", "purge"]);
    assert!(
        String::from_utf8_lossy(&parsed.stdout).starts_with("1 entries"),
        "{parsed:?}"
    );
    assert_eq!(forwarded_content(&fixture, None)[0]["type"], "text");
}

/// Second turn of a chat client, after a tool call.
fn second_turn(model: &str, id: &str, more: Value) -> Value {
    let call = json!({"id": id, "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Köln\"}"}});
    let turns = json!([
        {"role": "user", "content": "how is the weather"},
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": id, "content": "sunny"}]);
    with(
        json!({"model": model, "messages": turns, "tools": tool()}),
        more,
    )
}

const CALL: &str = "toolu_01T1x1fJ34qAmk2tNTrN7Up6";

/// First turn of a chat client with one tool call, streamed or unary.
#[track_caller]
fn first_turn(fixture: &Fixture, streamed: bool) {
    fixture
        .upstream
        .respond_with(Script::stream([golden("anthropic/thinking_tool.sse")]));
    let body = chat(
        SONNET,
        json!({"stream": true, "tools": tool(), "reasoning_effort": "high"}),
    );
    if streamed {
        fixture.user().post(Chat.path(), &body).assert_status(200);
    } else {
        let signature = json!({"type": "thinking", "thinking": "They ask for the weather 🦀.", "signature": SIGNATURE});
        let call =
            json!({"type": "tool_use", "id": CALL, "name": "weather", "input": {"city": "Köln"}});
        fixture.upstream.respond_with(Script::json(
            200,
            &json!({"id": "m", "type": "message", "content": [signature, call],
            "stop_reason": "tool_use", "usage": {"input_tokens": 10, "output_tokens": 5}}),
        ));
        fixture
            .user()
            .post(Chat.path(), &with(body, json!({"stream": false})))
            .assert_status(200);
    }
    fixture.assert_recorded().assert_ended("ok", &[]);
}

/// Sends the second turn; returns the assistant content that Anthropic received.
#[track_caller]
fn forwarded_content(fixture: &Fixture, key: Option<&crate::harness::process::Key>) -> Value {
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    let caller = key.map_or_else(|| fixture.user(), |key| fixture.gatekeeper.user(key));
    caller
        .post(
            Chat.path(),
            &second_turn(SONNET, CALL, json!({"reasoning_effort": "high"})),
        )
        .assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    let sent = fixture.upstream.last_request().json();
    assert_eq!(
        sent["messages"][2]["content"][0]["tool_use_id"], CALL,
        "{sent}"
    );
    sent["messages"][1]["content"].clone()
}

#[test]
fn e07_reasoning_signature_returns_to_anthropic_across_restart() {
    for streamed in [true, false] {
        let mut fixture = fixture();
        first_turn(&fixture, streamed);
        for restarted in [false, true] {
            if restarted {
                fixture.gatekeeper.restart();
            }
            let content = forwarded_content(&fixture, None);
            assert_eq!(
                content[0]["thinking"], "They ask for the weather 🦀.",
                "{content}"
            );
            assert!(
                content[0]["signature"]
                    .as_str()
                    .is_some_and(|signature| signature.starts_with(SIGNATURE)),
                "{content}"
            );
            assert_eq!(
                (&content[1]["type"], &content[2]["type"]),
                (&json!("text"), &json!("tool_use"))
            );
            assert!(
                fixture.upstream.last_request().json()["thinking"].is_object(),
                "thinking stays enabled"
            );
        }
    }
}

#[test]
fn reasoning_memory_is_private_to_team_and_can_be_disabled() {
    let mut fixture = fixture();
    first_turn(&fixture, true);
    let other = fixture
        .gatekeeper
        .team(&json!({"name": "other", "models": ["*"]}));
    let key = fixture.gatekeeper.key_of(&other);
    assert_eq!(forwarded_content(&fixture, Some(&key))[0]["type"], "text");
    assert!(
        fixture
            .upstream
            .last_request()
            .json()
            .get("thinking")
            .is_none(),
        "thinking is off without stored reasoning"
    );
    assert_eq!(forwarded_content(&fixture, None)[0]["type"], "thinking");

    let upstream = Upstream::start();
    let claude = Provider::anthropic("claude", &upstream).models(&[SONNET]);
    let off = Fixture::with_upstream(upstream, |setup| {
        setup
            .provider(&claude)
            .setting("[reasoning_memory]\nenabled = false")
    });
    first_turn(&off, true);
    assert_eq!(forwarded_content(&off, None)[0]["type"], "text");
    assert!(!off.gatekeeper.data.join("memory.redb").exists());
}
