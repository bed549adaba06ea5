//! Tools that a vendor runs: fees by tool, vendor and model, also where the model searches by itself, and refusals with an advice
//! that helps.

use serde_json::{Value, json};

use super::{amount, listed, newest, start};
use crate::harness::hello;
use crate::harness::process::Gatekeeper;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

fn response(tool: &str, items: &[Value]) -> Script {
    Script::json(
        200,
        &json!({"id": "resp_a", "object": "response", "status": "completed", "model": "m", "output": items,
            "tools": [{"type": tool}], "usage": {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}}),
    )
}

#[test]
fn fee_follows_tool_vendor_and_model() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::without_providers()
        .provider(&listed("openai", &upstream))
        .provider(&listed("groq", &upstream))
        .start();
    let team = gatekeeper.team(&json!({"name": "open"}));
    let key = gatekeeper.key_of(&team);
    let user = gatekeeper.user(&key);
    let search = json!({"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search"}});
    let file =
        json!({"type": "file_search_call", "id": "f", "status": "completed", "queries": ["x"]});
    let code = json!({"type": "code_interpreter_call", "id": "c", "container_id": "cntr_1", "status": "completed"});
    for (model, tool, items, class, usd) in [
        (
            "gpt-4.1",
            "web_search",
            vec![search.clone(), search.clone()],
            "web_search",
            "0.02",
        ),
        (
            "gpt-4.1",
            "web_search_preview",
            vec![search.clone()],
            "web_search_preview",
            "0.025",
        ),
        (
            "gpt-5.1",
            "web_search_preview",
            vec![search.clone()],
            "web_search_preview",
            "0.01",
        ),
        (
            "gpt-5.1",
            "file_search",
            vec![file.clone(), file],
            "file_search",
            "0.005",
        ),
        (
            "gpt-5.1",
            "code_interpreter",
            vec![code.clone(), code],
            "code_interpreter",
            "0.03",
        ),
    ] {
        upstream.respond_with(response(tool, &items));
        let body = json!({"model": model, "input": "x", "tools": [{"type": tool}]});
        user.post_bytes("/v1/responses", body.to_string().as_bytes())
            .assert_status(200);
        assert_eq!(amount(&newest(&gatekeeper), class), usd, "{model} {tool}");
    }
    let executed = json!([{"index": 0, "type": "browser.search", "arguments": "{}"},
        {"index": 1, "type": "browser.open", "arguments": "{}"}, {"index": 2, "type": "browser.open", "arguments": "{}"}]);
    let message = json!({"role": "assistant", "content": "hi", "executed_tools": executed});
    let body = json!({"id": "a", "object": "chat.completion", "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}});
    upstream.respond_with(Script::json(200, &body));
    user.chat(&hello("groq/openai/gpt-oss-120b"))
        .assert_status(200);
    let row = newest(&gatekeeper);
    assert_eq!(amount(&row, "browser_search"), "0.005", "{row}");
    assert_eq!(amount(&row, "browser_open"), "0.002", "{row}");
    assert_eq!(row["usage"]["searches"], 1);
}

#[test]
fn model_that_searches_by_itself_pays_for_each_request() {
    let upstream = Upstream::start();
    let (gatekeeper, key) = start(&[listed("openai", &upstream)], "10");
    let user = gatekeeper.user(&key);
    let mut searching = hello("gpt-4o-search-preview");
    for options in [Value::Null, json!({})] {
        searching["web_search_options"] = options;
        user.chat(&searching).assert_status(200);
        let row = newest(&gatekeeper);
        assert_eq!(amount(&row, "web_search"), "0.025", "{row}");
        let ceiling = row["ceiling_usd"].as_str().expect("a ceiling");
        assert!(ceiling.parse::<f64>().expect("a number") > 0.025, "{row}");
    }
    // another model has no bound, and to leave the member out helps
    let mut other = hello("gpt-4o");
    other["web_search_options"] = json!({});
    let refused = user.chat(&other);
    assert_eq!(refused.assert_status(402).error_type(), "cost_unbounded");
    assert!(refused.error_message().contains("leave it out"));
    other
        .as_object_mut()
        .expect("an object")
        .remove("web_search_options");
    user.chat(&other).assert_status(200);
}

#[test]
fn refusal_of_an_unbounded_tool_names_the_limit_that_helps() {
    let upstream = Upstream::start();
    let (gatekeeper, key) = start(&[listed("openai", &upstream)], "1000");
    let user = gatekeeper.user(&key);
    let file =
        json!({"type": "file_search_call", "id": "f", "status": "completed", "queries": ["x"]});
    upstream.respond_with(response("file_search", &[file]));
    for tool in ["web_search", "web_search_preview", "file_search"] {
        let mut body = json!({"model": "gpt-5.1", "input": "x", "max_output_tokens": 50, "tools": [{"type": tool}]});
        let call = |body: &Value| user.post_bytes("/v1/responses", body.to_string().as_bytes());
        let refused = call(&body);
        assert_eq!(refused.assert_status(402).error_type(), "cost_unbounded");
        let message = refused.error_message();
        assert!(
            message.contains(&format!("hosted tool {tool} without max_tool_calls"))
                && message.contains("set `max_tool_calls`"),
            "{message}"
        );
        body["max_tool_calls"] = json!(1);
        call(&body).assert_status(200);
    }
}

#[test]
fn refusal_of_a_tool_that_no_limit_bounds_does_not_advise_a_limit() {
    let upstream = Upstream::start();
    let providers = [listed("openai", &upstream), listed("anthropic", &upstream)];
    let (gatekeeper, key) = start(&providers, "1000");
    let user = gatekeeper.user(&key);
    let item = json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]});
    upstream.respond_with(response("function", &[item]));
    let body = |tools: Value| json!({"model": "gpt-5.1", "input": "x", "max_output_tokens": 50, "max_tool_calls": 1, "tools": tools});
    let call = |tools: Value| user.post_bytes("/v1/responses", body(tools).to_string().as_bytes());
    for tool in ["code_interpreter", "mcp", "telepathy"] {
        let refused = call(json!([{"type": tool}]));
        assert_eq!(refused.assert_status(402).error_type(), "cost_unbounded");
        let message = refused.error_message();
        assert!(
            message.contains(&format!("(hosted tool {tool})"))
                && !message.contains("max_tool_calls"),
            "{message}"
        );
    }
    call(json!([])).assert_status(200);
    let mut run = hello("claude-opus-5");
    run["tools"] =
        json!([{"type": "code_execution_20250825", "name": "code_execution", "max_uses": 1}]);
    let refused = user.messages(&run);
    refused.assert_status(402);
    let message = refused.error_message();
    assert!(
        message.contains("(hosted tool code_execution_20250825)") && !message.contains("max_uses"),
        "{message}"
    );
}
