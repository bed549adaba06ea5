//! Names of models: budgets, limits and allow-lists for a model count its snapshots and no other model; ids with slashes route and
//! have a price.

use serde_json::{Value, json};

use super::{hello, listed, newest, start};
use crate::harness::process::text;
use crate::harness::upstream::Upstream;

#[test]
fn budget_limit_and_allow_list_of_a_model_count_its_snapshots() {
    let upstream = Upstream::start();
    let (mut gatekeeper, _) = start(&[listed("openai", &upstream)], "10");
    let budgets = json!([{"limit": "1", "model": "gpt-5.1"}]);
    let limits = json!([{"rpm": 60, "model": "gpt-5.1"}]);
    let team = gatekeeper.team(&json!({"name": "snapshots", "limits": limits}));
    let key = gatekeeper.key(&json!({"name": "ci", "team": team.id, "budgets": budgets,
        "models": ["gpt-5.1", "openai/gpt-4o-mini"]}));
    let user = gatekeeper.user(&key);
    let path = format!("/v1/keys/{}", key.id);
    let spent = || text(&gatekeeper.admin().get(&path).json()["budgets"][0], "spent");
    let calls = || {
        let team = gatekeeper.admin().get(&format!("/v1/teams/{}", team.id));
        team.json()["limits"][0]["remaining_requests"].clone()
    };
    user.chat(&hello("gpt-5.1")).assert_status(200);
    let undated = spent();
    assert_ne!(undated, "0");
    user.chat(&hello("gpt-5.1-2025-11-13")).assert_status(200);
    assert_ne!(spent(), undated, "a snapshot counts");
    assert!(calls().as_u64().is_some_and(|left| left <= 58));
    let both = spent();
    user.chat(&hello("gpt-4o-mini-2024-07-18"))
        .assert_status(200);
    assert_eq!(spent(), both, "another model does not count");
    for model in ["gpt-5.1-codex", "gpt-5.1-codex-mini", "gpt-5", "gpt-4o"] {
        let refused = user.chat(&hello(model));
        assert_eq!(refused.assert_status(403).error_type(), "model_not_allowed");
    }
    assert_eq!(spent(), both);
}

#[test]
fn vendor_id_with_slashes_routes_and_has_a_price() {
    let upstream = Upstream::start();
    let groq = listed("groq", &upstream);
    let together = listed("together", &upstream);
    let openai = listed("openai", &upstream);
    let (gatekeeper, key) = start(&[openai, groq, together], "10");
    for (asked, provider, model) in [
        ("groq/openai/gpt-oss-120b", "groq", "openai/gpt-oss-120b"),
        (
            "together/meta-llama/Llama-3.3-70B-Instruct-Turbo",
            "together",
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        ),
        (
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
            "together",
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        ),
    ] {
        let answer = gatekeeper.user(&key).chat(&hello(asked));
        answer.assert_status(200);
        assert_eq!(upstream.last_request().json()["model"], model);
        let row: Value = newest(&gatekeeper);
        assert_eq!(
            (&row["provider"], &row["model"]),
            (&json!(provider), &json!(model))
        );
        assert_ne!(row["cost_usd"], "0", "{row}");
        assert_eq!(row["flags"], json!([]), "{row}");
    }
}
