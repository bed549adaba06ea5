//! Twelve calls at once under a budget that blocks: whatever the tier, tool, second model, region or own price, the spend never
//! exceeds the limit, and every call that ran is within its ceiling.

use std::thread;

use serde_json::{Value, json};

use super::{listed, start};
use crate::harness::process::{Provider, text};
use crate::harness::script::Script;
use crate::harness::upstream::{ReceivedRequest, Upstream};
use crate::harness::{hello, pico};

const CALLS: usize = 12;

/// Answers with the dearest usage that the request allows.
fn dearest(request: &ReceivedRequest) -> Script {
    let body = request.json();
    let prompt = body.to_string().len() as u64;
    if request.path().ends_with("/messages") {
        let has_tool = |name: &str| body["tools"][0]["name"] == name;
        let advice = json!({"type": "advisor_message", "model": "claude-opus-5", "input_tokens": 10_000, "output_tokens": 1_000});
        let iterations = if has_tool("advisor") {
            json!([advice])
        } else {
            json!([])
        };
        let searches = if has_tool("web_search") { 2 } else { 0 };
        let usage = json!({"input_tokens": prompt, "output_tokens": 50, "speed": body["speed"],
            "inference_geo": body["inference_geo"], "iterations": iterations,
            "server_tool_use": {"web_search_requests": searches}});
        return Script::json(
            200,
            &json!({"id": "a", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
                "content": [{"type": "text", "text": "hi"}], "usage": usage}),
        );
    }
    if request.path().ends_with("/converse") {
        let usage = json!({"inputTokens": prompt, "outputTokens": 50, "totalTokens": prompt + 50});
        return Script::json(
            200,
            &json!({"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": "end_turn",
                "usage": usage}),
        );
    }
    let usage = json!({"prompt_tokens": prompt, "completion_tokens": 50, "total_tokens": prompt + 50,
        "completion_tokens_details": {"reasoning_tokens": 40}, "cost": 0.001});
    let message = json!({"role": "assistant", "content": "hi"});
    Script::json(
        200,
        &json!({"id": "a", "object": "chat.completion", "model": "m", "service_tier": body["service_tier"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}),
    )
}

fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

/// Name, dialect, request and limit of each race.
fn cases() -> Vec<(&'static str, bool, Value, &'static str)> {
    let advisor = json!([{"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-5", "max_uses": 1,
        "max_tokens": 1_000}]);
    let search = json!([{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}]);
    let opus = || hello("claude-opus-5");
    vec![
        (
            "tier",
            false,
            with(hello("gpt-5.1"), "service_tier", json!("priority")),
            "0.003",
        ),
        ("own price", false, hello("gpt-4.1"), "1.2"),
        ("search model", false, hello("gpt-4o-search-preview"), "0.4"),
        (
            "region",
            false,
            hello("bedrock/meta.llama3-70b-instruct-v1:0"),
            "0.004",
        ),
        (
            "speed",
            true,
            with(
                with(opus(), "speed", json!("fast")),
                "inference_geo",
                json!("us"),
            ),
            "0.04",
        ),
        ("tool", true, with(opus(), "tools", search), "40"),
        (
            "second model",
            true,
            with(hello("claude-haiku-5-5"), "tools", advisor),
            "20",
        ),
    ]
}

/// The upstream reports more than the request allowed: everything is booked, and the row says so.
#[test]
fn report_beyond_the_bounds_of_the_request_is_booked_and_flagged() {
    let upstream = Upstream::start();
    upstream.respond_with(Script::from_request(|request| {
        let prompt = request.json().to_string().len() as u64;
        let advice = json!({"type": "advisor_message", "model": "claude-opus-5", "input_tokens": 900_000_000, "output_tokens": 9});
        let usage = json!({"input_tokens": prompt, "output_tokens": 50, "iterations": [advice]});
        Script::json(
            200,
            &json!({"id": "a", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
                "content": [{"type": "text", "text": "hi"}], "usage": usage}),
        )
    }));
    let (mut gatekeeper, _) = start(&[listed("anthropic", &upstream)], "1");
    let team = gatekeeper.team_with_budget("lied to", "20");
    let key = gatekeeper.key_of(&team);
    let (_, _, body, _) = cases().pop().expect("the case with a second model");
    gatekeeper.user(&key).messages(&body).assert_status(200);
    gatekeeper.usage();
    let row = gatekeeper.requests().remove(0);
    assert_eq!(row["flags"], json!(["over_ceiling"]), "{row}");
    assert!(pico(&text(&row, "cost_usd")) > pico("20"), "{row}");
    let refused = gatekeeper.user(&key).messages(&body);
    assert_eq!(refused.status, 402, "{}", refused.text());
}

#[test]
fn twelve_calls_at_once_never_spend_more_than_the_limit() {
    let upstream = Upstream::start();
    upstream.respond_with(Script::from_request(dearest));
    let bedrock = Provider::openai("bedrock", &upstream)
        .preset("bedrock")
        .priced_by("sheet")
        .models(&[])
        .base_url(&upstream.url())
        .line("region = \"eu-west-2\"");
    let openai = listed("openai", &upstream).line(
        "[providers.openai.prices.\"gpt-4.1\"]\ninput = \"1000\"\noutput = \"9000\"\nreasoning = \"20000\"\nper_request = \"0.01\"",
    );
    let providers = [openai, listed("anthropic", &upstream), bedrock];
    let (mut gatekeeper, _) = start(&providers, "1");
    for (name, is_messages, body, limit) in cases() {
        let team = gatekeeper.team_with_budget(name, limit);
        let key = gatekeeper.key_of(&team);
        let statuses: Vec<u16> = thread::scope(|scope| {
            let call = || {
                let user = gatekeeper.user(&key);
                let answer = if is_messages {
                    user.messages(&body)
                } else {
                    user.chat(&body)
                };
                answer.status
            };
            let calls: Vec<_> = (0..CALLS).map(|_| scope.spawn(call)).collect();
            calls
                .into_iter()
                .map(|call| call.join().expect("a call"))
                .collect()
        });
        let served = statuses.iter().filter(|status| **status == 200).count();
        assert!(served > 0, "{name}: {statuses:?}");
        gatekeeper.usage();
        let shown = gatekeeper
            .admin()
            .get(&format!("/v1/teams/{}", team.id))
            .json();
        let spent = pico(&text(&shown["budgets"][0], "spent"));
        assert!(spent <= pico(limit), "{name}: {spent} over {limit}");
        let rows = gatekeeper.requests();
        let rows: Vec<&Value> = rows
            .iter()
            .filter(|row| row["team"] == json!(team.id))
            .collect();
        assert_eq!(rows.len(), served, "{name}");
        for row in rows {
            assert!(
                pico(&text(row, "cost_usd")) <= pico(&text(row, "ceiling_usd")),
                "{name} {row}"
            );
            assert!(
                !row["flags"].to_string().contains("over_ceiling"),
                "{name} {row}"
            );
        }
    }
}
