//! Usage reports that are impossible, missing, empty or larger than what was held: money is booked all the same, and the
//! record says what to think of it.

use serde_json::{Value, json};

use super::call::Call;
use crate::harness::pico;
use crate::harness::process::{Gatekeeper, Provider, text};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

/// As they stand in JSON.
const LIES: [&str; 6] = [
    "-5",
    "9223372036854775808",
    "\"7\"",
    "null",
    "1e300",
    "12.5",
];

struct House {
    upstream: Upstream,
    gatekeeper: Gatekeeper,
    key: crate::harness::process::Key,
}

impl House {
    fn new(limit: &str) -> House {
        let upstream = Upstream::start();
        let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
            .provider(&Provider::anthropic("claude", &upstream))
            .start();
        let team = gatekeeper.team_with_budget("eng", limit);
        let key = gatekeeper.key_of(&team);
        House {
            upstream,
            gatekeeper,
            key,
        }
    }

    /// The row of a call that was served with this usage.
    fn row(&self, call: Call, usage: &str) -> Value {
        self.upstream.respond_with(if call.streamed {
            stream(call, usage)
        } else {
            whole(call, usage)
        });
        let answer = call.by(&mut self.gatekeeper.user(&self.key).connect());
        assert_eq!(answer.status, 200, "{usage}: {}", answer.text());
        self.gatekeeper.usage();
        self.gatekeeper.requests().remove(0)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        assert!(
            !self.gatekeeper.all_output().contains("panicked"),
            "{}",
            self.gatekeeper.all_output()
        );
    }
}

fn whole(call: Call, usage: &str) -> Script {
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
    let said = |event: &str| {
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
        said(
            r#"{"id":"a","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Nothing at all."},"finish_reason":null}]}"#,
        ),
        said(
            r#"{"id":"a","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        ),
        said(&format!(
            r#"{{"id":"a","object":"chat.completion.chunk","choices":[]{usage}}}"#
        )),
        said("[DONE]"),
    ])
}

/// A usage member with this output count, in the words of the dialect.
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
fn an_impossible_report_is_booked_at_the_hold_and_flagged() {
    let house = House::new("1000");
    for call in all_calls() {
        for lie in LIES {
            let row = house.row(call, &usage_of(call, "3", lie));
            assert_eq!(
                row["flags"],
                json!(["lying_usage"]),
                "{call:?} {lie}: {row}"
            );
            assert_eq!(
                (text(&row, "cost_usd"), text(&row, "status")),
                (text(&row, "ceiling_usd"), "ok".to_owned())
            );
        }
        let row = house.row(call, &usage_of(call, "-1", "3"));
        assert_eq!(
            (&row["flags"], text(&row, "cost_usd")),
            (&json!(["lying_usage"]), text(&row, "ceiling_usd")),
            "{call:?}"
        );
    }
}

#[test]
fn a_bill_above_the_ceiling_is_booked_whole_flagged_and_blocks() {
    for call in all_calls() {
        let house = House::new("0.004");
        let row = house.row(call, &usage_of(call, "3", "1000"));
        assert_eq!(
            (pico(&text(&row, "cost_usd")), &row["flags"]),
            (5_003_000_000, &json!(["over_ceiling"])),
            "{call:?}"
        );
        assert!(pico(&text(&row, "ceiling_usd")) < pico("0.001"));
        let user = house.gatekeeper.user(&house.key);
        assert_eq!(call.by(&mut user.connect()).status, 402);
        let team = &house.gatekeeper.admin().get("/v1/teams").json()["data"][0];
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
fn a_missing_report_is_estimated_within_the_hold() {
    let house = House::new("1000");
    for call in
        [Call::chat(), Call::messages(), Call::chat().streamed(true)].map(|call| call.at_most(40))
    {
        let row = house.row(call, "");
        assert_eq!(
            (&row["flags"], text(&row, "status")),
            (&json!(["estimated"]), "ok".to_owned()),
            "{call:?}"
        );
        let [cost, ceiling] = ["cost_usd", "ceiling_usd"].map(|name| pico(&text(&row, name)));
        assert!(0 < cost && cost <= ceiling, "{row}");
        // 15 bytes of text at 3 bytes a token
        assert_eq!(row["usage"]["output_tokens"], json!(5), "{row}");
    }
    // the head of a messages stream has counted the input, but the last word on the output is missing
    let row = house.row(Call::messages().streamed(true).at_most(40), "");
    assert_eq!(
        (&row["flags"], &row["usage"]["input_tokens"]),
        (&json!(["estimated"]), &json!(3)),
        "{row}"
    );
}

#[test]
fn a_report_of_zero_is_trusted() {
    let house = House::new("1000");
    let row = house.row(
        Call::messages().at_most(40),
        &usage_of(Call::messages(), "0", "0"),
    );
    assert_eq!(
        (&row["flags"], text(&row, "cost_usd")),
        (&json!([]), "0".to_owned()),
        "{row}"
    );
    // of a server that nobody knows it is not
    for call in [Call::chat(), Call::chat().streamed(true)].map(|call| call.at_most(40)) {
        let row = house.row(call, &usage_of(call, "0", "0"));
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

/// What is estimated takes no more than was held; what is reported is booked whole, whatever is estimated beside it.
#[test]
fn a_reported_side_above_the_ceiling_is_booked_whole_though_the_other_is_estimated() {
    let house = House::new("1000");
    for call in [Call::chat(), Call::chat().streamed(true)].map(|call| call.at_most(40)) {
        // zero input is believed of nobody here
        let row = house.row(call, &usage_of(call, "0", "1000"));
        assert_eq!(
            (&row["flags"], text(&row, "cost_usd")),
            (&json!(["estimated", "over_ceiling"]), "0.005".to_owned()),
            "{row}"
        );
    }
    let row = house.row(Call::chat().at_most(40), &usage_of(Call::chat(), "0", "30"));
    let cost = pico(&text(&row, "cost_usd"));
    assert!(
        150_000_000 < cost && cost <= pico(&text(&row, "ceiling_usd")),
        "{row}"
    );
    // the head of a messages stream has counted a large input, then the client goes away
    let head = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\
                \"model\":\"c\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":50000,\"output_tokens\":1}}}\n\n";
    let text_of = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\
                   \"text\":\"word \"}}\n\n";
    house
        .upstream
        .respond_with(Script::stream([head, text_of]).then_hangs());
    let asking = Call::messages().streamed(true).at_most(40);
    let mut stream = house
        .gatekeeper
        .user(&house.key)
        .open_stream(asking.path(), &asking.body());
    stream.read_deltas(1);
    stream.disconnect();
    crate::harness::wait_until("it is booked", || house.gatekeeper.holds_open() == 0);
    house.gatekeeper.usage();
    let row = house.gatekeeper.requests().remove(0);
    assert_eq!(
        (&row["status"], &row["flags"]),
        (&json!("client_gone"), &json!(["estimated", "over_ceiling"])),
        "{row}"
    );
    assert!(pico(&text(&row, "cost_usd")) >= 50_000_000_000, "{row}");
}
