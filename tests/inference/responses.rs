//! Responses as Codex, OpenAI's SDKs and the AI SDK speak it: to OpenAI and Azure byte for byte, to everybody else through the
//! hub. Requests are those that Codex 0.169 sent, recorded.

use serde_json::{Value, json};

use super::house::{Chat, House, refused_at};
use crate::harness::client::{Response, SseEvent};
use crate::harness::golden;
use crate::harness::process::{Provider, UPSTREAM_KEY};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const PATH: &str = "/v1/responses";
/// What the recording comes to at 1 and 5 dollars per million tokens.
const COST: &str = ": x-gatekeeper-cost-usd 0.0026\n\n";

/// A gateway in front of one account at this vendor, as provider `v` with the model `m`.
fn house(vendor: &str) -> House {
    let upstream = Upstream::start();
    let provider = Provider::openai("v", &upstream)
        .preset(vendor)
        .models(&["m"]);
    let provider = if vendor == "azure" {
        provider.base_url(&upstream.url())
    } else {
        provider
    };
    House::before(upstream, |setup| setup.provider(&provider))
}

/// A small request, with more members.
fn asking(more: &str) -> String {
    format!(r#"{{"model":"m","input":"say it"{more}}}"#)
}

/// What Codex sent, with the model of these tests.
fn codex(recording: &str) -> String {
    let body = golden(&format!("codex/{recording}.json"));
    let asked = body.find(r#""model":""#).map(|at| at + 9).expect("a model");
    let end = body[asked..].find('"').expect("its end") + asked;
    format!("{}m{}", &body[..asked], &body[end..])
}

/// The recording as the client must see it.
fn shown(recording: &str, line_end: &str) -> String {
    let mut events: Vec<String> = recording
        .split_inclusive("\n\n")
        .map(|event| event.replace('\n', line_end))
        .collect();
    events.insert(events.len() - 1, COST.to_owned());
    events.concat()
}

/// The events of a translated stream: numbered without a gap, and each under its own name.
#[track_caller]
fn events(answer: &Response) -> Vec<Value> {
    let events = answer.text();
    let data = events
        .split("\n\n")
        .filter(|event| event.starts_with("event: "));
    let events: Vec<Value> = data
        .map(|event| {
            let (name, data) = event.split_once("\ndata: ").expect("data");
            let json: Value = serde_json::from_str(data).expect("JSON on one line");
            assert_eq!(json["type"], json!(name.trim_start_matches("event: ")));
            json
        })
        .collect();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], json!(number), "{event}");
    }
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["type"].as_str()?.strip_prefix("response."))
        .collect()
}

#[test]
fn b07_what_codex_sends_reaches_openai_byte_for_byte() {
    let house = house("openai");
    house
        .upstream
        .respond_with(Script::stream([golden("openai/responses.sse")]));
    for recording in ["tools-1", "tools-2", "additional-tools-1"] {
        let body = codex(recording);
        for path in [PATH, "/responses", "/v1/v1/responses"] {
            house
                .user()
                .post_bytes(path, body.as_bytes())
                .assert_status(200);
            let sent = house.upstream.last_request();
            assert_eq!(
                (sent.path(), String::from_utf8_lossy(&sent.body)),
                ("/v1/responses", body.as_str().into())
            );
            assert_eq!(
                sent.header("authorization"),
                Some(format!("Bearer {UPSTREAM_KEY}").as_str())
            );
            house.booked().ends("ok", &[]).costs(2_000, 120);
        }
    }
}

#[test]
fn b11_what_the_ai_sdk_sends_by_default_goes_to_openai_and_to_others() {
    let body = r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"hello"}]}],"tools":[{"type":"function","name":"get_weather","description":"w","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}],"tool_choice":"auto","stream":true}"#;
    let house = house("openai");
    house
        .upstream
        .respond_with(Script::stream([golden("openai/responses.sse")]));
    house
        .user()
        .post_bytes(PATH, body.as_bytes())
        .assert_status(200);
    assert_eq!(
        String::from_utf8_lossy(&house.upstream.last_request().body),
        body
    );
    house.booked().ends("ok", &[]).costs(2_000, 120);

    let house = translated();
    house.upstream.respond_with(Script::stream(Chat.stream(2)));
    let answer = house
        .user()
        .post_bytes(PATH, body.replace(r#""m""#, r#""m-small""#).as_bytes());
    assert_eq!(
        kinds(&events(answer.assert_status(200))).last(),
        Some(&"completed")
    );
    assert_eq!(
        house.upstream.last_request().json()["tools"][0]["function"]["name"],
        json!("get_weather")
    );
    house.booked().ends("ok", &[]).costs(10, 2);
}

#[test]
fn p07_a_stream_of_responses_reaches_the_client_byte_for_byte_however_it_is_cut() {
    let house = house("openai");
    let recording = golden("openai/responses.sse");
    for line_end in ["\n", "\r\n"] {
        let sent = recording.replace('\n', line_end);
        let crab = sent.find('🦀').expect("a letter of four bytes") + 2;
        let (head, tail) = sent.as_bytes().split_at(crab);
        for script in [
            Script::stream([&sent]),
            Script::stream([&sent]).one_byte_per_write(),
            Script::stream(sent.bytes().map(|byte| [byte])),
            Script::stream([head, tail]).pause_ms_between(20),
        ] {
            house.upstream.respond_with(script);
            let answer = house
                .user()
                .post_bytes(PATH, asking(r#","stream":true"#).as_bytes());
            assert_eq!(
                answer.assert_status(200).text(),
                shown(&recording, line_end)
            );
            let row = house.booked();
            row.ends("ok", &[]).costs(2_000, 120);
            assert_eq!(
                row.0["usage"],
                json!({"input_tokens": 2_000, "cached_tokens": 1_500, "cache_write_tokens": 300, "output_tokens": 120, "reasoning_tokens": 64})
            );
        }
    }
}

#[test]
fn p07_a_whole_answer_of_responses_is_passed_on_byte_for_byte() {
    let house = house("openai");
    let recording = golden("openai/responses.json");
    for script in [
        Script::unary(200, &recording),
        Script::unary(200, &recording)
            .chunked()
            .one_byte_per_write(),
    ] {
        house.upstream.respond_with(script);
        let answer = house.user().post_bytes(PATH, asking("").as_bytes());
        assert_eq!(answer.assert_status(200).text(), recording);
        house.booked().ends("ok", &[]).costs(2_000, 120);
    }
}

#[test]
fn p07_sealed_thoughts_and_calls_go_back_upstream_as_they_came() {
    let house = house("openai");
    let answer: Value = serde_json::from_str(&golden("openai/responses.json")).expect("JSON");
    let body = format!(
        r#"{{"model":"m","input":{} , "store":false,"tools":[{{"type":"custom","name":"apply_patch"}}],"include":["reasoning.encrypted_content"],"x_new":1.0}}"#,
        answer["output"]
    );
    house
        .upstream
        .respond_with(Script::unary(200, golden("openai/responses.json")));
    house
        .user()
        .post_bytes(PATH, body.as_bytes())
        .assert_status(200);
    assert_eq!(
        String::from_utf8_lossy(&house.upstream.last_request().body),
        body
    );
    house.booked().ends("ok", &[]);
}

#[test]
fn azure_is_reached_at_its_own_path_of_responses() {
    let house = house("azure");
    house
        .upstream
        .respond_with(Script::unary(200, golden("openai/responses.json")));
    house
        .user()
        .post_bytes(PATH, asking("").as_bytes())
        .assert_status(200);
    let sent = house.upstream.last_request();
    assert_eq!(
        (sent.path(), sent.header("api-key")),
        ("/openai/v1/responses", Some(UPSTREAM_KEY))
    );
    house.booked().ends("ok", &[]).costs(2_000, 120);
}

#[test]
fn a_stream_that_fails_or_breaks_off_ends_with_an_error_that_each_client_hears() {
    let house = house("openai");
    let recording = golden("openai/responses-failed.sse");
    let failure = recording
        .find("event: response.failed")
        .expect("the failure");
    for (sent, word, status) in [
        (&recording[..], "upstream_error", "broken"),
        (&recording[..failure], "upstream_error", "truncated"),
    ] {
        house.upstream.respond_with(
            Script::stream([&recording[..failure], &sent[failure..]]).pause_ms_between(50),
        );
        let answer = house
            .user()
            .post_bytes(PATH, asking(r#","stream":true"#).as_bytes());
        let text = answer.assert_status(200).text();
        assert!(text.starts_with(&recording[..failure]), "{text}");
        let told = events(&answer);
        let (error, failed) = (&told[told.len() - 2], &told[told.len() - 1]);
        assert_eq!(
            (&error["error"]["code"], &error["error"]["message"]),
            (&json!(word), &error["message"]),
            "{error}"
        );
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("error"), &json!(word)),
            "{error}"
        );
        assert_eq!(
            failed["response"]["error"]["message"], error["message"],
            "{failed}"
        );
        assert_eq!(
            (&failed["response"]["id"], &failed["response"]["status"]),
            (&json!("resp_0a51"), &json!("failed"))
        );
        house.booked().ends(status, &["estimated"]);
    }
}

#[test]
fn a_budget_caps_the_output_under_this_dialect_s_name() {
    let mut house = house("openai");
    let team = house.gatekeeper.team_with_budget("spare", "0.01");
    let key = house.gatekeeper.key_of(&team);
    let small = json!({"id": "resp_1", "object": "response", "status": "completed", "error": null, "output": [],
        "usage": {"input_tokens": 5, "output_tokens": 3}});
    house.upstream.respond_with(Script::json(200, &small));
    let answer = house
        .gatekeeper
        .user(&key)
        .post_bytes(PATH, asking("").as_bytes());
    let cap = answer
        .assert_status(200)
        .header("x-gatekeeper-output-cap")
        .expect("a cap")
        .to_owned();
    let body = String::from_utf8_lossy(&house.upstream.last_request().body).into_owned();
    assert_eq!(body, asking(&format!(r#","max_output_tokens":{cap}"#)));
    house.booked().ends("ok", &[]);
    // and what nothing bounds is refused: Codex brings a search of its vendor's
    let answer = house
        .gatekeeper
        .user(&key)
        .post_bytes(PATH, codex("tools-1").as_bytes());
    let message = refused_at(Chat, &answer, 402, "cost_unbounded", "model");
    assert!(message.contains("hosted tool web_search"), "{message}");
    house.nothing_happened();
}

#[test]
fn what_has_no_meter_or_no_input_is_refused() {
    let house = house("openai");
    for (more, status, word, param) in [
        (r#","background":true"#, 501, "not_supported", "background"),
        (r#","input":7"#, 400, "invalid_request_error", "input"),
        (
            r#","max_output_tokens":"many""#,
            400,
            "invalid_request_error",
            "max_output_tokens",
        ),
    ] {
        let body = asking(more);
        let body = if param == "input" {
            r#"{"model":"m","input":7}"#.to_owned()
        } else {
            body
        };
        refused_at(
            Chat,
            &house.user().post_bytes(PATH, body.as_bytes()),
            status,
            word,
            param,
        );
    }
    house.nothing_happened();
}

/// Before `openai_compatible` (chat) and `anthropic` (messages).
fn translated() -> House {
    House::opens()
}

fn asks(house: &House, model: &str, streamed: bool, more: &str) -> Response {
    let body = format!(r#"{{"model":"{model}","input":"say it","stream":{streamed}{more}}}"#);
    house.user().post_bytes(PATH, body.as_bytes())
}

#[test]
fn t03_a_text_of_another_dialect_comes_in_the_full_sequence_of_events() {
    let house = translated();
    for (dialect, model) in [
        (super::house::Chat, "m-small"),
        (super::house::Messages, "c-small"),
    ] {
        for script in [
            Script::stream(dialect.stream(3)),
            Script::stream(dialect.stream(3)).one_byte_per_write(),
        ] {
            house.upstream.respond_with(script);
            let answer = asks(&house, model, true, "");
            let told = events(answer.assert_status(200));
            assert_eq!(
                kinds(&told),
                [
                    "created",
                    "in_progress",
                    "output_item.added",
                    "content_part.added",
                    "output_text.delta",
                    "output_text.delta",
                    "output_text.delta",
                    "output_text.done",
                    "content_part.done",
                    "output_item.done",
                    "completed",
                ]
            );
            let last = &told[10]["response"];
            assert_eq!(last["output"][0]["content"][0]["text"], json!("w0 w1 w2 "));
            assert_eq!(
                (
                    &last["usage"]["input_tokens"],
                    &last["usage"]["output_tokens"]
                ),
                (&json!(10), &json!(3))
            );
            house.booked().ends("ok", &[]).costs(10, 3);
        }
        house.upstream.respond_with(
            Script::stream(dialect.stream(3))
                .only(4)
                .pause_ms_between(20),
        );
        let told = events(asks(&house, model, true, "").assert_status(200));
        assert_eq!(
            told.last().expect("an end")["type"],
            json!("response.failed"),
            "{told:?}"
        );
        assert_eq!(house.booked().0["status"], json!("truncated"));
    }
}

#[test]
fn t03_a_body_of_responses_on_the_path_of_chat_is_answered_in_kind() {
    let house = translated();
    house.upstream.respond_with(Script::stream(Chat.stream(1)));
    let answer = house
        .user()
        .chat(&json!({"model": "m-small", "input": "say it", "stream": true}));
    assert_eq!(
        kinds(&events(answer.assert_status(200))).last(),
        Some(&"completed")
    );
    house.booked().ends("ok", &[]).costs(10, 1);
}

/// An answer of Anthropic's: thoughts with a signature, and a call of this tool.
fn messages_call(name: &str, arguments: &str) -> Vec<String> {
    let event = |data: Value| {
        format!(
            "event: {}\ndata: {data}\n\n",
            data["type"].as_str().expect("a type")
        )
    };
    let delta = |index: u64, delta: Value| {
        event(json!({"type": "content_block_delta", "index": index, "delta": delta}))
    };
    let start = |index: u64, block: Value| {
        event(json!({"type": "content_block_start", "index": index, "content_block": block}))
    };
    let stop = |index: u64| event(json!({"type": "content_block_stop", "index": index}));
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "c-small", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 40, "output_tokens": 1}});
    let (half, rest) = arguments.split_at(arguments.len() / 2);
    vec![
        event(json!({"type": "message_start", "message": message})),
        start(
            0,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
        delta(
            0,
            json!({"type": "thinking_delta", "thinking": "I shall run it."}),
        ),
        delta(
            0,
            json!({"type": "signature_delta", "signature": "EqQBCgIYAhIM+/="}),
        ),
        stop(0),
        start(
            1,
            json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}),
        ),
        delta(1, json!({"type": "input_json_delta", "partial_json": half})),
        delta(1, json!({"type": "input_json_delta", "partial_json": rest})),
        stop(1),
        event(
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
            "usage": {"output_tokens": 30}}),
        ),
        event(json!({"type": "message_stop"})),
    ]
}

/// Sends a body, streamed, and gives the items of the answer.
#[track_caller]
fn items(house: &House, body: &Value, script: Script) -> Vec<Value> {
    house.upstream.respond_with(script);
    let answer = house.user().post(PATH, body);
    let told = events(answer.assert_status(200));
    house.booked().ends("ok", &[]);
    told.last().expect("the end")["response"]["output"]
        .as_array()
        .expect("items")
        .clone()
}

#[test]
fn t06_r06_codex_runs_a_command_for_anthropic_and_the_thoughts_come_back_signed() {
    let house = translated();
    let mut body: Value = serde_json::from_str(&codex("tools-1")).expect("JSON");
    body["model"] = json!("c-small");
    let script = Script::stream(messages_call("exec_command", r#"{"cmd":"echo hi"}"#));
    let told = items(&house, &body, script);
    assert_eq!(
        told[0]["summary"],
        json!([{"type": "summary_text", "text": "I shall run it."}])
    );
    assert_eq!(
        (&told[1]["type"], &told[1]["call_id"]),
        (&json!("function_call"), &json!("toolu_1"))
    );
    assert_eq!(told[1]["arguments"], json!(r#"{"cmd":"echo hi"}"#));

    let input = body["input"].as_array_mut().expect("items");
    input.extend(told);
    input.push(json!({"type": "function_call_output", "call_id": "toolu_1", "output": "hi\n"}));
    let dialect = super::house::Messages;
    let told = items(&house, &body, Script::stream(dialect.stream(2)));
    assert_eq!(told[0]["content"][0]["text"], json!("w0 w1 "));
    let sent: Value = serde_json::from_slice(&house.upstream.last_request().body).expect("JSON");
    let turns = sent["messages"].as_array().expect("turns");
    let (call, result) = (
        &turns[turns.len() - 2]["content"],
        &turns[turns.len() - 1]["content"],
    );
    assert_eq!(
        call[0],
        json!({"type": "thinking", "thinking": "I shall run it.", "signature": "EqQBCgIYAhIM+/="}),
        "{call}"
    );
    assert_eq!(
        (&call[1]["id"], &call[1]["input"]),
        (&json!("toolu_1"), &json!({"cmd": "echo hi"})),
        "{call}"
    );
    assert_eq!(
        (&result[0]["type"], &result[0]["tool_use_id"]),
        (&json!("tool_result"), &json!("toolu_1")),
        "{result}"
    );
    let tools: Vec<&str> = sent["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .collect();
    assert!(
        tools.contains(&"apply_patch")
            && tools.contains(&"tool_search")
            && !tools.contains(&"web_search"),
        "{tools:?}"
    );
    assert!(!sent.to_string().contains("gk1."), "the seal is opened");
}

#[test]
fn e27_a_custom_tool_of_a_namespace_is_called_in_its_own_form_by_another_vendor() {
    let house = translated();
    let mut body: Value = serde_json::from_str(&codex("additional-tools-1")).expect("JSON");
    body["model"] = json!("c-small");
    let told = items(
        &house,
        &body,
        Script::stream(messages_call(
            "functions__exec",
            r#"{"input":"text(\"hi\")"}"#,
        )),
    );
    let call = &told[1];
    assert_eq!(
        (&call["type"], &call["namespace"], &call["name"]),
        (
            &json!("custom_tool_call"),
            &json!("functions"),
            &json!("exec")
        )
    );
    assert_eq!(call["input"], json!("text(\"hi\")"));
}

#[test]
fn hosted_tools_are_named_and_bound_nothing_where_they_are_not_sent() {
    let mut house = translated();
    let team = house.gatekeeper.team_with_budget("spare", "1");
    let key = house.gatekeeper.key_of(&team);
    house.upstream.respond_with(Script::unary(200, r#"{"id":"c1","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":3}}"#));
    let body = r#"{"model":"m-small","input":"hi","tools":[{"type":"web_search"},{"type":"function","name":"f","parameters":{}}]}"#;
    let answer = house
        .gatekeeper
        .user(&key)
        .post_bytes(PATH, body.as_bytes());
    assert_eq!(
        answer
            .assert_status(200)
            .header("x-gatekeeper-dropped-params"),
        Some("tools.web_search")
    );
    let whole = answer.json();
    assert_eq!(
        (&whole["status"], &whole["output"][0]["content"][0]["text"]),
        (&json!("completed"), &json!("yes"))
    );
    house.booked().ends("ok", &[]).costs(10, 3);
}

#[test]
fn what_only_openai_keeps_is_refused_elsewhere() {
    let house = translated();
    for (more, param) in [
        (
            r#","previous_response_id":"resp_1""#,
            "previous_response_id",
        ),
        (r#","conversation":"conv_1""#, "conversation"),
        (
            r#","tools":[{"type":"web_search"}],"tool_choice":{"type":"web_search"}"#,
            "tool_choice",
        ),
    ] {
        refused_at(
            Chat,
            &asks(&house, "c-small", false, more),
            400,
            "invalid_request_error",
            param,
        );
    }
    let reference = r#"{"model":"c-small","input":[{"type":"item_reference","id":"rs_1"}]}"#;
    let message = refused_at(
        Chat,
        &house.user().post_bytes(PATH, reference.as_bytes()),
        400,
        "invalid_request_error",
        "input",
    );
    assert!(message.contains("store: false"), "{message}");
    house.nothing_happened();
}

#[test]
fn a_silent_upstream_is_covered_by_comments_that_every_client_passes_over() {
    let upstream = Upstream::start();
    let house = House::before(upstream, |setup| setup.setting("[limits]\nping_s = 1"));
    let [before, content, after] = Chat.events(1);
    house.upstream.respond_with(
        Script::stream([before.concat() + &content.concat(), after.concat()])
            .pause_ms_between(1_500),
    );
    let stream = house.user().open_stream(
        PATH,
        &json!({"model": "m-small", "input": "say it", "stream": true}),
    );
    let (told, _) = stream.read_events();
    let is_ping = |event: &SseEvent| event.raw.starts_with(b": ping");
    assert!(told.iter().any(is_ping), "{}", told.len());
    house.booked().ends("ok", &[]);
}
