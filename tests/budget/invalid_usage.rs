//! Usage reports that are invalid, missing, zero or above the ceiling: the call is booked and the record is flagged.

use serde_json::{Value, json};

use super::call::Call;
use crate::harness::pico;
use crate::harness::process::{Gatekeeper, Provider, text};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

/// Invalid counts as JSON.
const INVALID_COUNTS: [&str; 6] = [
    "-5",
    "9223372036854775808",
    "\"7\"",
    "null",
    "1e300",
    "12.5",
];

struct Fixture {
    upstream: Upstream,
    gatekeeper: Gatekeeper,
    key: crate::harness::process::Key,
}

impl Fixture {
    fn new(limit: &str) -> Fixture {
        let upstream = Upstream::start();
        let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
            .provider(&Provider::anthropic("claude", &upstream))
            .start();
        let team = gatekeeper.team_with_budget("eng", limit);
        let key = gatekeeper.key_of(&team);
        Fixture {
            upstream,
            gatekeeper,
            key,
        }
    }

    /// Record of a call that was served with this usage.
    fn row(&self, call: Call, usage: &str) -> Value {
        self.upstream.respond_with(if call.streamed {
            stream(call, usage)
        } else {
            unary(call, usage)
        });
        let response = call.by(&mut self.gatekeeper.user(&self.key).connect());
        assert_eq!(response.status, 200, "{usage}: {}", response.text());
        self.gatekeeper.usage();
        self.gatekeeper.requests().remove(0)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        assert!(
            !self.gatekeeper.all_output().contains("panicked"),
            "{}",
            self.gatekeeper.all_output()
        );
    }
}

fn unary(call: Call, usage: &str) -> Script {
    Script::unary(
        200,
        if call.messages {
            format!(
                r#"{{"id":"a","type":"message","role":"assistant","model":"c","content":[{{"type":"text","text":"Nothing at all."}}],"stop_reason":"end_turn"{usage}}}"#
            )
        } else {
            format!(
                r#"{{"id":"a","object":"chat.completion","model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"Nothing at all."}},"finish_reason":"stop"}}]{usage}}}"#
            )
        },
    )
}

fn stream(call: Call, usage: &str) -> Script {
    let data = |event: &str| {
        if call.messages {
            event.to_owned()
        } else {
            format!("data: {event}\n\n")
        }
    };
    if call.messages {
        let event = |name: &str, rest: &str| {
            format!("event: {name}\ndata: {{\"type\":\"{name}\"{rest}}}\n\n")
        };
        return Script::stream([
            event(
                "message_start",
                r#","message":{"id":"a","type":"message","role":"assistant","content":[],"model":"c","usage":{"input_tokens":3,"output_tokens":1}}"#,
            ),
            event(
                "content_block_start",
                r#","index":0,"content_block":{"type":"text","text":""}"#,
            ),
            event(
                "content_block_delta",
                r#","index":0,"delta":{"type":"text_delta","text":"Nothing at all."}"#,
            ),
            event("content_block_stop", r#","index":0"#),
            event(
                "message_delta",
                &format!(r#","delta":{{"stop_reason":"end_turn"}}{usage}"#),
            ),
            event("message_stop", ""),
        ]);
    }
    Script::stream([
        data(
            r#"{"id":"a","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Nothing at all."},"finish_reason":null}]}"#,
        ),
        data(
            r#"{"id":"a","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        ),
        data(&format!(
            r#"{{"id":"a","object":"chat.completion.chunk","choices":[]{usage}}}"#
        )),
        data("[DONE]"),
    ])
}

/// Usage object of the dialect with these counts.
fn usage_of(call: Call, input: &str, output: &str) -> String {
    if call.messages {
        format!(r#","usage":{{"input_tokens":{input},"output_tokens":{output}}}"#)
    } else {
        format!(
            r#","usage":{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":5}}"#
        )
    }
}

fn all_calls() -> [Call; 4] {
    [
        Call::chat(),
        Call::messages(),
        Call::chat().streamed(true),
        Call::messages().streamed(true),
    ]
    .map(|call| call.at_most(40))
}

#[test]
fn usage_invalid_is_booked_at_ceiling_and_flagged() {
    let fixture = Fixture::new("1000");
    for call in all_calls() {
        for count in INVALID_COUNTS {
            let row = fixture.row(call, &usage_of(call, "3", count));
            assert_eq!(
                row["flags"],
                json!(["lying_usage"]),
                "{call:?} {count}: {row}"
            );
            assert_eq!(
                (text(&row, "cost_usd"), text(&row, "status")),
                (text(&row, "ceiling_usd"), "ok".to_owned())
            );
        }
        let row = fixture.row(call, &usage_of(call, "-1", "3"));
        assert_eq!(
            (&row["flags"], text(&row, "cost_usd")),
            (&json!(["lying_usage"]), text(&row, "ceiling_usd")),
            "{call:?}"
        );
    }
}

#[test]
fn usage_above_ceiling_is_booked_whole_and_blocks_budget() {
    for call in all_calls() {
        let fixture = Fixture::new("0.004");
        let row = fixture.row(call, &usage_of(call, "3", "1000"));
        assert_eq!(
            (pico(&text(&row, "cost_usd")), &row["flags"]),
            (5_003_000_000, &json!(["over_ceiling"])),
            "{call:?}"
        );
        assert!(pico(&text(&row, "ceiling_usd")) < pico("0.001"));
        let user = fixture.gatekeeper.user(&fixture.key);
        assert_eq!(call.by(&mut user.connect()).status, 402);
        let team = &fixture.gatekeeper.admin().get("/v1/teams").json()["data"][0];
        assert_eq!(
            (
                text(&team["budgets"][0], "spent"),
                text(&team["budgets"][0], "remaining")
            ),
            ("0.005003".into(), "0".into())
        );
    }
}

#[test]
fn usage_missing_is_estimated_within_ceiling() {
    let fixture = Fixture::new("1000");
    for call in
        [Call::chat(), Call::messages(), Call::chat().streamed(true)].map(|call| call.at_most(40))
    {
        let row = fixture.row(call, "");
        assert_eq!(
            (&row["flags"], text(&row, "status")),
            (&json!(["estimated"]), "ok".to_owned()),
            "{call:?}"
        );
        let [cost, ceiling] = ["cost_usd", "ceiling_usd"].map(|name| pico(&text(&row, name)));
        assert!(0 < cost && cost <= ceiling, "{row}");
        // 15 bytes of text at 3 bytes per token
        assert_eq!(row["usage"]["output_tokens"], json!(5), "{row}");
    }
    // message_start has the input count, but message_delta lacks the output count
    let row = fixture.row(Call::messages().streamed(true).at_most(40), "");
    assert_eq!(
        (&row["flags"], &row["usage"]["input_tokens"]),
        (&json!(["estimated"]), &json!(3)),
        "{row}"
    );
}

#[test]
fn usage_zero_is_trusted_from_known_vendor_only() {
    let fixture = Fixture::new("1000");
    let row = fixture.row(
        Call::messages().at_most(40),
        &usage_of(Call::messages(), "0", "0"),
    );
    assert_eq!(
        (&row["flags"], text(&row, "cost_usd")),
        (&json!([]), "0".to_owned()),
        "{row}"
    );
    // zero from an unknown server is not trusted
    for call in [Call::chat(), Call::chat().streamed(true)].map(|call| call.at_most(40)) {
        let row = fixture.row(call, &usage_of(call, "0", "0"));
        assert_eq!(
            (&row["flags"], &row["usage"]["output_tokens"]),
            (&json!(["estimated"]), &json!(5)),
            "{row}"
        );
        assert!(
            row["usage"]["input_tokens"]
                .as_u64()
                .is_some_and(|tokens| tokens > 0),
            "{row}"
        );
    }
}

/// Estimated counts stay within the hold; reported counts are booked whole, even beside an estimate.
#[test]
fn usage_partial_above_ceiling_is_booked_whole() {
    let fixture = Fixture::new("1000");
    for call in [Call::chat(), Call::chat().streamed(true)].map(|call| call.at_most(40)) {
        // zero input from an unknown server is estimated
        let row = fixture.row(call, &usage_of(call, "0", "1000"));
        assert_eq!(
            (&row["flags"], text(&row, "cost_usd")),
            (&json!(["estimated", "over_ceiling"]), "0.005".to_owned()),
            "{row}"
        );
    }
    let row = fixture.row(Call::chat().at_most(40), &usage_of(Call::chat(), "0", "30"));
    let cost = pico(&text(&row, "cost_usd"));
    assert!(
        150_000_000 < cost && cost <= pico(&text(&row, "ceiling_usd")),
        "{row}"
    );
    // message_start has a large input count, then the client disconnects
    let head = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\
                \"model\":\"c\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":50000,\"output_tokens\":1}}}\n\n";
    let text_of = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\
                   \"text\":\"word \"}}\n\n";
    fixture
        .upstream
        .respond_with(Script::stream([head, text_of]).then_hangs());
    let request = Call::messages().streamed(true).at_most(40);
    let mut stream = fixture
        .gatekeeper
        .user(&fixture.key)
        .open_stream(request.path(), &request.body());
    stream.read_deltas(1);
    stream.disconnect();
    crate::harness::wait_until("the call is booked", || {
        fixture.gatekeeper.holds_open() == 0
    });
    fixture.gatekeeper.usage();
    let row = fixture.gatekeeper.requests().remove(0);
    assert_eq!(
        (&row["status"], &row["flags"]),
        (&json!("client_gone"), &json!(["estimated", "over_ceiling"])),
        "{row}"
    );
    assert!(pico(&text(&row, "cost_usd")) >= 50_000_000_000, "{row}");
}
