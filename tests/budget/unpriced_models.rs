//! Calls without a price or a bound: refused under a `block` budget, served and flagged otherwise.

use serde_json::{Value, json};

use super::call::Call;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider, text};
use crate::harness::upstream::Upstream;
use crate::harness::{pico, wait_until};

/// Provider `up` has a price, `list` a model without a sheet row, `gratis` is free, `capped` has a request ceiling.
fn start_gateway(upstream: &Upstream) -> Gatekeeper {
    Gatekeeper::with_upstream(upstream)
        .provider(&Provider::anthropic("claude", upstream))
        .provider(
            &Provider::openai("list", upstream)
                .preset("openai")
                .priced_by("sheet")
                .models(&["m-unheard-of"]),
        )
        .provider(
            &Provider::openai("gratis", upstream)
                .priced_by("free")
                .models(&["m-gratis"]),
        )
        .provider(
            &Provider::openai("capped", upstream)
                .models(&["m-capped"])
                .request_ceiling("0.25"),
        )
        .start()
}

fn keys(gatekeeper: &mut Gatekeeper) -> (Key, Key) {
    let blocked = gatekeeper.team_with_budget("blocked", "10");
    let open =
        gatekeeper.team(&json!({"name": "open", "budgets": [{"limit": "10", "action": "warn"}]}));
    (gatekeeper.key_of(&blocked), gatekeeper.key_of(&open))
}

fn request(model: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "What does it cost?"}]})
}

/// A request with a remote image, whose size is unknown.
fn with_image(model: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "https://images.test/1.png"}}]}]})
}

fn newest(gatekeeper: &Gatekeeper) -> Value {
    gatekeeper.usage();
    gatekeeper.requests().remove(0)
}

#[test]
fn unpriced_model_is_refused_under_block_budget_and_flagged_otherwise() {
    let upstream = Upstream::start();
    let mut gatekeeper = start_gateway(&upstream);
    let (blocked, open) = keys(&mut gatekeeper);
    let refusal = gatekeeper.user(&blocked).chat(&request("m-unheard-of"));
    assert_eq!(
        (
            refusal.assert_status(402).error_type(),
            upstream.request_count()
        ),
        ("price_unknown".to_owned(), 0)
    );
    assert!(
        refusal.error_message().contains("[providers.list]"),
        "{}",
        refusal.error_message()
    );
    let served = gatekeeper.user(&open).chat(&request("m-unheard-of"));
    assert_eq!(served.assert_status(200).cost(), 0);
    let row = newest(&gatekeeper);
    assert_eq!(
        (&row["flags"], &row["usage"]["output_tokens"]),
        (&json!(["unpriced"]), &json!(20))
    );
}

/// Sheets have a zero for models billed by other units than tokens, and for previews that are free for now.
#[test]
fn sheet_price_of_zero_counts_as_unpriced() {
    const MODEL: &str = "labs-leanstral-1-5-1";
    let upstream = Upstream::start();
    let labs = Provider::openai("labs", &upstream)
        .preset("mistral")
        .priced_by("sheet")
        .models(&[MODEL]);
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).provider(&labs).start();
    let (blocked, open) = keys(&mut gatekeeper);
    let refusal = gatekeeper.user(&blocked).chat(&request(MODEL));
    assert_eq!(
        (
            refusal.assert_status(402).error_type(),
            upstream.request_count()
        ),
        ("price_unknown".to_owned(), 0)
    );
    assert_eq!(
        gatekeeper
            .user(&open)
            .chat(&request(MODEL))
            .assert_status(200)
            .cost(),
        0
    );
    assert_eq!(newest(&gatekeeper)["flags"], json!(["unpriced"]));
}

/// The sheet has no rates for Anthropic's fast mode, which costs several times as much, and for inference in one country.
#[test]
fn tier_without_sheet_rates_is_refused_under_block_budget_and_flagged_otherwise() {
    const MODEL: &str = "claude-sonnet-4-5";
    let upstream = Upstream::start();
    let claude = Provider::anthropic("claude", &upstream)
        .preset("anthropic")
        .priced_by("sheet")
        .models(&[MODEL]);
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .provider(&claude)
        .start();
    let (blocked, open) = keys(&mut gatekeeper);
    for (member, value) in [("speed", "fast"), ("inference_geo", "us")] {
        let mut body = request(MODEL);
        assert_eq!(gatekeeper.user(&blocked).messages(&body).status, 200);
        assert_eq!(newest(&gatekeeper)["flags"], json!([]));
        let before = upstream.request_count();
        body[member] = json!(value);
        let refusal = gatekeeper.user(&blocked).messages(&body);
        assert_eq!(
            (
                refusal.assert_status(402).error_type(),
                upstream.request_count()
            ),
            ("billing_error".to_owned(), before)
        );
        assert!(
            refusal.error_message().contains(value)
                && refusal.error_message().contains("nothing bounds"),
            "{}",
            refusal.error_message()
        );
        let served = gatekeeper.user(&open).messages(&body);
        assert!(served.assert_status(200).cost() > 0, "at the base rates");
        assert_eq!(newest(&gatekeeper)["flags"], json!(["estimated"]));
    }
}

#[test]
fn unbounded_request_under_block_budget_is_refused() {
    let upstream = Upstream::start();
    let mut gatekeeper = start_gateway(&upstream);
    let (blocked, _) = keys(&mut gatekeeper);
    let user = gatekeeper.user(&blocked);
    let mut file = with_image("m-small");
    file["messages"][0]["content"][1] = json!({"type": "file", "file": {"file_id": "file-1"}});
    for (body, reason) in [
        (with_image("m-small"), "remote image URL"),
        (file, "file id"),
    ] {
        let refusal = user.chat(&body);
        assert_eq!(refusal.assert_status(402).error_type(), "cost_unbounded");
        let message = refusal.error_message();
        assert!(
            message.contains(reason) && message.contains("request_ceiling"),
            "{message}"
        );
    }
    let mut search = request("c-small");
    search["tools"] = json!([{"type": "web_search_20250305", "name": "web_search"}]);
    let refusal = user.messages(&search);
    assert_eq!(refusal.assert_status(402).error_type(), "billing_error");
    assert!(
        refusal.error_message().contains("web_search"),
        "{}",
        refusal.error_message()
    );
    assert_eq!(upstream.request_count(), 0);
}

#[test]
fn unbounded_request_with_request_ceiling_is_held_at_ceiling() {
    let upstream = Upstream::start();
    let mut gatekeeper = start_gateway(&upstream);
    let (blocked, _) = keys(&mut gatekeeper);
    let served = gatekeeper.user(&blocked).chat(&with_image("m-capped"));
    assert_eq!(served.assert_status(200).cost(), 110_000_000);
    let row = newest(&gatekeeper);
    assert_eq!(
        (text(&row, "ceiling_usd"), &row["flags"]),
        ("0.25".to_owned(), &json!([]))
    );
    let small = gatekeeper.team_with_budget("small", "0.2");
    let refusal = gatekeeper
        .user(&gatekeeper.key_of(&small))
        .chat(&with_image("m-capped"));
    assert_eq!(refusal.assert_status(402).error_type(), "budget_exceeded");
}

#[test]
fn unbounded_request_without_block_budget_is_booked_as_reported() {
    let upstream = Upstream::start();
    let mut gatekeeper = start_gateway(&upstream);
    let (_, open) = keys(&mut gatekeeper);
    let served = gatekeeper.user(&open).chat(&with_image("m-small"));
    assert_eq!(served.assert_status(200).cost(), 110_000_000);
    assert_eq!(newest(&gatekeeper)["flags"], json!([]));
}

#[test]
fn unbounded_stream_after_disconnect_is_booked_as_estimate() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 100).only(50).then_hangs());
    let mut gatekeeper = start_gateway(&upstream);
    let (_, open) = keys(&mut gatekeeper);
    let mut body = with_image("m-small");
    body["stream"] = json!(true);
    let mut stream = gatekeeper
        .user(&open)
        .open_stream(Call::chat().path(), &body);
    stream.read_deltas(40);
    stream.disconnect();
    wait_until("the disconnect is booked", || {
        gatekeeper.usage()["total"]["requests"] == json!(1)
    });
    let row = newest(&gatekeeper);
    assert_eq!(
        (text(&row, "status"), &row["flags"]),
        ("client_gone".to_owned(), &json!(["estimated"]))
    );
    assert!(pico(&text(&row, "cost_usd")) > 40 * 1_000_000, "{row}");
}

#[test]
fn free_provider_is_served_under_smallest_budget_at_no_cost() {
    let upstream = Upstream::start();
    let mut gatekeeper = start_gateway(&upstream);
    let team = gatekeeper.team_with_budget("small", "0.000001");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let mut body = request("m-gratis");
    assert_eq!(user.chat(&body).assert_status(200).cost(), 0);
    body.as_object_mut()
        .expect("an object")
        .remove("max_tokens");
    let response = user.chat(&body);
    assert_eq!(
        (
            response.assert_status(200).cost(),
            response.header("x-gatekeeper-output-cap")
        ),
        (0, None)
    );
    let row = newest(&gatekeeper);
    assert_eq!(
        (&row["flags"], &row["usage"]["output_tokens"]),
        (&json!([]), &json!(20))
    );
    assert_eq!(user.chat(&request("m-small")).status, 402);
}
