//! What an upstream says of its usage, in every dialect, to every client, whole and streamed: what is impossible is flagged and
//! booked at the hold, what is missing is estimated, and what is above the ceiling is booked whole.

use serde_json::{Value, json};

use super::vendors::{CONVERSATIONS, Client, TEXT, VENDORS, Vendor, frame, named};
use crate::harness::process::{Gatekeeper, Key, text};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{pico, wait_until};

/// A gateway before one account at each vendor.
struct House {
    upstream: Upstream,
    gatekeeper: Gatekeeper,
    key: Key,
}

impl House {
    fn opens() -> House {
        let upstream = Upstream::start();
        let setup = Gatekeeper::without_providers().ledger("segment_mb = 1");
        let mut gatekeeper = VENDORS
            .iter()
            .fold(setup, |setup, vendor| {
                setup.provider(&vendor.provider(&upstream))
            })
            .start();
        let team = gatekeeper.team_with_budget("eng", "1000");
        let key = gatekeeper.key_of(&team);
        House {
            upstream,
            gatekeeper,
            key,
        }
    }

    /// The row of a call that was served with this usage.
    #[track_caller]
    fn row(&self, call: Call, usage: &str) -> Value {
        let (client, vendor, streamed) = call;
        let answer = self.asked(call, vendor.answers(streamed, usage));
        assert_eq!(answer.status, 200, "{call:?} {usage}: {}", answer.text());
        assert!(
            client == Client::Embeddings || answer.text().contains(TEXT),
            "{call:?} {usage}: {}",
            answer.text()
        );
        self.last_row()
    }

    fn asked(
        &self,
        (client, vendor, streamed): Call,
        script: Script,
    ) -> crate::harness::client::Response {
        self.upstream.respond_with(script);
        self.gatekeeper
            .user(&self.key)
            .post(client.path(), &client.asking(vendor, streamed))
    }

    fn last_row(&self) -> Value {
        self.gatekeeper.usage();
        self.gatekeeper.requests().remove(0)
    }
}

type Call = (Client, Vendor, bool);

fn all_calls() -> Vec<Call> {
    let of = |vendor: &'static Vendor| {
        let manners = vendor.manners().iter();
        manners.flat_map(|streamed| {
            vendor
                .clients()
                .iter()
                .map(|client| (*client, *vendor, *streamed))
        })
    };
    VENDORS.iter().flat_map(of).collect()
}

#[track_caller]
fn is_booked_at_the_hold(row: &Value, what: &str) {
    assert_eq!(
        (&row["flags"], text(row, "status")),
        (&json!(["lying_usage"]), "ok".to_owned()),
        "{what}: {row}"
    );
    assert_eq!(
        text(row, "cost_usd"),
        text(row, "ceiling_usd"),
        "{what}: {row}"
    );
    assert!(pico(&text(row, "cost_usd")) > 0, "{what}: {row}");
}

/// Flagged or not, with so many tokens in and out; `None` is an estimate, of 5 tokens for what was said.
#[track_caller]
fn is_booked(row: &Value, input: Option<u64>, output: Option<u64>, what: &str) {
    let flags = if input.is_none() || output.is_none() {
        json!(["estimated"])
    } else {
        json!([])
    };
    assert_eq!(
        (&row["flags"], text(row, "status")),
        (&flags, "ok".to_owned()),
        "{what}: {row}"
    );
    let [told_in, told_out] =
        ["input_tokens", "output_tokens"].map(|name| row["usage"][name].as_u64().expect("a count"));
    match input {
        Some(input) => assert_eq!(told_in, input, "{what}: {row}"),
        None => assert!((5..100).contains(&told_in), "{what}: {row}"),
    }
    assert_eq!(told_out, output.unwrap_or(5), "{what}: {row}");
    let cost = i128::from(told_in + 5 * told_out) * 1_000_000;
    assert_eq!(pico(&text(row, "cost_usd")), cost, "{what}: {row}");
}

#[test]
fn an_impossible_count_is_booked_at_the_hold_in_every_dialect() {
    let house = House::opens();
    for call in all_calls() {
        let vendor = call.1;
        for lie in ["-5", "9223372036854775808", "\"7\"", "1e300", "12.5", "[]"] {
            let outputs = house.row(call, &vendor.usage(Some("3"), Some(lie)));
            is_booked_at_the_hold(&outputs, &format!("{call:?} out {lie}"));
        }
        let inputs = house.row(call, &vendor.usage(Some("-1"), Some("3")));
        is_booked_at_the_hold(&inputs, &format!("{call:?} in -1"));
    }
}

#[test]
fn a_usage_of_the_wrong_kind_is_a_lie_in_every_dialect_and_null_is_none() {
    let house = House::opens();
    for call in all_calls() {
        let vendor = call.1;
        // Ollama's counts have no object around them
        for lie in ["\"x\"", "-3", "[]", "true"]
            .into_iter()
            .filter(|_| vendor != Vendor::Ollama)
        {
            is_booked_at_the_hold(
                &house.row(call, &vendor.usage_member(lie)),
                &format!("{call:?} {lie}"),
            );
        }
        let output = (vendor == Vendor::Embeddings).then_some(0);
        is_booked(
            &house.row(call, &vendor.usage_member("null")),
            None,
            output,
            &format!("{call:?} null"),
        );
    }
}

#[test]
fn details_of_the_wrong_kind_are_lies_and_words_of_the_wrong_kind_are_nothing() {
    let house = House::opens();
    for (vendor, lies) in [
        (
            Vendor::Chat,
            vec![
                r#","usage":{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":"x"}"#,
            ],
        ),
        (
            Vendor::Messages,
            vec![r#","usage":{"input_tokens":3,"output_tokens":2,"cache_creation":7}"#],
        ),
        (
            Vendor::Converse,
            vec![r#","usage":{"inputTokens":3,"outputTokens":2,"cacheDetails":"x"}"#],
        ),
        (
            Vendor::Cohere,
            vec![
                r#","usage":{"billed_units":5}"#,
                r#","usage":{"tokens":"x"}"#,
            ],
        ),
        (
            Vendor::Gemini,
            vec![
                r#","usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"promptTokensDetails":"x"}"#,
                r#","usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"candidatesTokensDetails":[5]}"#,
            ],
        ),
    ] {
        for (client, streamed) in CONVERSATIONS
            .into_iter()
            .flat_map(|client| [(client, false), (client, true)])
        {
            for lie in &lies {
                is_booked_at_the_hold(
                    &house.row((client, vendor, streamed), lie),
                    &format!("{client:?} {vendor:?} {lie}"),
                );
            }
        }
    }
    for odd in [
        r#","usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"serviceTier":5}"#,
        r#","usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"promptTokensDetails":[{"modality":5,"tokenCount":3}]}"#,
        r#","serviceTier":5,"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}"#,
    ] {
        for streamed in [false, true] {
            is_booked(
                &house.row((Client::Chat, Vendor::Gemini, streamed), odd),
                Some(3),
                Some(2),
                odd,
            );
        }
    }
}

#[test]
fn what_is_not_said_of_a_usage_is_estimated_and_what_is_said_is_not() {
    let house = House::opens();
    for call in all_calls() {
        let vendor = call.1;
        let nothing = (vendor == Vendor::Embeddings).then_some(0);
        is_booked(
            &house.row(call, ""),
            None,
            nothing,
            &format!("{call:?} nothing"),
        );
        is_booked(
            &house.row(call, &vendor.usage(None, None)),
            None,
            nothing,
            &format!("{call:?} empty"),
        );
        is_booked(
            &house.row(call, &vendor.usage(Some("10"), None)),
            Some(10),
            nothing,
            &format!("{call:?} input"),
        );
        is_booked(
            &house.row(call, &vendor.usage(None, Some("4"))),
            None,
            Some(4),
            &format!("{call:?} output"),
        );
        is_booked(
            &house.row(call, &vendor.usage(Some("10"), Some("4"))),
            Some(10),
            Some(4),
            &format!("{call:?} both"),
        );
    }
}

/// Cohere and Converse tell their usage in the event that ends the answer and nowhere else.
#[test]
fn an_output_that_was_counted_before_the_end_is_a_beginning_and_one_counted_with_it_the_last_word()
{
    let house = House::opens();
    for call in all_calls() {
        let (_, vendor, streamed) = call;
        if !streamed || matches!(vendor, Vendor::Cohere | Vendor::Converse) {
            continue;
        }
        let row = |early: &str, late: &str| {
            let answer = house.asked(call, vendor.stream(early, late));
            assert_eq!(answer.status, 200, "{call:?}: {}", answer.text());
            house.last_row()
        };
        let told = |output| vendor.usage(Some("10"), Some(output));
        is_booked(
            &row(&told("1"), ""),
            Some(10),
            None,
            &format!("{call:?} early"),
        );
        let more = row(&told("9"), "");
        let (flags, output) = (&more["flags"], &more["usage"]["output_tokens"]);
        assert_eq!(
            (flags, output),
            (&json!(["estimated"]), &json!(9)),
            "{call:?}: never below what was said: {more}"
        );
        is_booked(
            &row(&told("1"), &told("4")),
            Some(10),
            Some(4),
            &format!("{call:?} throughout"),
        );
    }
}

#[test]
fn a_drained_answer_that_failed_is_booked_at_the_usage_behind_its_failure() {
    let house = House::opens();
    house.upstream.respond_with(failing(Vendor::Converse, 150));
    let user = house.gatekeeper.user(&house.key);
    let mut stream = user.open_stream(
        Client::Chat.path(),
        &Client::Chat.asking(Vendor::Converse, true),
    );
    stream.read_deltas(1);
    stream.disconnect();
    wait_until("the call is booked", || {
        !house.gatekeeper.requests().is_empty()
    });
    let row = house.last_row();
    let counts = (
        &row["usage"]["input_tokens"],
        &row["usage"]["output_tokens"],
        &row["flags"],
    );
    assert_eq!(
        (counts, &row["status"]),
        ((&json!(10), &json!(4), &json!([])), &json!("client_gone")),
        "{row}"
    );
}

/// A stream that says something and then fails, with the usage beside the failure or behind it.
fn failing(vendor: Vendor, pause_ms: u64) -> Script {
    let usage = vendor.usage(Some("10"), Some("4"));
    match vendor {
        Vendor::Converse => Script::stream([
            frame("contentBlockDelta", &format!(r#"{{"contentBlockIndex":0,"delta":{{"text":"{TEXT}"}}}}"#)),
            frame("contentBlockStop", r#"{"contentBlockIndex":0}"#),
            frame("messageStop", r#"{"stopReason":"malformed_tool_use"}"#),
            frame("metadata", &format!(r#"{{"metrics":{{"latencyMs":9}}{usage}}}"#)),
        ])
        .header("content-type", "application/vnd.amazon.eventstream"),
        Vendor::Cohere => Script::stream([
            named("content-start", r#","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}"#),
            named("content-delta", &format!(r#","index":0,"delta":{{"message":{{"content":{{"text":"{TEXT}"}}}}}}"#)),
            named("message-end", &format!(r#","delta":{{"finish_reason":"ERROR"{usage}}}"#)),
        ]),
        _ => Script::stream([
            named(
                "response.output_text.delta",
                &format!(r#","item_id":"i","output_index":0,"content_index":0,"delta":"{TEXT}""#),
            ),
            named(
                "response.failed",
                &format!(r#","response":{{"id":"r","error":{{"code":"server_error","message":"no"}}{usage}}}"#),
            ),
        ]),
    }
    .pause_ms_between(pause_ms)
}

#[test]
fn a_failure_that_tells_its_usage_is_booked_at_it_and_is_no_estimate() {
    let house = House::opens();
    for vendor in [Vendor::Converse, Vendor::Cohere, Vendor::Responses] {
        for client in vendor.clients() {
            for (pause_ms, status) in [(0, None), (50, Some("broken"))] {
                let answer = house.asked((*client, vendor, true), failing(vendor, pause_ms));
                let row = house.last_row();
                assert!(
                    !answer.text().contains("response.completed")
                        && !answer.text().contains("message_stop"),
                    "{}",
                    answer.text()
                );
                let counts = (
                    &row["usage"]["input_tokens"],
                    &row["usage"]["output_tokens"],
                    &row["flags"],
                );
                assert_eq!(
                    counts,
                    (&json!(10), &json!(4), &json!([])),
                    "{client:?} {vendor:?} {pause_ms}: {row}"
                );
                // without pauses nothing may have been passed on
                assert!(
                    status.is_none_or(|status| row["status"] == status),
                    "{client:?} {vendor:?}: {row}"
                );
            }
        }
    }
}

#[test]
fn a_bill_above_the_ceiling_is_booked_whole_in_every_dialect() {
    let house = House::opens();
    for call in all_calls() {
        let (input, output) = if call.1 == Vendor::Embeddings {
            ("3000", None)
        } else {
            ("3", Some("1000"))
        };
        let row = house.row(call, &call.1.usage(Some(input), output));
        let cost = if output.is_some() {
            5_003_000_000
        } else {
            3_000_000_000
        };
        assert_eq!(
            (pico(&text(&row, "cost_usd")), &row["flags"]),
            (cost, &json!(["over_ceiling"])),
            "{call:?}: {row}"
        );
    }
}

#[test]
fn zero_is_trusted_from_a_vendor_that_is_known_and_from_nobody_else() {
    let house = House::opens();
    for call in all_calls() {
        let vendor = call.1;
        let row = |input, output| house.row(call, &vendor.usage(Some(input), Some(output)));
        let what = format!("{call:?}");
        if vendor == Vendor::Compatible {
            is_booked(&row("0", "0"), None, None, &what);
            is_booked(&row("0", "4"), None, Some(4), &what);
            is_booked(&row("10", "0"), Some(10), None, &what);
        } else {
            is_booked(&row("0", "0"), Some(0), Some(0), &what);
        }
    }
}
