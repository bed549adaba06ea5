//! Tests of the simulator: what it answers in either dialect, and that it listens on the loopback interface only.

use actix_web::web::Bytes;
use serde_json::{Value, json};

use crate::simulator::reply::SimulatedReply;
use crate::simulator::request::{SimulatedRequest, count};
use crate::simulator::text::tokens;
use crate::simulator::{Simulator, chat, messages};

fn decoded(body: Value) -> SimulatedRequest {
    SimulatedRequest::decode(
        body.to_string().as_bytes(),
        0,
        &["max_completion_tokens", "max_tokens"],
    )
    .expect("a good request")
}

fn hello_with(more: Value) -> SimulatedRequest {
    let mut body =
        json!({"model": "simulator-large", "messages": [{"role": "user", "content": "12345"}]});
    body.as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    decoded(body)
}

fn joined(events: &[Bytes]) -> String {
    events
        .iter()
        .map(|event| String::from_utf8_lossy(event).into_owned())
        .collect()
}

#[actix_web::test]
async fn simulator_listens_on_loopback_until_stopped() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let simulator = Simulator { delay_ms: 0 }.start().expect("a free port");
    let address = simulator.address;
    assert!(address.ip().is_loopback());
    let body =
        r#"{"model":"simulator-large","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let length = body.len();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut connection = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    connection
        .write_all(request.as_bytes())
        .await
        .expect("sent");
    let mut answer = String::new();
    connection
        .read_to_string(&mut answer)
        .await
        .expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("data: [DONE]"),
        "{answer}"
    );
    simulator.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[test]
fn token_is_four_bytes_rounded_up() {
    for (text, expected) in [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("äöü", 2)] {
        assert_eq!(tokens(text), expected, "{text}");
    }
}

#[test]
fn equal_requests_get_equal_answers_with_exact_usage() {
    let (answer, again) = (
        chat::unary(&hello_with(json!({}))),
        chat::unary(&hello_with(json!({}))),
    );
    assert_eq!(
        (&answer["choices"], &answer["usage"]),
        (&again["choices"], &again["usage"])
    );
    assert_ne!(answer["id"], again["id"], "clients merge answers of one id");
    let text = answer["choices"][0]["message"]["content"]
        .as_str()
        .expect("a text");
    assert!(text.contains("simulator"));
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 2, "completion_tokens": tokens(text), "total_tokens": 2 + tokens(text)})
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[test]
fn output_cap_truncates_text_and_sets_finish_reason() {
    for cap in ["max_tokens", "max_completion_tokens"] {
        let answer = chat::unary(&hello_with(json!({cap: 7})));
        assert_eq!(
            (
                &answer["usage"]["completion_tokens"],
                &answer["choices"][0]["finish_reason"]
            ),
            (&json!(7), &json!("length"))
        );
    }
    assert_eq!(
        messages::unary(&hello_with(json!({"max_tokens": 7})))["stop_reason"],
        "max_tokens"
    );
}

#[test]
fn chat_stream_deltas_join_to_unary_text() {
    let unary = chat::unary(&hello_with(json!({})));
    let stream = joined(&chat::events(&hello_with(json!({"stream": true}))));
    let chunks = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: {"))
        .map(|rest| {
            let chunk: Value = serde_json::from_str(&format!("{{{rest}")).expect("a chunk");
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        });
    assert_eq!(
        chunks.collect::<String>(),
        unary["choices"][0]["message"]["content"]
            .as_str()
            .expect("a text")
    );
    assert!(!stream.contains("usage") && stream.ends_with("data: [DONE]\n\n"));
}

#[test]
fn chat_stream_sends_usage_only_if_included() {
    let stream = joined(&chat::events(&hello_with(
        json!({"stream": true, "stream_options": {"include_usage": true}}),
    )));
    let usage = chat::usage(&hello_with(json!({}))).to_string();
    assert_eq!(
        (
            stream.matches(&usage).count(),
            stream.matches("\"choices\":[]").count()
        ),
        (1, 1)
    );
}

#[test]
fn tool_call_is_made_on_request_and_its_result_answered_with_text() {
    let tools = json!([{"type": "function", "function": {"name": "weather", "parameters": {"properties": {"city": {"type": "string"}}}}}]);
    let call = SimulatedReply::Tool {
        name: "weather".to_owned(),
        arguments: json!({"city": "simulator"}),
    };
    assert_eq!(
        hello_with(json!({"tools": tools, "tool_choice": "required"})).reply,
        call
    );
    let with = |messages: Value| {
        decoded(json!({"model": "simulator-large", "tools": tools, "messages": messages})).reply
    };
    assert_eq!(
        with(json!([{"role": "user", "content": "use a tool"}])),
        call
    );
    assert!(matches!(
        with(json!([{"role": "user", "content": "hello"}])),
        SimulatedReply::Text { .. }
    ));
    let result = json!([{"role": "user", "content": "use a tool"}, {"role": "tool", "content": "a tool's result"}]);
    assert!(matches!(with(result), SimulatedReply::Text { .. }));
    let result = json!([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": "a tool's result"}]}]);
    assert!(matches!(with(result), SimulatedReply::Text { .. }));
}

#[test]
fn messages_stream_sends_events_in_order() {
    let stream = joined(&messages::events(&hello_with(json!({"max_tokens": 2}))));
    let names: Vec<&str> = stream
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    let delta = "content_block_delta";
    let closing = ["content_block_stop", "message_delta", "message_stop"];
    assert_eq!(
        names,
        [
            &["message_start", "content_block_start", "ping", delta, delta][..],
            &closing[..]
        ]
        .concat()
    );
    assert!(stream.contains("\"stop_reason\":\"max_tokens\""));
}

#[test]
fn json_schema_is_filled_in_either_dialect() {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}, "näher": {"type": "integer"}}});
    let expected = json!({"city": "simulator", "näher": 1});
    for wanted in [
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}),
        json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}}),
    ] {
        let SimulatedReply::Text { text, truncated } = hello_with(wanted).reply else {
            panic!("no text");
        };
        assert!(text.is_ascii() && !truncated, "{text}");
        assert_eq!(
            serde_json::from_str::<Value>(&text).expect("JSON"),
            expected
        );
    }
    let object = hello_with(json!({"response_format": {"type": "json_object"}})).reply;
    assert!(matches!(object, SimulatedReply::Text { text, .. } if text.starts_with('{')));
}

#[test]
fn thinking_comes_first_and_counts_as_output() {
    let on = json!({"max_tokens": 100, "thinking": {"type": "enabled", "budget_tokens": 1024}});
    let request = hello_with(on);
    let answer = messages::unary(&request);
    let kinds: Vec<&Value> = answer["content"]
        .as_array()
        .expect("blocks")
        .iter()
        .map(|block| &block["type"])
        .collect();
    assert_eq!(kinds, ["thinking", "text"]);
    assert!(request.thinking_tokens() > 0 && request.output_tokens() <= 100);
    let stream = joined(&messages::events(&request));
    for event in ["thinking_delta", "signature_delta", "\"index\":1"] {
        assert!(stream.contains(event), "{event}\n{stream}");
    }
    let answer = chat::unary(&hello_with(json!({"reasoning_effort": "high"})));
    assert!(answer["choices"][0]["message"]["reasoning_content"].is_string());
    let details = &answer["usage"]["completion_tokens_details"];
    assert!(details["reasoning_tokens"].as_u64() > Some(0), "{answer}");
    for off in [
        json!({}),
        json!({"reasoning_effort": "none"}),
        json!({"thinking": {"type": "disabled"}}),
    ] {
        assert_eq!(hello_with(off).thinking, None);
    }
}

#[test]
fn counted_tokens_equal_the_input_of_the_call() {
    let body = json!({"model": "simulator-large", "max_tokens": 9, "system": "Be brief.",
        "messages": [{"role": "user", "content": "What is the weather?"}],
        "tools": [{"name": "weather", "input_schema": {"type": "object"}}]});
    let counted = count(body.to_string().as_bytes()).expect("a good request");
    assert_eq!(counted, decoded(body).input_tokens);
    assert!(count(b"{}").is_err());
}

#[test]
fn directives_set_length_and_delay() {
    let request = decoded(
        json!({"model": "simulator-small", "messages": [{"role": "user", "content": "tokens=800, delay_ms=5."}]}),
    );
    assert_eq!((request.output_tokens(), request.delay_ms), (800, 5));
}

#[test]
fn invalid_request_is_rejected() {
    for body in [
        "",
        "[]",
        "{}",
        r#"{"model":"gpt-5.1","messages":[{"role":"user","content":"x"}]}"#,
        r#"{"model":"simulator-large"}"#,
    ] {
        assert!(
            SimulatedRequest::decode(body.as_bytes(), 0, &["max_tokens"]).is_err(),
            "{body}"
        );
    }
}
