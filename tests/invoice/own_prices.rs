//! Prices of the operator per provider and model, discounts, and the cost that the vendor reports.

use serde_json::{Value, json};

use super::{listed, newest, start, texts};
use crate::harness::hello;
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

fn answer(usage: &Value) -> Script {
    let message = json!({"role": "assistant", "content": "hi"});
    let choices = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
    Script::json(
        200,
        &json!({"id": "a", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage}),
    )
}

#[test]
fn own_price_of_a_model_has_every_class_and_a_fee_for_each_request() {
    let upstream = Upstream::start();
    let openai = listed("openai", &upstream).line(
        "[providers.openai.prices.\"gpt-5.1\"]\ninput = \"2\"\noutput = \"4\"\ncache_read = \"1\"\nreasoning = \"8\"\n\
         cache_write = \"3\"\nper_request = \"0.5\"\n[providers.openai.prices.\"gpt-4*\"]\nfactor = \"0.85\"",
    );
    let (gatekeeper, key) = start(&[openai], "10");
    let usage = json!({"prompt_tokens": 1_000_000, "completion_tokens": 20_000,
        "prompt_tokens_details": {"cached_tokens": 200_000, "cache_write_tokens": 100_000},
        "completion_tokens_details": {"reasoning_tokens": 10_000}});
    upstream.respond_with(answer(&usage));
    let user = gatekeeper.user(&key);
    user.chat(&super::hello("gpt-5.1-2025-11-13"))
        .assert_status(200);
    let row = newest(&gatekeeper);
    // 700,000 × 2 + 200,000 × 1 + 100,000 × 3 + 10,000 × 4 + 10,000 × 8 per million, and the fee
    assert_eq!(row["cost_usd"], "2.52", "{:?}", texts(&row));
    let fee = "1 request: $0.5 per request = $0.5 (own price of gpt-5.1-2025-11-13)";
    assert!(texts(&row).contains(&fee.to_owned()), "{:?}", texts(&row));
    let small = json!({"prompt_tokens": 1_000_000, "completion_tokens": 0});
    upstream.respond_with(answer(&small));
    user.chat(&hello("gpt-4.1")).assert_status(200);
    let row = newest(&gatekeeper);
    let discounted = "1000000 input: $0.000002 per token × 0.85 = $1.7 (standard tier of gpt-4.1)";
    assert_eq!(texts(&row), [discounted]);
}

#[test]
fn reported_cost_is_stored_and_is_the_price_where_the_operator_says_so() {
    let upstream = Upstream::start();
    let router = |name: &str| Provider::openai(name, &upstream).preset("openrouter");
    let reported = router("reported")
        .priced_by("reported")
        .models(&["r-model"]);
    let rated = router("rated")
        .priced_by("reported")
        .models(&["rated-model"])
        .line("[providers.rated.prices.\"*\"]\ninput = \"1\"\noutput = \"5\"");
    let ceiling = router("ceiling")
        .priced_by("reported")
        .models(&["c-model"])
        .request_ceiling("0.01");
    let own = router("own").models(&["own-model"]);
    let setup = [reported, rated, ceiling, own]
        .iter()
        .fold(Gatekeeper::without_providers(), |setup, provider| {
            setup.provider(provider)
        });
    let mut gatekeeper = setup.start();
    let blocked = gatekeeper.team_with_budget("blocked", "1");
    let blocked = gatekeeper.key_of(&blocked);
    let open = gatekeeper.team(&json!({"name": "open"}));
    let open = gatekeeper.key_of(&open);
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 20, "cost": 1.23e-4});
    upstream.respond_with(answer(&usage));
    let refused = gatekeeper.user(&blocked).chat(&hello("r-model"));
    assert_eq!(refused.assert_status(402).error_type(), "cost_unbounded");
    assert_eq!(upstream.request_count(), 0);
    for (key, model, cost) in [
        (&open, "r-model", "0.000123"),
        (&blocked, "rated-model", "0.000123"),
        (&blocked, "c-model", "0.000123"),
        // the operator's rates stay the price; the report is there to compare
        (&blocked, "own-model", "0.00011"),
    ] {
        gatekeeper.user(key).chat(&hello(model)).assert_status(200);
        let row = newest(&gatekeeper);
        assert_eq!(row["cost_usd"], cost, "{model}");
        assert_eq!(row["reported_cost_usd"], "0.000123", "{model}");
        // only the first has no hold that could cover it
        let is_over = row["flags"] == json!(["over_ceiling"]);
        assert_eq!(is_over, model == "r-model", "{row}");
    }
    // without the report the hold is the cost
    upstream.respond_with(answer(
        &json!({"prompt_tokens": 10, "completion_tokens": 20}),
    ));
    gatekeeper
        .user(&blocked)
        .chat(&hello("c-model"))
        .assert_status(200);
    let row = newest(&gatekeeper);
    assert_eq!(
        (&row["cost_usd"], &row["flags"]),
        (&json!("0.01"), &json!(["estimated"]))
    );
    let id = row["id"].as_str().expect("an id");
    let explained = gatekeeper.run(&["requests", "explain", id]);
    let words = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(words.contains("= $0.01"), "{words}");
}
