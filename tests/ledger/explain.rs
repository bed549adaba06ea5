//! `gatekeeper requests explain`: cost lines of a record as text from the running server, and the sums of random requests
//! recomputed by a script that shares no code with the gateway.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::model;
use crate::harness::process::{Gatekeeper, Provider, text};
use crate::harness::script::Script;
use crate::harness::upstream::{ReceivedRequest, Upstream};
use crate::harness::{hello, pico, print_figure, print_skipped, repetitions, usd};

#[test]
fn explain_request_prints_its_cost_lines() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("eng", "1");
    let key = gatekeeper.key_of(&team);
    let answer = gatekeeper.user(&key).chat(&hello("m-small"));
    let id = answer
        .assert_status(200)
        .header("x-gatekeeper-request-id")
        .expect("an id")
        .to_owned();
    let correction = json!({"request": id, "amount": "-0.00001", "reason": "goodwill"});
    gatekeeper
        .admin()
        .post("/v1/ledger/corrections", &correction)
        .assert_status(201);
    let config = gatekeeper.config.to_str().expect("a path");
    let explain = |id: &str| gatekeeper.run(&["requests", "explain", id, "--config", config]);
    let output = explain(&id);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for expected in [
        "eng-key (key_",
        "10 × $0.000001",
        "= $0.00001\n",
        "20 × $0.000005",
        "= $0.0001\n",
        "= $0.00011\n",
        "goodwill",
        "= $-0.00001\n",
        "net cost",
        "of team eng: $1 total, blocks",
        "with at most 50 output tokens",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let unknown = explain(&format!("req_{}", "0".repeat(26)));
    let message = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        unknown.status.code() == Some(1) && message.contains("unknown request"),
        "{message}"
    );
    let invalid = explain("nonsense");
    assert_eq!(invalid.status.code(), Some(2));
}

/// Random numbers by request number, equal in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % end
    }

    /// Token count; one in eight may reach the price band of long prompts.
    fn tokens(&mut self) -> u64 {
        if self.below(8) == 0 {
            self.below(400_000)
        } else {
            self.below(5_000)
        }
    }

    fn tier(&mut self) -> Value {
        [
            json!("default"),
            json!("flex"),
            json!("priority"),
            Value::Null,
        ][self.below(4) as usize]
            .clone()
    }
}

/// Response with random usage: cached and written input, audio, reasoning, searches, tiers, long prompts.
fn random_usage(seen: &ReceivedRequest) -> Script {
    let mut random = Random(seen.number as u64);
    let body = if seen.path().ends_with("/messages") {
        messages_response(&mut random)
    } else {
        chat_response(&mut random)
    };
    Script::json(200, &body)
}

fn chat_response(random: &mut Random) -> Value {
    let (prompt, completion) = (random.tokens(), random.below(5_000));
    let cached = random.below(prompt + 1);
    let (audio_in, audio_out) = (
        random.below(prompt - cached + 1),
        random.below(completion + 1),
    );
    json!({"id": "up", "object": "chat.completion", "created": 1, "model": "m", "service_tier": random.tier(),
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": audio_in},
            "completion_tokens_details": {"reasoning_tokens": random.below(completion - audio_out + 1), "audio_tokens": audio_out}}})
}

fn messages_response(random: &mut Random) -> Value {
    let (minutes, hour) = (random.below(9_000), random.below(9_000));
    json!({"id": "up", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": random.tokens(), "output_tokens": random.below(5_000), "cache_read_input_tokens": random.tokens(),
            "cache_creation_input_tokens": minutes + hour,
            "cache_creation": {"ephemeral_5m_input_tokens": minutes, "ephemeral_1h_input_tokens": hour},
            "server_tool_use": {"web_search_requests": random.below(3)}}})
}

/// Checks that every token of a response is in exactly one cost line.
fn assert_every_token_is_counted(row: &Value) {
    let lines = row["cost_lines"].as_array().expect("lines");
    let counted = |classes: &[&str]| -> u64 {
        let lines = lines.iter().filter(|line| {
            line["class"]
                .as_str()
                .is_some_and(|class| classes.contains(&class))
        });
        lines
            .map(|line| line["count"].as_u64().expect("a count"))
            .sum()
    };
    let input = counted(&[
        "input",
        "audio_in",
        "cache_read",
        "cache_read_audio",
        "cache_write_5m",
        "cache_write_1h",
        "cache_write",
    ]);
    let output = counted(&["output", "audio_out", "image_out", "reasoning"]);
    assert_eq!(
        (json!(input), json!(output)),
        (
            row["usage"]["input_tokens"].clone(),
            row["usage"]["output_tokens"].clone()
        ),
        "{row}"
    );
}

#[test]
fn explain_random_requests_matches_independent_script() {
    if Command::new("python3").arg("--version").output().is_err() {
        return print_skipped("explain", "no python3");
    }
    let requests = repetitions("GK_EXPLAINED", 200);
    let upstream = Upstream::start();
    upstream.respond_with(Script::from_request(random_usage));
    let by_sheet = |provider: Provider| provider.priced_by("sheet").models(&[]);
    let openai = by_sheet(Provider::openai("openai", &upstream).preset("openai"));
    let anthropic = by_sheet(Provider::anthropic("anthropic", &upstream));
    let mut gatekeeper = Gatekeeper::without_providers()
        .provider(&openai)
        .provider(&anthropic)
        .start();
    let team = gatekeeper.team(&json!({"name": "eng", "models": ["*"]}));
    let key = gatekeeper.key_of(&team);
    let mut connection = gatekeeper.user(&key).connect();
    for number in 0..requests {
        let status = match number % 3 {
            0 => connection.chat(&hello("gpt-5.4")).status,
            1 => connection.chat(&hello("gpt-audio")).status,
            _ => connection.messages(&hello("claude-haiku-5-5")).status,
        };
        assert_eq!(status, 200);
    }
    let rows = gatekeeper.requests();
    rows.iter().for_each(assert_every_token_is_counted);
    for row in rows.iter().step_by(7) {
        let back = usd(-pico(&text(row, "cost_usd")) / 10);
        let body = json!({"request": row["id"], "amount": back, "reason": "a tenth back"});
        gatekeeper
            .admin()
            .post("/v1/ledger/corrections", &body)
            .assert_status(201);
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/explain.py");
    let mut explain = Command::new("python3");
    explain.env("PYTHONDONTWRITEBYTECODE", "1").args([
        script,
        &gatekeeper.url(),
        &gatekeeper.admin_key,
        &requests.to_string(),
    ]);
    let output = explain.output().expect("python3 runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        printed.trim(),
        format!("the sums of {requests} requests: passed")
    );
    let classes: std::collections::BTreeSet<String> = rows
        .iter()
        .flat_map(|row| row["cost_lines"].as_array().expect("lines"))
        .map(|line| text(line, "class"))
        .collect();
    assert!(classes.len() >= 8, "{classes:?}");
    print_figure(
        "explained sums computed once more",
        &format!(
            "{requests}, of the classes {}",
            Vec::from_iter(classes).join(" ")
        ),
    );
}
