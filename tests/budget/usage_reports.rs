//! Usage reports of every dialect to every client, unary and streamed: invalid counts are flagged and booked at the ceiling,
//! missing counts are estimated, and costs above the ceiling are booked whole.

use serde_json::{Value, json};

use super::vendor_responses::{CONVERSATIONS, Client, TEXT, VENDORS, Vendor, frame, named};
use crate::harness::client::Response;
use crate::harness::gate::Gate;
use crate::harness::process::{Gatekeeper, Key, text};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{pico, wait_until};

/// A gateway with one provider per vendor.
struct Fixture {
    upstream: Upstream,
    gatekeeper: Gatekeeper,
    key: Key,
}

impl Fixture {
    fn new() -> Fixture {
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
        Fixture {
            upstream,
            gatekeeper,
            key,
        }
    }

    /// Record of a call that was served with this usage.
    #[track_caller]
    fn row(&self, call: Call, usage: &str) -> Value {
        let (client, vendor, streamed) = call;
        let response = self.send(call, vendor.respond(streamed, usage));
        assert_eq!(
            response.status,
            200,
            "{call:?} {usage}: {}",
            response.text()
        );
        assert!(
            client == Client::Embeddings || response.text().contains(TEXT),
            "{call:?} {usage}: {}",
            response.text()
        );
        self.last_row()
    }

    fn send(&self, (client, vendor, streamed): Call, script: Script) -> Response {
        self.upstream.respond_with(script);
        self.gatekeeper
            .user(&self.key)
            .post(client.path(), &client.request(vendor, streamed))
    }

    fn last_row(&self) -> Value {
        self.gatekeeper.usage();
        self.gatekeeper.requests().remove(0)
    }
}

type Call = (Client, Vendor, bool);

fn all_calls() -> Vec<Call> {
    let of = |vendor: &'static Vendor| {
        let stream_modes = vendor.stream_modes().iter();
        stream_modes.flat_map(|streamed| {
            vendor
                .clients()
                .iter()
                .map(|client| (*client, *vendor, *streamed))
        })
    };
    VENDORS.iter().flat_map(of).collect()
}

/// Checks that the call is booked at its ceiling and flagged.
#[track_caller]
fn assert_invalid(row: &Value, what: &str) {
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

/// Checks token counts and flag; `None` is an estimate, of 5 tokens for the output.
#[track_caller]
fn assert_booked(row: &Value, input: Option<u64>, output: Option<u64>, what: &str) {
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
    let [actual_in, actual_out] =
        ["input_tokens", "output_tokens"].map(|name| row["usage"][name].as_u64().expect("a count"));
    match input {
        Some(input) => assert_eq!(actual_in, input, "{what}: {row}"),
        None => assert!((5..100).contains(&actual_in), "{what}: {row}"),
    }
    assert_eq!(actual_out, output.unwrap_or(5), "{what}: {row}");
    let cost = i128::from(actual_in + 5 * actual_out) * 1_000_000;
    assert_eq!(pico(&text(row, "cost_usd")), cost, "{what}: {row}");
}

#[test]
fn usage_invalid_count_is_booked_at_ceiling_in_every_dialect() {
    let fixture = Fixture::new();
    for call in all_calls() {
        let vendor = call.1;
        for invalid in ["-5", "9223372036854775808", "\"7\"", "1e300", "12.5", "[]"] {
            let outputs = fixture.row(call, &vendor.usage(Some("3"), Some(invalid)));
            assert_invalid(&outputs, &format!("{call:?} out {invalid}"));
        }
        let inputs = fixture.row(call, &vendor.usage(Some("-1"), Some("3")));
        assert_invalid(&inputs, &format!("{call:?} in -1"));
    }
}

#[test]
fn usage_of_wrong_type_is_invalid_and_null_is_missing_in_every_dialect() {
    let fixture = Fixture::new();
    for call in all_calls() {
        let vendor = call.1;
        // Ollama has no usage object
        for invalid in ["\"x\"", "-3", "[]", "true"]
            .into_iter()
            .filter(|_| vendor != Vendor::Ollama)
        {
            assert_invalid(
                &fixture.row(call, &vendor.usage_member(invalid)),
                &format!("{call:?} {invalid}"),
            );
        }
        let output = (vendor == Vendor::Embeddings).then_some(0);
        assert_booked(
            &fixture.row(call, &vendor.usage_member("null")),
            None,
            output,
            &format!("{call:?} null"),
        );
    }
}

#[test]
fn usage_details_of_wrong_type_are_invalid_and_labels_are_ignored() {
    let fixture = Fixture::new();
    for (vendor, values) in [
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
            for invalid in &values {
                assert_invalid(
                    &fixture.row((client, vendor, streamed), invalid),
                    &format!("{client:?} {vendor:?} {invalid}"),
                );
            }
        }
    }
    for ignored in [
        r#","usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"serviceTier":5}"#,
        r#","usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"promptTokensDetails":[{"modality":5,"tokenCount":3}]}"#,
        r#","serviceTier":5,"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}"#,
    ] {
        for streamed in [false, true] {
            assert_booked(
                &fixture.row((Client::Chat, Vendor::Gemini, streamed), ignored),
                Some(3),
                Some(2),
                ignored,
            );
        }
    }
}

#[test]
fn usage_missing_counts_are_estimated_in_every_dialect() {
    let fixture = Fixture::new();
    for call in all_calls() {
        let vendor = call.1;
        let output = (vendor == Vendor::Embeddings).then_some(0);
        assert_booked(
            &fixture.row(call, ""),
            None,
            output,
            &format!("{call:?} nothing"),
        );
        assert_booked(
            &fixture.row(call, &vendor.usage(None, None)),
            None,
            output,
            &format!("{call:?} empty"),
        );
        assert_booked(
            &fixture.row(call, &vendor.usage(Some("10"), None)),
            Some(10),
            output,
            &format!("{call:?} input"),
        );
        assert_booked(
            &fixture.row(call, &vendor.usage(None, Some("4"))),
            None,
            Some(4),
            &format!("{call:?} output"),
        );
        assert_booked(
            &fixture.row(call, &vendor.usage(Some("10"), Some("4"))),
            Some(10),
            Some(4),
            &format!("{call:?} both"),
        );
    }
}

/// Cohere and Converse are skipped: they report usage in the last event only.
#[test]
fn usage_before_end_of_stream_is_minimum_and_at_end_is_final() {
    let fixture = Fixture::new();
    for call in all_calls() {
        let (_, vendor, streamed) = call;
        if !streamed || matches!(vendor, Vendor::Cohere | Vendor::Converse) {
            continue;
        }
        let row = |early: &str, late: &str| {
            let response = fixture.send(call, vendor.stream(early, late));
            assert_eq!(response.status, 200, "{call:?}: {}", response.text());
            fixture.last_row()
        };
        let usage = |output| vendor.usage(Some("10"), Some(output));
        assert_booked(
            &row(&usage("1"), ""),
            Some(10),
            None,
            &format!("{call:?} early"),
        );
        let more = row(&usage("9"), "");
        let (flags, output) = (&more["flags"], &more["usage"]["output_tokens"]);
        assert_eq!(
            (flags, output),
            (&json!(["estimated"]), &json!(9)),
            "{call:?}: never below a reported count: {more}"
        );
        assert_booked(
            &row(&usage("1"), &usage("4")),
            Some(10),
            Some(4),
            &format!("{call:?} throughout"),
        );
    }
}

#[test]
fn drained_stream_that_fails_is_booked_at_usage_after_failure() {
    let fixture = Fixture::new();
    let gate = Gate::default();
    fixture
        .upstream
        .respond_with(failing(Vendor::Converse, 0).held_after(1, &gate));
    let user = fixture.gatekeeper.user(&fixture.key);
    let mut stream = user.open_stream(
        Client::Chat.path(),
        &Client::Chat.request(Vendor::Converse, true),
    );
    stream.read_deltas(1);
    stream.disconnect();
    wait_until("the call is drained", || {
        fixture.gatekeeper.metric("gatekeeper_requests_draining") == 1.0
    });
    gate.open();
    wait_until("the call is booked", || {
        !fixture.gatekeeper.requests().is_empty()
    });
    let row = fixture.last_row();
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

/// A stream with text that fails, with the usage in the failure event or after it.
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

/// Response and record of a failing stream that took less than the second in which its usage must follow the failure. A
/// machine that stops for longer is given five chances.
fn failed_in_time(fixture: &Fixture, call: Call, pause_ms: u64) -> (Response, Value) {
    for _ in 0..4 {
        let response = fixture.send(call, failing(call.1, pause_ms));
        let row = fixture.last_row();
        if row["total_ms"].as_u64().is_some_and(|ms| ms < 1_000) {
            return (response, row);
        }
    }
    let response = fixture.send(call, failing(call.1, pause_ms));
    (response, fixture.last_row())
}

#[test]
fn failed_stream_with_usage_is_booked_without_estimate() {
    let fixture = Fixture::new();
    for vendor in [Vendor::Converse, Vendor::Cohere, Vendor::Responses] {
        for client in vendor.clients() {
            for (pause_ms, status) in [(0, None), (50, Some("broken"))] {
                let call = (*client, vendor, true);
                let (response, row) = failed_in_time(&fixture, call, pause_ms);
                assert!(
                    !response.text().contains("response.completed")
                        && !response.text().contains("message_stop"),
                    "{}",
                    response.text()
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
                // without pauses the failure may precede the first forwarded event
                assert!(
                    status.is_none_or(|status| row["status"] == status),
                    "{client:?} {vendor:?}: {row}"
                );
            }
        }
    }
}

#[test]
fn usage_above_ceiling_is_booked_whole_in_every_dialect() {
    let fixture = Fixture::new();
    for call in all_calls() {
        let (input, output) = if call.1 == Vendor::Embeddings {
            ("3000", None)
        } else {
            ("3", Some("1000"))
        };
        let row = fixture.row(call, &call.1.usage(Some(input), output));
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
fn usage_zero_is_trusted_from_known_vendors_in_every_dialect() {
    let fixture = Fixture::new();
    for call in all_calls() {
        let vendor = call.1;
        let row = |input, output| fixture.row(call, &vendor.usage(Some(input), Some(output)));
        let what = format!("{call:?}");
        if vendor == Vendor::Compatible {
            assert_booked(&row("0", "0"), None, None, &what);
            assert_booked(&row("0", "4"), None, Some(4), &what);
            assert_booked(&row("10", "0"), Some(10), None, &what);
        } else {
            assert_booked(&row("0", "0"), Some(0), Some(0), &what);
        }
    }
}
