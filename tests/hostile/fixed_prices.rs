//! A fixed price covers the models that it is said for: other names have no known price, and names by which the vendor chooses
//! or adds have no bound.

use serde_json::json;

use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::upstream::Upstream;

fn request(model: &str) -> serde_json::Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]})
}

#[test]
fn fixed_price_of_listed_models_is_no_price_of_another_model_under_a_block_budget() {
    let upstream = Upstream::start();
    let lan = Provider::openai("lan", &upstream).models(&["llama-4"]);
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).provider(&lan).start();
    let team = gatekeeper.team_with_budget("blocked", "10");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    for model in ["lan/claude-opus-4-5", "lan/llama-4-405b", "lan/*"] {
        let refusal = user.chat(&request(model));
        assert_eq!(
            (
                refusal.assert_status(402).error_type(),
                upstream.request_count()
            ),
            ("price_unknown".to_owned(), 0),
            "{model}"
        );
    }
    assert!(user.chat(&request("llama-4")).assert_status(200).cost() > 0);
    assert!(user.chat(&request("lan/llama-4")).assert_status(200).cost() > 0);
    let open =
        gatekeeper.team(&json!({"name": "open", "budgets": [{"limit": "10", "action": "warn"}]}));
    let open = gatekeeper.user(&gatekeeper.key_of(&open));
    let served = open.chat(&request("lan/claude-opus-4-5"));
    assert_eq!(served.assert_status(200).cost(), 0);
    gatekeeper.usage();
    assert_eq!(gatekeeper.requests()[0]["flags"], json!(["unpriced"]));
}

#[test]
fn fixed_price_with_a_star_covers_every_model() {
    let upstream = Upstream::start();
    let lan = Provider::openai("lan", &upstream).models(&["*", "llama-4"]);
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).provider(&lan).start();
    let team = gatekeeper.team_with_budget("blocked", "10");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let served = user.chat(&request("lan/any-model"));
    assert!(served.assert_status(200).cost() > 0);
    let names = user.get("/v1/models").assert_status(200).json().to_string();
    assert!(names.contains("llama-4") && !names.contains('*'), "{names}");
}

#[test]
fn name_by_which_the_vendor_chooses_is_unbounded_under_a_block_budget() {
    let upstream = Upstream::start();
    let router = |name: &str| {
        Provider::openai(name, &upstream)
            .preset("openrouter")
            .models(&["*"])
    };
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .provider(&router("or"))
        .provider(&router("capped").request_ceiling("0.25"))
        .start();
    let team = gatekeeper.team_with_budget("blocked", "10");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    for model in ["openrouter/auto", "meta/llama-4:online", "@preset/dear"] {
        let refusal = user.chat(&request(&format!("or/{model}")));
        assert_eq!(
            (
                refusal.assert_status(402).error_type(),
                upstream.request_count()
            ),
            ("cost_unbounded".to_owned(), 0),
            "{model}"
        );
        assert!(refusal.error_message().contains(model));
    }
    user.chat(&request("capped/openrouter/auto"))
        .assert_status(200);
    user.chat(&request("or/meta/llama-4")).assert_status(200);
}
