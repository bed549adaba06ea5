//! Usage report as an invoice is held against it: every class that vendors bill apart has a column, in JSON and CSV, and the columns
//! are the sums over the request log, before and after a restart.

use serde_json::{Value, json};

use super::listed;
use crate::budget::vendor_responses::Vendor;
use crate::harness::hello;
use crate::harness::process::Gatekeeper;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

/// Columns of the report, and of the usage of a record.
const COLUMNS: [&str; 8] = [
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "image_tokens",
    "audio_tokens",
    "searches",
];

fn message() -> Script {
    let advice = json!({"type": "advisor_message", "model": "claude-opus-5", "input_tokens": 2_000, "output_tokens": 200});
    let usage = json!({"input_tokens": 1_000, "output_tokens": 90, "cache_read_input_tokens": 7,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens_details": {"thinking_tokens": 40}, "iterations": [advice],
        "server_tool_use": {"web_search_requests": 3}});
    Script::json(
        200,
        &json!({"id": "a", "type": "message", "role": "assistant", "model": "claude-haiku-5-5", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "hi"}], "usage": usage}),
    )
}

fn pictures() -> Script {
    let usage = json!({"promptTokenCount": 100, "candidatesTokenCount": 50, "thoughtsTokenCount": 6,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 25}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 44}]});
    Vendor::Gemini.respond(false, &Vendor::Gemini.usage_member(&usage.to_string()))
}

fn counts(row: &Value) -> Vec<u64> {
    let count = |name: &&str| row[*name].as_u64().expect(name);
    COLUMNS.iter().map(count).collect()
}

#[test]
fn usage_report_has_a_column_for_every_class_of_an_invoice() {
    let upstream = Upstream::start();
    let gemini = listed("gemini", &upstream).base_url(&upstream.url());
    let mut gatekeeper = Gatekeeper::without_providers()
        .provider(&listed("anthropic", &upstream))
        .provider(&gemini)
        .start();
    let team = gatekeeper.team(&json!({"name": "open"}));
    let key = gatekeeper.key_of(&team);
    let user = gatekeeper.user(&key);
    for _ in 0..2 {
        upstream.respond_with(message());
        user.messages(&hello("claude-haiku-5-5")).assert_status(200);
        upstream.respond_with(pictures());
        user.chat(&hello("gemini-3.8-flash")).assert_status(200);
    }
    let expected = [
        ("claude-haiku-5-5", [2_074, 14, 180, 60, 80, 0, 0, 6], 4_400),
        ("gemini-3.8-flash", [200, 0, 112, 0, 12, 88, 50, 0], 0),
    ];
    let path = "/v1/usage?start=2000-01-01&end=2100-01-01&group_by=model";
    for restarted in [false, true] {
        if restarted {
            gatekeeper.restart();
        }
        let rows = gatekeeper.requests();
        gatekeeper.usage();
        let report = gatekeeper.admin().get(path).assert_status(200).json();
        for (model, sums, second) in expected {
            let is_model = |row: &&Value| row["model"] == model;
            let data = report["data"].as_array().expect("rows");
            let row = data.iter().find(is_model).expect(model);
            assert_eq!(counts(row), sums, "{model} {restarted}");
            assert_eq!(row["second_model_tokens"], second, "{row}");
            let mut of_records = vec![0; COLUMNS.len()];
            for record in rows.iter().filter(is_model) {
                let usage = counts(&record["usage"]);
                of_records
                    .iter_mut()
                    .zip(usage)
                    .for_each(|(sum, count)| *sum += count);
            }
            assert_eq!(of_records, sums, "{model}");
        }
        let csv = gatekeeper.admin().with("accept", "text/csv").get(path);
        let text = csv.assert_status(200).text();
        let cost = report["data"].as_array().expect("rows").iter();
        let cost = cost.clone().find(|row| row["model"] == "claude-haiku-5-5");
        let cost = cost
            .and_then(|row| row["cost_usd"].as_str())
            .expect("a cost");
        let line = format!("claude-haiku-5-5,2,0,2074,14,180,{cost},60,80,0,0,6,4400,");
        // quantiles of latency follow
        let mut lines = text.lines();
        assert!(
            lines.any(|found| found.starts_with(&line)),
            "{line}\n{text}"
        );
    }
}
