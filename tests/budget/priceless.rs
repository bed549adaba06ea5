//! What has no price or no bound is refused where a budget blocks, and served with an honest flag where none does.

use serde_json::{Value, json};

use super::call::Call;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider, text};
use crate::harness::upstream::Upstream;
use crate::harness::{pico, wait_until};

/// `up` has a price, `list` has a model that is on no list, `gratis` costs nothing, `capped` has a ceiling per request.
fn house(upstream: &Upstream) -> Gatekeeper {
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

fn asking(model: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "What does it cost?"}]})
}

/// An image that only the vendor will look at: nobody knows its size.
fn with_image(model: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "https://images.test/1.png"}}]}]})
}

fn newest(gatekeeper: &Gatekeeper) -> Value {
    gatekeeper.usage();
    gatekeeper.requests().remove(0)
}

#[test]
fn an_unpriced_model_is_refused_where_a_budget_blocks_and_flagged_where_none_does() {
    let upstream = Upstream::start();
    let mut gatekeeper = house(&upstream);
    let (blocked, open) = keys(&mut gatekeeper);
    let refused = gatekeeper.user(&blocked).chat(&asking("m-unheard-of"));
    assert_eq!(
        (
            refused.assert_status(402).error_type(),
            upstream.request_count()
        ),
        ("price_unknown".to_owned(), 0)
    );
    assert!(
        refused.error_message().contains("[providers.list]"),
        "{}",
        refused.error_message()
    );
    let served = gatekeeper.user(&open).chat(&asking("m-unheard-of"));
    assert_eq!(served.assert_status(200).cost(), 0);
    let row = newest(&gatekeeper);
    assert_eq!(
        (&row["flags"], &row["usage"]["output_tokens"]),
        (&json!(["unpriced"]), &json!(20))
    );
}

/// A sheet writes zero for what is billed by other things than tokens, and for what may cost nothing for now.
#[test]
fn a_price_of_zero_on_the_sheet_is_no_price() {
    const MODEL: &str = "labs-leanstral-1-5-1";
    let upstream = Upstream::start();
    let labs = Provider::openai("labs", &upstream)
        .preset("mistral")
        .priced_by("sheet")
        .models(&[MODEL]);
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).provider(&labs).start();
    let (blocked, open) = keys(&mut gatekeeper);
    let refused = gatekeeper.user(&blocked).chat(&asking(MODEL));
    assert_eq!(
        (
            refused.assert_status(402).error_type(),
            upstream.request_count()
        ),
        ("price_unknown".to_owned(), 0)
    );
    assert_eq!(
        gatekeeper
            .user(&open)
            .chat(&asking(MODEL))
            .assert_status(200)
            .cost(),
        0
    );
    assert_eq!(newest(&gatekeeper)["flags"], json!(["unpriced"]));
}

/// The sheet has no rates for Anthropic's fast mode, which costs several times as much, nor for its inference in one country.
#[test]
fn a_dearer_tier_that_is_on_no_sheet_is_refused_where_a_budget_blocks_and_flagged_where_none_does()
{
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
        let mut body = asking(MODEL);
        assert_eq!(gatekeeper.user(&blocked).messages(&body).status, 200);
        assert_eq!(newest(&gatekeeper)["flags"], json!([]));
        let before = upstream.request_count();
        body[member] = json!(value);
        let refused = gatekeeper.user(&blocked).messages(&body);
        assert_eq!(
            (
                refused.assert_status(402).error_type(),
                upstream.request_count()
            ),
            ("billing_error".to_owned(), before)
        );
        assert!(
            refused.error_message().contains(value)
                && refused.error_message().contains("nothing bounds"),
            "{}",
            refused.error_message()
        );
        let served = gatekeeper.user(&open).messages(&body);
        assert!(served.assert_status(200).cost() > 0, "at the base rates");
        assert_eq!(newest(&gatekeeper)["flags"], json!(["estimated"]));
    }
}

#[test]
fn what_nothing_bounds_is_refused_where_a_budget_blocks() {
    let upstream = Upstream::start();
    let mut gatekeeper = house(&upstream);
    let (blocked, _) = keys(&mut gatekeeper);
    let user = gatekeeper.user(&blocked);
    let mut file = with_image("m-small");
    file["messages"][0]["content"][1] = json!({"type": "file", "file": {"file_id": "file-1"}});
    for (body, why) in [
        (with_image("m-small"), "remote image URL"),
        (file, "file id"),
    ] {
        let refused = user.chat(&body);
        assert_eq!(refused.assert_status(402).error_type(), "cost_unbounded");
        let message = refused.error_message();
        assert!(
            message.contains(why) && message.contains("request_ceiling"),
            "{message}"
        );
    }
    let mut search = asking("c-small");
    search["tools"] = json!([{"type": "web_search_20250305", "name": "web_search"}]);
    let refused = user.messages(&search);
    assert_eq!(refused.assert_status(402).error_type(), "billing_error");
    assert!(
        refused.error_message().contains("web_search"),
        "{}",
        refused.error_message()
    );
    assert_eq!(upstream.request_count(), 0);
}

#[test]
fn with_a_ceiling_per_request_it_is_served_and_the_ceiling_is_what_is_held() {
    let upstream = Upstream::start();
    let mut gatekeeper = house(&upstream);
    let (blocked, _) = keys(&mut gatekeeper);
    let served = gatekeeper.user(&blocked).chat(&with_image("m-capped"));
    assert_eq!(served.assert_status(200).cost(), 110_000_000);
    let row = newest(&gatekeeper);
    assert_eq!(
        (text(&row, "ceiling_usd"), &row["flags"]),
        ("0.25".to_owned(), &json!([]))
    );
    let poor = gatekeeper.team_with_budget("poor", "0.2");
    let refused = gatekeeper
        .user(&gatekeeper.key_of(&poor))
        .chat(&with_image("m-capped"));
    assert_eq!(refused.assert_status(402).error_type(), "budget_exceeded");
}

#[test]
fn without_a_budget_that_blocks_what_nothing_bounds_is_served_and_booked_as_reported() {
    let upstream = Upstream::start();
    let mut gatekeeper = house(&upstream);
    let (_, open) = keys(&mut gatekeeper);
    let served = gatekeeper.user(&open).chat(&with_image("m-small"));
    assert_eq!(served.assert_status(200).cost(), 110_000_000);
    assert_eq!(newest(&gatekeeper)["flags"], json!([]));
}

#[test]
fn a_hang_up_on_what_nothing_bounds_is_billed_as_far_as_it_is_known() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 100).only(50).then_hangs());
    let mut gatekeeper = house(&upstream);
    let (_, open) = keys(&mut gatekeeper);
    let mut body = with_image("m-small");
    body["stream"] = json!(true);
    let mut stream = gatekeeper
        .user(&open)
        .open_stream(Call::chat().path(), &body);
    stream.read_deltas(40);
    stream.disconnect();
    wait_until("the hang-up is booked", || {
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
fn a_provider_that_is_free_is_served_by_the_smallest_budget_and_costs_nothing() {
    let upstream = Upstream::start();
    let mut gatekeeper = house(&upstream);
    let team = gatekeeper.team_with_budget("poor", "0.000001");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let mut body = asking("m-gratis");
    assert_eq!(user.chat(&body).assert_status(200).cost(), 0);
    body.as_object_mut()
        .expect("an object")
        .remove("max_tokens");
    let answer = user.chat(&body);
    assert_eq!(
        (
            answer.assert_status(200).cost(),
            answer.header("x-gatekeeper-output-cap")
        ),
        (0, None)
    );
    let row = newest(&gatekeeper);
    assert_eq!(
        (&row["flags"], &row["usage"]["output_tokens"]),
        (&json!([]), &json!(20))
    );
    assert_eq!(user.chat(&asking("m-small")).status, 402);
}
