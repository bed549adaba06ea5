//! Chat clients before Anthropic, and clients of the messages dialect before vendors that speak chat: what the vendor is sent, and
//! that recordings of what it answers reach the client with the same content and the same record however the network cuts them.

use serde_json::{Value, json};

use super::house::{Chat, House, Messages, is_error};
use crate::harness::client::{Response, SseEvent};
use crate::harness::golden;
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const SONNET: &str = "claude-sonnet-4-5";
const OPUS: &str = "claude-opus-5-5";
/// The signature in the recording.
const SIGNATURE: &str = "EqoBCkgIARABGAIiQL2UoU0b1OHYi+yCHpBY7U6FQW8";

/// A house whose provider `claude` has models of two generations.
fn house() -> House {
    let upstream = Upstream::start();
    let claude = Provider::anthropic("claude", &upstream).models(&[SONNET, OPUS]);
    House::before(upstream, |setup| setup.provider(&claude))
}

/// Every way to deliver a recording.
fn deliveries(recording: &str) -> Vec<Script> {
    let cut = |recording: &str| {
        let crab = recording.find('🦀').expect("a letter of four bytes") + 2;
        let (head, tail) = recording.as_bytes().split_at(crab);
        Script::stream([head, tail]).pause_ms_between(20)
    };
    let other_ends = recording.replace('\n', "\r\n");
    vec![
        Script::stream([recording]),
        Script::stream([recording]).one_byte_per_write(),
        cut(recording),
        Script::stream([&other_ends]),
        Script::stream([&other_ends]).one_byte_per_write(),
        cut(&other_ends),
    ]
}

fn chat(model: &str, more: Value) -> Value {
    with(
        json!({"model": model, "messages": [{"role": "user", "content": "say it"}]}),
        more,
    )
}

fn messages(more: Value) -> Value {
    with(
        json!({"model": "m-small", "max_tokens": 500, "messages": [{"role": "user", "content": "say it"}]}),
        more,
    )
}

fn with(mut body: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("members") {
        body[name] = value.clone();
    }
    body
}

fn tool() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "description": "d",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}])
}

/// What the upstream was sent; the call has a record.
#[track_caller]
fn sent(house: &House, path: &str, body: &Value) -> (Value, Response) {
    let answer = house.user().post(path, body);
    answer.assert_status(200);
    house.booked().ends("ok", &[]);
    (house.upstream.last_request().json(), answer)
}

#[track_caller]
fn sent_to_anthropic(house: &House, body: &Value) -> Value {
    house
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    sent(house, Chat.path(), body).0
}

#[track_caller]
fn sent_to_openai(house: &House, body: &Value) -> Value {
    house
        .upstream
        .respond_with(Script::unary(200, golden("openai/answer.json")));
    sent(house, Messages.path(), body).0
}

/// A chat stream as clients put it together: content, thoughts, calls by index, finish reason, usage.
fn chat_answer(events: &[SseEvent]) -> Value {
    let (mut content, mut reasoning, mut finish, mut usage) =
        (String::new(), String::new(), Value::Null, Value::Null);
    let mut calls: Vec<(Value, Value, String)> = Vec::new();
    for chunk in events.iter().map(SseEvent::json) {
        let choice = &chunk["choices"][0];
        content.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        reasoning.push_str(
            choice["delta"]["reasoning_content"]
                .as_str()
                .unwrap_or_default(),
        );
        for call in choice["delta"]["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let index = call["index"].as_u64().expect("an index") as usize;
            if index == calls.len() {
                calls.push((
                    call["id"].clone(),
                    call["function"]["name"].clone(),
                    String::new(),
                ));
            }
            calls[index]
                .2
                .push_str(call["function"]["arguments"].as_str().unwrap_or_default());
        }
        for (place, value) in [
            (&mut finish, &choice["finish_reason"]),
            (&mut usage, &chunk["usage"]),
        ] {
            if !value.is_null() {
                *place = value.clone();
            }
        }
    }
    assert_eq!(
        events.last().map(|event| event.data.as_str()),
        Some("[DONE]")
    );
    json!({"content": content, "reasoning": reasoning, "calls": calls, "finish": finish, "usage": usage})
}

/// A messages stream as the SDK's accumulator puts it together, its order checked.
fn message(events: &[SseEvent]) -> Value {
    let mut message = Value::Null;
    let mut open: Option<usize> = None;
    for event in events.iter().filter(|event| !event.data.is_empty()) {
        let data = event.json();
        assert_eq!(data["type"], json!(event.name));
        let index = data["index"].as_u64().map(|index| index as usize);
        match event.name.as_str() {
            "message_start" => message = data["message"].clone(),
            "content_block_start" => {
                let content = message["content"]
                    .as_array_mut()
                    .expect("a start comes first");
                assert_eq!((open, index), (None, Some(content.len())));
                content.push(data["content_block"].clone());
                open = index;
            }
            "content_block_delta" => {
                assert_eq!(open, index);
                let block = &mut message["content"][index.expect("an index")];
                for (delta, member) in [
                    ("text", "text"),
                    ("thinking", "thinking"),
                    ("signature", "signature"),
                    ("partial_json", "json"),
                ] {
                    if let Some(more) = data["delta"][delta].as_str() {
                        block[member] = json!(format!(
                            "{}{more}",
                            block[member].as_str().unwrap_or_default()
                        ));
                    }
                }
            }
            "content_block_stop" => assert_eq!(open.take(), index),
            "message_delta" => {
                message["stop_reason"] = data["delta"]["stop_reason"].clone();
                message["usage"] = data["usage"].clone();
            }
            _ => {}
        }
    }
    assert_eq!(
        events.last().map(|event| event.name.as_str()),
        Some("message_stop")
    );
    message
}

#[test]
fn t01_a_chat_client_gets_anthropics_text_and_its_exact_usage() {
    let house = house();
    house
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    let answer = house
        .user()
        .post(Chat.path(), &chat(SONNET, json!({})))
        .json();
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello 🦀!");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(house.booked().ends("ok", &[]).output(), 5);
    for script in deliveries(&golden("anthropic/text.sse")) {
        house.upstream.respond_with(script);
        let body = chat(
            SONNET,
            json!({"stream": true, "stream_options": {"include_usage": true}}),
        );
        let told = chat_answer(&house.user().open_stream(Chat.path(), &body).read_events().0);
        assert_eq!(
            (&told["content"], &told["finish"]),
            (&json!("Hello 🦀!"), &json!("stop"))
        );
        assert_eq!(
            (
                &told["usage"]["prompt_tokens"],
                &told["usage"]["completion_tokens"]
            ),
            (&json!(10), &json!(5))
        );
        house.booked().ends("ok", &[]).costs(10, 5);
    }
    let seen = house.upstream.last_request();
    assert_eq!(
        (seen.target(), seen.header("anthropic-version")),
        ("/v1/messages", Some("2023-06-01"))
    );
}

#[test]
fn t02_a_messages_client_gets_openais_text_in_valid_order_and_its_exact_usage() {
    let house = house();
    house
        .upstream
        .respond_with(Script::unary(200, golden("openai/answer.json")));
    let answer = house
        .user()
        .post(Messages.path(), &messages(json!({})))
        .json();
    assert_eq!(
        answer["content"],
        json!([{"type": "text", "text": "Hello 🦀!"}])
    );
    assert_eq!(
        (&answer["stop_reason"], &answer["role"], &answer["type"]),
        (&json!("end_turn"), &json!("assistant"), &json!("message"))
    );
    house.booked().ends("ok", &[]).costs(26, 7);
    let mut ids = vec![answer["id"].clone()];
    for script in deliveries(&golden("openai/text.sse")) {
        house.upstream.respond_with(script);
        let message = message(
            &house
                .user()
                .open_stream(Messages.path(), &messages(json!({"stream": true})))
                .read_events()
                .0,
        );
        assert_eq!(
            message["content"],
            json!([{"type": "text", "text": "Hello 🦀!"}])
        );
        assert_eq!(message["stop_reason"], "end_turn");
        assert_eq!(message["usage"]["output_tokens"], 7);
        house.booked().ends("ok", &[]).costs(26, 7);
        ids.push(message["id"].clone());
    }
    let count = ids.len();
    ids.sort_by_key(Value::to_string);
    ids.dedup();
    assert_eq!(ids.len(), count, "every answer has an id of its own");
}

#[test]
fn u01_a_chat_client_gets_one_tool_whose_arguments_come_in_five_pieces() {
    let house = house();
    for script in deliveries(&golden("anthropic/thinking_tool.sse")) {
        house.upstream.respond_with(script);
        let body = chat(
            SONNET,
            json!({"stream": true, "tools": tool(), "stream_options": {"include_usage": true}}),
        );
        let told = chat_answer(&house.user().open_stream(Chat.path(), &body).read_events().0);
        let call = json!([
            "toolu_01T1x1fJ34qAmk2tNTrN7Up6",
            "weather",
            "{\"city\":\"Köln 🦀\",\"unit\":\"c\"}"
        ]);
        assert_eq!(
            (&told["calls"], &told["finish"]),
            (&json!([call]), &json!("tool_calls"))
        );
        assert_eq!(
            (&told["content"], &told["reasoning"]),
            (
                &json!("Let me look."),
                &json!("They ask for the weather 🦀.")
            )
        );
        // 14 uncached, 30 written to the cache, 200 read from it
        assert_eq!(
            (
                &told["usage"]["prompt_tokens"],
                &told["usage"]["completion_tokens"]
            ),
            (&json!(244), &json!(89))
        );
        assert_eq!(told["usage"]["prompt_tokens_details"]["cached_tokens"], 200);
        house.booked().ends("ok", &[]);
    }
}

#[test]
fn c01_cache_reads_and_writes_are_in_the_prompt_and_billed_by_class() {
    let upstream = Upstream::start();
    let claude = Provider::anthropic("claude", &upstream)
        .models(&[SONNET])
        .priced_by("sheet");
    let house = House::before(upstream, |setup| setup.provider(&claude));
    house
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    let answer = house
        .user()
        .post(Chat.path(), &chat(SONNET, json!({})))
        .json();
    assert_eq!(answer["usage"]["prompt_tokens"], 244);
    assert_eq!(
        answer["usage"]["prompt_tokens_details"]["cached_tokens"],
        200
    );
    let row = house.booked();
    row.ends("ok", &[]);
    // 14 at $3, 10 at $3.75, 20 at $6, 200 at $0.30, 5 at $15 per million, and three searches at a cent
    let tokens = 14 * 3_000_000 + 10 * 3_750_000 + 20 * 6_000_000 + 200 * 300_000 + 5 * 15_000_000;
    assert_eq!(row.cost(), tokens + 3 * 10_000_000_000, "{}", row.0);
}

#[test]
fn c02_cached_input_is_not_in_the_input_of_a_messages_client() {
    let house = house();
    house
        .upstream
        .respond_with(Script::unary(200, golden("openai/answer.json")));
    let usage = house
        .user()
        .post(Messages.path(), &messages(json!({})))
        .json()["usage"]
        .clone();
    assert_eq!(
        (
            &usage["input_tokens"],
            &usage["cache_read_input_tokens"],
            &usage["output_tokens"]
        ),
        (&json!(5), &json!(21), &json!(7))
    );
    house.booked().ends("ok", &[]);
}

#[test]
fn e02_parallel_calls_that_come_interleaved_are_blocks_one_after_the_other() {
    let house = house();
    for script in deliveries(&golden("openai/parallel_tools.sse")) {
        house.upstream.respond_with(script);
        let message = message(
            &house
                .user()
                .open_stream(Messages.path(), &messages(json!({"stream": true})))
                .read_events()
                .0,
        );
        assert_eq!(message["stop_reason"], "tool_use");
        let calls: Vec<(&Value, &Value)> = message["content"]
            .as_array()
            .expect("blocks")
            .iter()
            .map(|block| (&block["name"], &block["json"]))
            .collect();
        assert_eq!(
            calls,
            [
                (&json!("weather"), &json!("{\"city\":\"Köln 🦀\"}")),
                (&json!("time"), &json!("{\"zone\":\"CET\"}"))
            ]
        );
        house.booked().ends("ok", &[]);
    }
}

#[test]
fn u04_a_failed_result_and_its_image_are_not_dropped_in_silence() {
    let house = house();
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}});
    let body = messages(json!({"messages": [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true,
            "content": [{"type": "text", "text": "no such file"}, image]}]}]}));
    let sent = sent_to_openai(&house, &body);
    let messages = sent["messages"].as_array().expect("messages");
    let result = messages
        .iter()
        .find(|message| message["role"] == "tool")
        .expect("a result");
    assert_eq!(result["tool_call_id"], "toolu_1");
    let told = result["content"].to_string();
    assert!(
        told.contains("no such file") && told.to_lowercase().contains("error"),
        "{told}"
    );
    assert!(
        sent.to_string()
            .contains("data:image/png;base64,iVBORw0KGgo="),
        "{sent}"
    );
}

#[test]
fn u05_choices_of_tools_reach_anthropic() {
    let house = house();
    for (choice, expected) in [
        (json!("none"), json!({"type": "none"})),
        (json!("auto"), Value::Null),
        (json!("required"), json!({"type": "any"})),
        (
            json!({"type": "function", "function": {"name": "weather"}}),
            json!({"type": "tool", "name": "weather"}),
        ),
    ] {
        let sent = sent_to_anthropic(
            &house,
            &chat(SONNET, json!({"tools": tool(), "tool_choice": choice})),
        );
        assert_eq!(sent["tool_choice"], expected);
        assert_eq!(
            sent["tools"][0]["input_schema"]["properties"]["city"]["type"],
            "string"
        );
    }
    let sent = sent_to_anthropic(
        &house,
        &chat(
            SONNET,
            json!({"tools": tool(), "parallel_tool_calls": false}),
        ),
    );
    assert_eq!(
        sent["tool_choice"],
        json!({"type": "auto", "disable_parallel_tool_use": true})
    );
}

#[test]
fn u09_a_name_of_a_hundred_letters_is_shortened_and_comes_back() {
    let house = house();
    let long = format!("mcp__server__{}", "x".repeat(87));
    house.upstream.respond_with(Script::from_request(|seen| {
        let name = seen.json()["tools"][0]["function"]["name"].clone();
        let call = json!({"id": "call_1", "type": "function", "function": {"name": name, "arguments": "{}"}});
        let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
        Script::json(
            200,
            &json!({"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5}}),
        )
    }));
    let body = messages(json!({"tools": [{"name": long, "input_schema": {"type": "object"}}]}));
    let (sent, answer) = sent(&house, Messages.path(), &body);
    assert!(
        sent["tools"][0]["function"]["name"]
            .as_str()
            .is_some_and(|name| name.len() <= 64),
        "{sent}"
    );
    assert_eq!(answer.json()["content"][0]["name"], json!(long));
}

#[test]
fn r01_effort_becomes_thinking_that_leaves_room_for_an_answer() {
    let house = house();
    let high = |model, cap: u64| {
        chat(
            model,
            json!({"reasoning_effort": "high", "max_tokens": cap}),
        )
    };
    let thinking = |body: &Value| {
        let sent = sent_to_anthropic(&house, body);
        (
            sent["thinking"].clone(),
            sent["output_config"].clone(),
            sent["max_tokens"].clone(),
        )
    };
    assert_eq!(
        thinking(&high(SONNET, 800)),
        (Value::Null, Value::Null, json!(800))
    );
    assert_eq!(
        thinking(&high(SONNET, 2_000)).0,
        json!({"type": "enabled", "budget_tokens": 1_999})
    );
    assert_eq!(
        thinking(&high(OPUS, 800)),
        (
            json!({"type": "adaptive"}),
            json!({"effort": "high"}),
            json!(800)
        )
    );
}

#[test]
fn r02_adaptive_thinking_becomes_the_nearest_effort() {
    let house = house();
    let body =
        messages(json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}));
    let sent = sent_to_openai(&house, &body);
    assert_eq!(sent["reasoning_effort"], "high");
    assert!(
        sent.get("thinking").is_none() && sent.get("output_config").is_none(),
        "{sent}"
    );
}

#[test]
fn r03_thoughts_of_groqs_kind_are_a_block_without_a_signature() {
    let house = house();
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!(
            "data: {}\n\n",
            json!({"id": "c", "object": "chat.completion.chunk", "choices": [choice]})
        )
    };
    let usage =
        json!({"id": "c", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
    house.upstream.respond_with(Script::stream([
        chunk(json!({"role": "assistant", "reasoning": "hm"}), Value::Null),
        chunk(json!({"reasoning": " so"}), Value::Null),
        chunk(json!({"content": "It is."}), Value::Null),
        chunk(json!({}), json!("stop")),
        format!("data: {usage}\n\n"),
        "data: [DONE]\n\n".to_owned(),
    ]));
    let message = message(
        &house
            .user()
            .open_stream(Messages.path(), &messages(json!({"stream": true})))
            .read_events()
            .0,
    );
    assert_eq!(
        message["content"],
        json!([{"type": "thinking", "thinking": "hm so", "signature": ""}, {"type": "text", "text": "It is."}])
    );
    house.booked().ends("ok", &[]).costs(10, 5);
}

#[test]
fn m01_an_image_in_a_data_url_reaches_anthropic_as_base64() {
    let house = house();
    let image =
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}});
    let body = chat(
        SONNET,
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "what is it"}, image]}]}),
    );
    assert_eq!(
        sent_to_anthropic(&house, &body)["messages"][0]["content"][1],
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}})
    );
}

#[test]
fn m04_a_document_reaches_openai_as_a_file() {
    let house = house();
    let document = json!({"type": "document", "title": "report.pdf",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}});
    let body = messages(
        json!({"messages": [{"role": "user", "content": [document, {"type": "text", "text": "sum up"}]}]}),
    );
    let sent = sent_to_openai(&house, &body);
    assert_eq!(
        sent["messages"][0]["content"][0]["file"]["file_data"],
        "data:application/pdf;base64,JVBERi0=",
        "{sent}"
    );
}

#[test]
fn m05_a_schema_reaches_anthropic_in_its_own_member() {
    let house = house();
    let schema =
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let sent = sent_to_anthropic(&house, &chat(SONNET, json!({"response_format": format})));
    let format = &sent["output_config"]["format"];
    assert_eq!(
        (&format["type"], &format["schema"]["additionalProperties"]),
        (&json!("json_schema"), &json!(false))
    );
}

#[test]
fn m06_stops_reach_anthropic_as_a_list_and_the_one_that_was_met_ends_the_answer() {
    let house = house();
    for (stop, expected) in [
        (json!("END"), json!(["END"])),
        (json!(["a", "b", "c"]), json!(["a", "b", "c"])),
    ] {
        house
            .upstream
            .respond_with(Script::unary(200, golden("anthropic/answer.json")));
        let (sent, answer) = sent(&house, Chat.path(), &chat(SONNET, json!({"stop": stop})));
        assert_eq!(sent["stop_sequences"], expected);
        assert_eq!(answer.json()["choices"][0]["finish_reason"], "stop");
    }
}

#[test]
fn e21_sampling_is_left_out_for_models_that_refuse_it_and_named() {
    let house = house();
    house
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    let (body, answer) = sent(
        &house,
        Chat.path(),
        &chat(OPUS, json!({"temperature": 0.5, "seed": 7})),
    );
    assert!(
        body.get("temperature").is_none() && body.get("seed").is_none(),
        "{body}"
    );
    assert_eq!(
        answer.header("x-gatekeeper-dropped-params"),
        Some("seed, temperature")
    );
    assert_eq!(
        sent_to_anthropic(&house, &chat(SONNET, json!({"temperature": 0.5})))["temperature"],
        json!(0.5)
    );
}

#[test]
fn p06_what_claude_code_sends_reaches_another_vendor_without_what_only_anthropic_knows() {
    let house = house();
    let body = messages(json!({
        "system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197; cch=0"},
            {"type": "text", "text": "You are Claude Code", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "say OK", "cache_control": {"type": "ephemeral"}}]},
            {"role": "system", "content": "be brief"}],
        "tools": [{"name": "Bash", "description": "d", "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object", "properties": {}, "additionalProperties": false}}],
        "metadata": {"user_id": "{\"device_id\":\"d\"}"}, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}));
    house
        .upstream
        .respond_with(Script::unary(200, golden("openai/answer.json")));
    let person = house
        .user()
        .with("anthropic-version", "2023-06-01")
        .with("anthropic-beta", "mid-conversation-system-2026-04-07");
    let answer = person.post("/v1/messages?beta=true", &body);
    answer.assert_status(200);
    house.booked().ends("ok", &[]);
    let seen = house.upstream.last_request();
    let sent = seen.json().to_string();
    for word in [
        "anthropic",
        "cache_control",
        "context_management",
        "thinking",
        "output_config",
        "input_schema",
        "metadata",
    ] {
        assert!(!sent.contains(word), "{word} in {sent}");
    }
    assert_eq!(
        (
            seen.header("anthropic-beta"),
            seen.header("anthropic-version")
        ),
        (None, None)
    );
    let texts: Vec<Value> = seen.json()["messages"]
        .as_array()
        .expect("messages")
        .clone();
    assert!(
        texts
            .last()
            .expect("a message")
            .to_string()
            .contains("be brief"),
        "the late instruction stays last: {sent}"
    );
    let dropped = answer.header("x-gatekeeper-dropped-params").expect("named");
    assert!(
        dropped.contains("context_management") && dropped.contains("x-anthropic-billing-header"),
        "{dropped}"
    );
}

#[test]
fn e08_thoughts_of_another_vendors_model_do_not_reach_anthropic_and_its_own_do() {
    let house = house();
    let own = json!({"type": "thinking", "thinking": "mine", "signature": SIGNATURE});
    let foreign = json!({"type": "thinking", "thinking": "theirs", "signature": ""});
    let said = |text: &str| json!({"type": "text", "text": text});
    let turn = |role: &str, content: Value| json!({"role": role, "content": content});
    let turns = |first: Value| {
        json!([
            turn("user", json!("one")),
            first,
            turn("user", json!("two")),
            turn("assistant", json!([own, said("b")])),
            turn("user", json!("three"))
        ])
    };
    let body = |turns: Value| {
        with(
            messages(json!({"messages": turns})),
            json!({"model": SONNET}),
        )
    };
    house
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    let (sent, answer) = sent(
        &house,
        Messages.path(),
        &body(turns(turn("assistant", json!([foreign, said("a")])))),
    );
    assert_eq!(
        sent["messages"],
        turns(turn("assistant", json!([said("a")])))
    );
    assert_eq!(answer.text(), golden("anthropic/answer.json"));
}

#[test]
fn p04_signed_and_redacted_thoughts_go_both_ways_byte_for_byte() {
    let house = house();
    let recording = golden("anthropic/thinking_tool.sse");
    for script in deliveries(&recording) {
        house.upstream.respond_with(script);
        let body = with(messages(json!({"stream": true})), json!({"model": SONNET}));
        let (bytes, _) = house
            .user()
            .open_stream(Messages.path(), &body)
            .read_bytes();
        let told = String::from_utf8(bytes).expect("UTF-8").replace('\r', "");
        let told: Vec<&str> = told
            .split_inclusive("\n\n")
            .filter(|event| !event.starts_with(": x-gatekeeper-cost"))
            .collect();
        assert_eq!(told.concat(), recording);
        house.booked().ends("ok", &[]);
    }
    let text = format!(
        r#"{{"model":"{SONNET}","max_tokens":500, "messages":[{{"role":"user","content":"one"}},{{"role":"assistant","content":[{{"type":"thinking","thinking":"hm","signature":"{SIGNATURE}"}}, {{"type":"redacted_thinking","data":"cmVk"}},{{"type":"text","text":"a"}}]}},{{"role":"user","content":"two"}}]}}"#
    );
    house
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    house
        .user()
        .post_bytes(Messages.path(), text.as_bytes())
        .assert_status(200);
    house.booked().ends("ok", &[]);
    assert_eq!(
        String::from_utf8_lossy(&house.upstream.last_request().body),
        text
    );
}

#[test]
fn x01_an_overloaded_anthropic_is_told_to_a_chat_client_in_its_shape() {
    let house = house();
    let refusal = Messages.refusal("overloaded_error", "Overloaded");
    house
        .upstream
        .respond_with(Script::json(529, &refusal).header("retry-after", "7"));
    let answer = house.user().post(Chat.path(), &chat(SONNET, json!({})));
    assert!([503, 529].contains(&answer.status), "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("7"));
    let error = &answer.json()["error"];
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| message.contains("Overloaded"))
            && error["type"].is_string()
    );
    house.booked().ends("upstream_error", &[]);
    let event = Messages.error_event("overloaded_error", "Overloaded");
    let head: Vec<String> = Messages.events(3)[..2].concat();
    house
        .upstream
        .respond_with(Script::stream(head.into_iter().chain([event])).pause_ms_between(50));
    let answer = house
        .user()
        .post(Chat.path(), &chat(SONNET, json!({"stream": true})));
    let text = answer.assert_status(200).text();
    assert!(
        text.contains("Overloaded") && !text.contains("[DONE]"),
        "{text}"
    );
    house.booked();
}

#[test]
fn x04_a_context_that_is_too_long_is_an_invalid_request_for_a_messages_client() {
    let house = house();
    house.upstream.respond_with(Script::json(
        400,
        &Chat.refusal(
            "context_length_exceeded",
            "maximum context length is 8192 tokens",
        ),
    ));
    let answer = house.user().post(Messages.path(), &messages(json!({})));
    answer.assert_status(400);
    is_error(Messages, &answer.json(), "invalid_request_error");
    assert!(
        answer.text().contains("maximum context length"),
        "{}",
        answer.text()
    );
    assert_eq!(house.upstream.request_count(), 1, "not tried again");
    house.booked().ends("upstream_error", &[]);
}

#[test]
fn a_stream_that_breaks_off_is_never_whole_in_the_other_dialect() {
    let house = house();
    let cut = |recording: &str, end: &str| {
        let recording = golden(recording);
        let end = recording.find(end).expect("an end");
        Script::stream([&recording[..end]])
    };
    house
        .upstream
        .respond_with(cut("anthropic/text.sse", "event: message_stop"));
    let text = house
        .user()
        .post(Chat.path(), &chat(SONNET, json!({"stream": true})))
        .text();
    assert!(
        text.contains("broke off") && !text.contains("[DONE]"),
        "{text}"
    );
    house.booked().ends("truncated", &[]);
    house
        .upstream
        .respond_with(cut("openai/text.sse", "data: [DONE]"));
    let text = house
        .user()
        .post(Messages.path(), &messages(json!({"stream": true})))
        .text();
    assert!(
        text.contains("event: error") && !text.contains("message_stop"),
        "{text}"
    );
    house.booked().ends("truncated", &[]);
}

#[test]
fn a_purge_empties_the_memory_and_is_written_down() {
    let house = house();
    first_turn(&house, true);
    assert_eq!(thoughts(&house, None)[0]["type"], "thinking");
    let purged = house.gatekeeper.admin().delete("/v1/reasoning-memory");
    assert_eq!(
        purged.assert_status(200).json(),
        json!({"object": "purge", "entries": 1})
    );
    assert_eq!(thoughts(&house, None)[0]["type"], "text");
    first_turn(&house, true);
    let told = house.gatekeeper.run(&["memory", "purge"]);
    assert!(
        String::from_utf8_lossy(&told.stdout).starts_with("1 entries"),
        "{told:?}"
    );
    assert_eq!(thoughts(&house, None)[0]["type"], "text");
}

/// A chat client's second turn after a call.
fn second_turn(model: &str, id: &str, more: Value) -> Value {
    let call = json!({"id": id, "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Köln\"}"}});
    let turns = json!([
        {"role": "user", "content": "how is the weather"},
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": id, "content": "sunny"}]);
    with(
        json!({"model": model, "messages": turns, "tools": tool()}),
        more,
    )
}

const CALL: &str = "toolu_01T1x1fJ34qAmk2tNTrN7Up6";

/// A chat client calls the tool once, whole or in a stream.
#[track_caller]
fn first_turn(house: &House, streamed: bool) {
    house
        .upstream
        .respond_with(Script::stream([golden("anthropic/thinking_tool.sse")]));
    let body = chat(
        SONNET,
        json!({"stream": true, "tools": tool(), "reasoning_effort": "high"}),
    );
    if streamed {
        house.user().post(Chat.path(), &body).assert_status(200);
    } else {
        let signature = json!({"type": "thinking", "thinking": "They ask for the weather 🦀.", "signature": SIGNATURE});
        let call =
            json!({"type": "tool_use", "id": CALL, "name": "weather", "input": {"city": "Köln"}});
        house.upstream.respond_with(Script::json(
            200,
            &json!({"id": "m", "type": "message", "content": [signature, call],
            "stop_reason": "tool_use", "usage": {"input_tokens": 10, "output_tokens": 5}}),
        ));
        house
            .user()
            .post(Chat.path(), &with(body, json!({"stream": false})))
            .assert_status(200);
    }
    house.booked().ends("ok", &[]);
}

#[track_caller]
fn thoughts(house: &House, key: Option<&crate::harness::process::Key>) -> Value {
    house
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    let person = key.map_or_else(|| house.user(), |key| house.gatekeeper.user(key));
    person
        .post(
            Chat.path(),
            &second_turn(SONNET, CALL, json!({"reasoning_effort": "high"})),
        )
        .assert_status(200);
    house.booked().ends("ok", &[]);
    let sent = house.upstream.last_request().json();
    assert_eq!(
        sent["messages"][2]["content"][0]["tool_use_id"], CALL,
        "{sent}"
    );
    sent["messages"][1]["content"].clone()
}

#[test]
fn e07_the_signature_of_a_chat_clients_call_comes_back_to_anthropic_also_after_a_restart() {
    for streamed in [true, false] {
        let mut house = house();
        first_turn(&house, streamed);
        for restarted in [false, true] {
            if restarted {
                house.gatekeeper.restart();
            }
            let content = thoughts(&house, None);
            assert_eq!(
                content[0]["thinking"], "They ask for the weather 🦀.",
                "{content}"
            );
            assert!(
                content[0]["signature"]
                    .as_str()
                    .is_some_and(|signature| signature.starts_with(SIGNATURE)),
                "{content}"
            );
            assert_eq!(
                (&content[1]["type"], &content[2]["type"]),
                (&json!("text"), &json!("tool_use"))
            );
            assert!(
                house.upstream.last_request().json()["thinking"].is_object(),
                "thinking goes on"
            );
        }
    }
}

#[test]
fn another_teams_call_finds_no_thoughts_and_a_memory_that_is_off_keeps_none() {
    let mut house = house();
    first_turn(&house, true);
    let other = house
        .gatekeeper
        .team(&json!({"name": "other", "models": ["*"]}));
    let key = house.gatekeeper.key_of(&other);
    assert_eq!(thoughts(&house, Some(&key))[0]["type"], "text");
    assert!(
        house
            .upstream
            .last_request()
            .json()
            .get("thinking")
            .is_none(),
        "what cannot be had is not asked for"
    );
    assert_eq!(thoughts(&house, None)[0]["type"], "thinking");

    let upstream = Upstream::start();
    let claude = Provider::anthropic("claude", &upstream).models(&[SONNET]);
    let off = House::before(upstream, |setup| {
        setup
            .provider(&claude)
            .setting("[reasoning_memory]\nenabled = false")
    });
    first_turn(&off, true);
    assert_eq!(thoughts(&off, None)[0]["type"], "text");
    assert!(!off.gatekeeper.data.join("memory.redb").exists());
}
