//! Reports whose own total contradicts their parts: the rest is output, in every dialect that reports a total.

use serde_json::{Value, json};

use super::newest;
use crate::budget::vendor_responses::Vendor;
use crate::harness::process::{Gatekeeper, Key};
use crate::harness::upstream::Upstream;

/// Gateway with a provider of each dialect that reports a total, and a key.
fn gateway(upstream: &Upstream) -> (Gatekeeper, Key) {
    let vendors = [
        Vendor::Chat,
        Vendor::Compatible,
        Vendor::Converse,
        Vendor::Gemini,
        Vendor::Responses,
    ];
    let setup = vendors
        .iter()
        .fold(Gatekeeper::without_providers(), |setup, vendor| {
            setup.provider(&vendor.provider(upstream))
        });
    let mut gatekeeper = setup.start();
    let team = gatekeeper.team_with_budget("eng", "10");
    let key = gatekeeper.key_of(&team);
    (gatekeeper, key)
}

#[test]
fn tokens_of_a_total_beyond_its_parts_are_output() {
    use Vendor::{Chat, Compatible, Converse, Gemini, Responses};
    let upstream = Upstream::start();
    let (gatekeeper, key) = gateway(&upstream);
    let beside = json!({"reasoning_tokens": 120});
    let chat = json!({"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 150,
        "completion_tokens_details": beside});
    // a vendor that counts reasoning beside the completion, without a total
    let untotaled = json!({"prompt_tokens": 10, "completion_tokens": 20,
        "completion_tokens_details": beside});
    // within the completion or beside it, which no total tells: the dearer reading of an unknown vendor, the dialect's of a known one
    let within_or_beside = json!({"prompt_tokens": 10, "completion_tokens": 100,
        "completion_tokens_details": {"reasoning_tokens": 40}});
    let within_untotaled = json!({"prompt_tokens": 10, "completion_tokens": 140,
        "completion_tokens_details": {"reasoning_tokens": 40}});
    // a total that leaves reasoning out
    let bare_total = json!({"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30,
        "completion_tokens_details": beside});
    let cached = json!({"inputTokens": 4, "cacheReadInputTokens": 6, "outputTokens": 20, "totalTokens": 150});
    let responses = json!({"input_tokens": 10, "output_tokens": 20, "total_tokens": 150});
    let gemini =
        json!({"promptTokenCount": 10, "candidatesTokenCount": 20, "totalTokenCount": 150});
    let within = json!({"prompt_tokens": 10, "completion_tokens": 140, "total_tokens": 150,
        "completion_tokens_details": beside});
    let less = json!({"prompt_tokens": 10, "completion_tokens": 140, "total_tokens": 7});
    // a total without details, and one beyond a completion that could contain the reasoning
    let bare = json!({"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 150});
    let beyond = json!({"prompt_tokens": 10, "completion_tokens": 100, "total_tokens": 150,
        "completion_tokens_details": {"reasoning_tokens": 40}});
    let check = |vendor: Vendor, usage: &Value, streamed: bool| {
        let script = vendor.respond(streamed, &vendor.usage_member(&usage.to_string()));
        upstream.respond_with(script);
        let client = vendor.clients()[0];
        let request = client.request(vendor, streamed);
        let user = gatekeeper.user(&key);
        let answer = user.post_bytes(client.path(), request.to_string().as_bytes());
        answer.assert_status(200);
        let row = newest(&gatekeeper);
        let counts = (
            &row["usage"]["input_tokens"],
            &row["usage"]["output_tokens"],
        );
        assert_eq!(counts, (&json!(10), &json!(140)), "{vendor:?} {usage}");
    };
    for streamed in [false, true] {
        for (vendor, usage) in [
            (Chat, &bare),
            (Chat, &beyond),
            (Chat, &chat),
            (Compatible, &chat),
            (Compatible, &untotaled),
            (Compatible, &within_or_beside),
            (Chat, &within_untotaled),
            (Chat, &bare_total),
            (Compatible, &bare_total),
            (Converse, &cached),
            (Gemini, &gemini),
            (Responses, &responses),
            (Chat, &within),
            (Chat, &less),
        ] {
            check(vendor, usage, streamed);
        }
    }
}
