//! Members that a server of a borrowed dialect may take for the output cap or the number of answers: they never lift the cap by
//! which money is held.

use serde_json::{Value, json};

use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::upstream::Upstream;

fn with(member: &str, value: Value) -> Value {
    let mut body = json!({"model": "m-small", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]});
    body[member] = value;
    body
}

#[test]
fn other_name_of_the_output_cap_is_refused_under_a_block_budget() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("blocked", "0.01");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    for alias in [
        "n_predict",
        "num_predict",
        "max_new_tokens",
        "max_length",
        "best_of",
        "num_return_sequences",
        "n\\u005fpredict",
    ] {
        let body = format!(
            r#"{{"model":"m-small","max_tokens":20,"{alias}":100000,"messages":[{{"role":"user","content":"x"}}]}}"#
        );
        let refusal = user.post_bytes("/v1/chat/completions", body.as_bytes());
        assert_eq!(
            (
                refusal.assert_status(400).error_type(),
                upstream.request_count()
            ),
            ("invalid_request_error".to_owned(), 0),
            "{alias}"
        );
        assert!(refusal.error_message().contains("`max_tokens`"));
    }
    let refusal = user.chat(&with("options", json!({"num_predict": 100_000})));
    assert!(
        refusal
            .assert_status(400)
            .error_message()
            .contains("options.num_predict")
    );
    assert_eq!(upstream.request_count(), 0);
}

#[test]
fn unknown_member_is_dropped_and_named_under_a_block_budget_unless_the_provider_takes_it() {
    let upstream = Upstream::start();
    let lan = Provider::openai("lan", &upstream)
        .models(&["m-lan"])
        .line("takes = [\"slot_id\"]");
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).provider(&lan).start();
    let team = gatekeeper.team_with_budget("blocked", "1");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let mut body = with("slot_id", json!(7));
    body["x_more_tokens"] = json!(1);
    body["top_k"] = json!(40);
    let served = user.chat(&body);
    assert_eq!(
        served
            .assert_status(200)
            .header("x-gatekeeper-dropped-params"),
        Some("slot_id, x_more_tokens")
    );
    let sent = upstream.last_request().json();
    assert_eq!(
        (&sent["slot_id"], &sent["x_more_tokens"], &sent["top_k"]),
        (&Value::Null, &Value::Null, &json!(40))
    );
    body["model"] = json!("m-lan");
    user.chat(&body).assert_status(200);
    assert_eq!(upstream.last_request().json()["slot_id"], 7);
}

#[test]
fn unknown_member_goes_up_where_no_budget_blocks() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team(&json!({"name": "open"}));
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    user.chat(&with("n_predict", json!(100))).assert_status(200);
    assert_eq!(upstream.last_request().json()["n_predict"], 100);
}
