//! An upstream without a model, for the demo and for trying things out: takes the chat and the messages dialect on a
//! loopback address, answers the same question with the same text, streamed or whole (only its ids differ). It says that it is a simulator in
//! every text and must never be taken for a model.
//!
//! What steers it stands in the last user message: `tokens=N` sets the length of the text (default 40, at most 4096),
//! `delay_ms=N` the pause before each piece of a stream (at most 10000), the word `tool` asks for a call of the first tool.
//! Its token is 4 bytes, rounded up: see `tokens`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::rt::task::JoinHandle;
use actix_web::web::{self, Bytes, PayloadConfig};
use actix_web::{App, HttpResponse, HttpServer};
use futures_util::stream;
use serde_json::{Value, json};

const BODY_BYTES_MAX: usize = 64 << 20;
const TEXT_TOKENS: u64 = 40;
const TEXT_TOKENS_MAX: u64 = 4096;
const DELAY_MS_MAX: u64 = 10_000;
/// Requests taken since the start.
static ASKED: AtomicU64 = AtomicU64::new(1);
/// Of no meaning; a fixed one keeps answers alike.
const CREATED: u64 = 1_767_225_600;

/// How it behaves where a request does not say.
#[derive(Clone, Copy, Debug)]
pub struct Simulator {
    /// pause before each piece of a stream
    pub delay_ms: u64,
}

impl Default for Simulator {
    fn default() -> Simulator {
        Simulator { delay_ms: 20 }
    }
}

/// A running simulator; whoever started it stops it.
#[derive(Debug)]
pub struct SimulatorHandle {
    /// `127.0.0.1` and a port that was free
    pub address: SocketAddr,
    handle: ServerHandle,
    task: JoinHandle<io::Result<()>>,
}

impl SimulatorHandle {
    /// The base URL to configure for a provider of type `simulator`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub async fn stop(self) {
        self.handle.stop(false).await;
        // its result only repeats why it ended
        let _ended = self.task.await;
    }
}

impl Simulator {
    /// Listens on a free port of the loopback interface. Call it inside an actix system.
    pub fn start(self) -> io::Result<SimulatorHandle> {
        let app = move || {
            App::new()
                .app_data(web::Data::new(self))
                .app_data(PayloadConfig::new(BODY_BYTES_MAX))
                .route("/v1/chat/completions", web::post().to(chat))
                .route("/v1/messages", web::post().to(messages))
        };
        let server = HttpServer::new(app)
            .workers(1)
            .disable_signals()
            .bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = server
            .addrs()
            .first()
            .copied()
            .ok_or_else(|| io::Error::other("the simulator's listener has no address"))?;
        let server = server.run();
        let handle = server.handle();
        Ok(SimulatorHandle {
            address,
            handle,
            task: actix_web::rt::spawn(server),
        })
    }
}

async fn chat(simulator: web::Data<Simulator>, body: Bytes) -> HttpResponse {
    match SimulatedRequest::read(&body, simulator.delay_ms, &["max_completion_tokens", "max_tokens"]) {
        Ok(asked) if asked.streamed => streamed(chat_events(&asked), asked.delay_ms),
        Ok(asked) => HttpResponse::Ok().json(chat_answer(&asked)),
        Err(message) => HttpResponse::BadRequest()
            .json(json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}})),
    }
}

async fn messages(simulator: web::Data<Simulator>, body: Bytes) -> HttpResponse {
    let asked = SimulatedRequest::read(&body, simulator.delay_ms, &["max_tokens"]);
    let asked = asked.and_then(|asked| match asked.cap {
        Some(_) => Ok(asked),
        None => Err("max_tokens: Field required".to_owned()),
    });
    match asked {
        Ok(asked) if asked.streamed => streamed(message_events(&asked), asked.delay_ms),
        Ok(asked) => HttpResponse::Ok().json(message_answer(&asked)),
        Err(message) => HttpResponse::BadRequest()
            .json(json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}})),
    }
}

/// The events at their pace: the first at once, each later one after the delay.
fn streamed(events: Vec<Bytes>, delay_ms: u64) -> HttpResponse {
    let paced = stream::unfold(
        (events.into_iter(), 0),
        move |(mut events, wait_ms)| async move {
            let event = events.next()?;
            if wait_ms > 0 {
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            }
            Some((Ok::<Bytes, io::Error>(event), (events, delay_ms)))
        },
    );
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .streaming(paced)
}

/// A request as far as the simulator reads it, with the answer it will give.
struct SimulatedRequest {
    /// every answer has ids of its own: clients merge messages whose ids are equal
    number: u64,
    model: String,
    streamed: bool,
    /// a chat stream ends with a usage chunk
    include_usage: bool,
    cap: Option<u64>,
    delay_ms: u64,
    input_tokens: u64,
    answer: SimulatedReply,
}

/// What is answered, in either dialect.
#[derive(Debug, PartialEq, Eq)]
enum SimulatedReply {
    Text { text: String, cut: bool },
    Tool { name: String, arguments: Value },
}

impl SimulatedRequest {
    fn read(body: &[u8], delay_ms: u64, caps: &[&str]) -> Result<SimulatedRequest, String> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| format!("the body is not JSON: {error}"))?;
        let model = body["model"].as_str().unwrap_or_default().to_owned();
        if !model.starts_with("simulator") {
            return Err(
                "the simulator serves only models whose names begin with `simulator`".to_owned(),
            );
        }
        let messages = body["messages"]
            .as_array()
            .filter(|messages| !messages.is_empty())
            .ok_or("messages: Field required")?;
        if body["n"].as_u64().is_some_and(|n| n != 1) {
            return Err("n: the simulator gives one choice".to_owned());
        }
        let last = messages.last().map(text_of).unwrap_or_default();
        let cap = caps.iter().find_map(|cap| body[*cap].as_u64());
        let input_tokens = tokens(&text_of(&body["system"]))
            + messages
                .iter()
                .map(|message| tokens(&text_of(message)))
                .sum::<u64>();
        let fits =
            |call: &(String, Value)| cap.is_none_or(|cap| call_tokens(&call.0, &call.1) <= cap);
        let answer = match tool_asked(&body, messages.last(), &last).filter(fits) {
            Some((name, arguments)) => SimulatedReply::Tool { name, arguments },
            None => text(
                &model,
                input_tokens,
                directive(&last, "tokens=").unwrap_or(TEXT_TOKENS),
                cap,
            ),
        };
        Ok(SimulatedRequest {
            number: ASKED.fetch_add(1, Ordering::Relaxed),
            model,
            streamed: body["stream"].as_bool().unwrap_or(false),
            include_usage: body["stream_options"]["include_usage"]
                .as_bool()
                .unwrap_or(false),
            cap,
            delay_ms: directive(&last, "delay_ms=")
                .unwrap_or(delay_ms)
                .min(DELAY_MS_MAX),
            input_tokens,
            answer,
        })
    }

    /// Output tokens of the whole answer.
    fn output_tokens(&self) -> u64 {
        match &self.answer {
            SimulatedReply::Text { text, .. } => tokens(text),
            SimulatedReply::Tool { name, arguments } => call_tokens(name, arguments),
        }
    }
}

/// A tool call counts its name and its arguments.
fn call_tokens(name: &str, arguments: &Value) -> u64 {
    tokens(name) + tokens(&arguments.to_string())
}

/// The simulator's token: 4 bytes of text, the last one possibly shorter.
fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}

/// All text of a message, a system prompt or a content part, in order.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(text_of).collect(),
        Value::Object(part) => [part.get("content"), part.get("text")]
            .into_iter()
            .flatten()
            .map(text_of)
            .collect(),
        _ => String::new(),
    }
}

/// The number after `word` in a text.
fn directive(text: &str, word: &str) -> Option<u64> {
    let after = &text[text.find(word)? + word.len()..];
    let digits = after.len()
        - after
            .trim_start_matches(|letter: char| letter.is_ascii_digit())
            .len();
    after[..digits].parse().ok()
}

/// A text of that many tokens, less if the cap says so. Only ASCII, so that every 4 bytes are a piece of their own.
fn text(model: &str, input_tokens: u64, wanted: u64, cap: Option<u64>) -> SimulatedReply {
    let wanted = wanted.clamp(1, TEXT_TOKENS_MAX);
    let given = cap.map_or(wanted, |cap| wanted.min(cap));
    let opening = format!(
        "This is Gatekeeper's simulator, not a model. It was asked for {model} with {input_tokens} tokens of input. "
    );
    let filler = "The simulator goes on until its length is reached. ";
    let text = opening
        .chars()
        .chain(filler.chars().cycle())
        .filter(char::is_ascii)
        .take(given as usize * 4)
        .collect();
    SimulatedReply::Text {
        text,
        cut: given < wanted,
    }
}

/// The tool to call: where one must be called, or where the last user message has the word `tool` in it. The result of a
/// call is answered with text.
fn tool_asked(body: &Value, last: Option<&Value>, last_text: &str) -> Option<(String, Value)> {
    let tools = body["tools"].as_array()?;
    let choice = &body["tool_choice"];
    let named = choice["function"]["name"]
        .as_str()
        .or(choice["name"].as_str());
    let required = named.is_some() || choice == "required" || choice["type"] == "any";
    let asks = last.is_some_and(is_question) && last_text.contains("tool");
    if choice == "none" || choice["type"] == "none" || !(required || asks) {
        return None;
    }
    // chat wraps a tool in `function`; messages does not
    let inner = |tool: &Value| tool.get("function").unwrap_or(tool).clone();
    let tool = tools
        .iter()
        .map(inner)
        .find(|tool| named.is_none_or(|name| tool["name"] == name))?;
    let schema = tool
        .get("parameters")
        .or(tool.get("input_schema"))
        .unwrap_or(&Value::Null);
    Some((tool["name"].as_str()?.to_owned(), arguments(schema)))
}

/// Whether a message is what a person asked, and not the result of a tool.
fn is_question(message: &Value) -> bool {
    let results = |parts: &Vec<Value>| parts.iter().any(|part| part["type"] == "tool_result");
    message["role"] == "user" && !message["content"].as_array().is_some_and(results)
}

/// Arguments that fit the names and simple types of a schema's properties.
fn arguments(schema: &Value) -> Value {
    let Some(properties) = schema["properties"].as_object() else {
        return json!({});
    };
    let argument = |property: &Value| match property["type"].as_str() {
        Some("number" | "integer") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => property["enum"]
            .get(0)
            .cloned()
            .unwrap_or(json!("simulator")),
    };
    properties
        .iter()
        .map(|(name, property)| (name.clone(), argument(property)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The answer in pieces of one token.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    (0..text.len())
        .step_by(4)
        .map(|at| &text[at..text.len().min(at + 4)])
}

fn chat_usage(asked: &SimulatedRequest) -> Value {
    let (input, output) = (asked.input_tokens, asked.output_tokens());
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

fn chat_finish(answer: &SimulatedReply) -> &'static str {
    match answer {
        SimulatedReply::Text { cut: false, .. } => "stop",
        SimulatedReply::Text { cut: true, .. } => "length",
        SimulatedReply::Tool { .. } => "tool_calls",
    }
}

fn chat_call(number: u64, name: &str, arguments: &str) -> Value {
    json!({"id": format!("call_simulator_{number}"), "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn chat_answer(asked: &SimulatedRequest) -> Value {
    let message = match &asked.answer {
        SimulatedReply::Text { text, .. } => {
            json!({"role": "assistant", "content": text, "refusal": null})
        }
        SimulatedReply::Tool { name, arguments } => {
            json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [chat_call(asked.number, name, &arguments.to_string())]})
        }
    };
    json!({
        "id": format!("chatcmpl-simulator-{}", asked.number),
        "object": "chat.completion",
        "created": CREATED,
        "model": asked.model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": chat_finish(&asked.answer)}],
        "usage": chat_usage(asked),
    })
}

fn chat_events(asked: &SimulatedRequest) -> Vec<Bytes> {
    let deltas = match &asked.answer {
        SimulatedReply::Text { text, .. } => pieces(text)
            .map(|piece| json!({"content": piece}))
            .collect(),
        SimulatedReply::Tool { name, arguments } => {
            chat_tool_deltas(asked.number, name, &arguments.to_string())
        }
    };
    let choice = |delta: Value, finish: Option<&str>| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    let opening = choice(json!({"role": "assistant", "content": ""}), None);
    let closing = choice(json!({}), Some(chat_finish(&asked.answer)));
    let choices = [opening]
        .into_iter()
        .chain(deltas.into_iter().map(|delta| choice(delta, None)))
        .chain([closing]);

    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": format!("chatcmpl-simulator-{}", asked.number), "object": "chat.completion.chunk", "created": CREATED, "model": asked.model, "choices": choices,
        });
        if asked.include_usage {
            chunk["usage"] = usage;
        }
        Bytes::from(format!("data: {chunk}\n\n"))
    };
    let mut events: Vec<Bytes> = choices.map(|choices| chunk(choices, Value::Null)).collect();
    if asked.include_usage {
        events.push(chunk(json!([]), chat_usage(asked)));
    }
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

/// A call as it is streamed: its name, then its arguments in pieces.
fn chat_tool_deltas(number: u64, name: &str, arguments: &str) -> Vec<Value> {
    let mut opening = chat_call(number, name, "");
    opening["index"] = json!(0);
    let piece = |piece| json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]});
    [json!({"tool_calls": [opening]})]
        .into_iter()
        .chain(pieces(arguments).map(piece))
        .collect()
}

fn message_usage(input_tokens: u64, output_tokens: u64) -> Value {
    json!({"input_tokens": input_tokens, "output_tokens": output_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0})
}

fn message_stop(answer: &SimulatedReply) -> &'static str {
    match answer {
        SimulatedReply::Text { cut: false, .. } => "end_turn",
        SimulatedReply::Text { cut: true, .. } => "max_tokens",
        SimulatedReply::Tool { .. } => "tool_use",
    }
}

fn message_answer(asked: &SimulatedRequest) -> Value {
    let block = match &asked.answer {
        SimulatedReply::Text { text, .. } => json!({"type": "text", "text": text}),
        SimulatedReply::Tool { name, arguments } => {
            json!({"type": "tool_use", "id": format!("toolu_simulator_{}", asked.number), "name": name, "input": arguments})
        }
    };
    json!({
        "id": format!("msg_simulator_{}", asked.number),
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [block],
        "stop_reason": message_stop(&asked.answer),
        "stop_sequence": null,
        "usage": message_usage(asked.input_tokens, asked.output_tokens()),
    })
}

fn message_events(asked: &SimulatedRequest) -> Vec<Bytes> {
    let mut head = message_answer(asked);
    head["content"] = json!([]);
    head["stop_reason"] = Value::Null;
    head["usage"] = message_usage(asked.input_tokens, 0);
    let (block, deltas): (Value, Vec<Value>) = match &asked.answer {
        SimulatedReply::Text { text, .. } => {
            let delta = |piece| json!({"type": "text_delta", "text": piece});
            (
                json!({"type": "text", "text": ""}),
                pieces(text).map(delta).collect(),
            )
        }
        SimulatedReply::Tool { name, arguments } => {
            let delta = |piece| json!({"type": "input_json_delta", "partial_json": piece});
            let block = json!({"type": "tool_use", "id": format!("toolu_simulator_{}", asked.number), "name": name, "input": {}});
            (block, pieces(&arguments.to_string()).map(delta).collect())
        }
    };
    let opening = [
        json!({"type": "message_start", "message": head}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "ping"}),
    ];
    let deltas = deltas
        .into_iter()
        .map(|delta| json!({"type": "content_block_delta", "index": 0, "delta": delta}));
    let closing = [
        json!({"type": "content_block_stop", "index": 0}),
        json!({
            "type": "message_delta",
            "delta": {"stop_reason": message_stop(&asked.answer), "stop_sequence": null},
            "usage": message_usage(asked.input_tokens, asked.output_tokens()),
        }),
        json!({"type": "message_stop"}),
    ];
    let named = |event: Value| {
        Bytes::from(format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap_or_default()
        ))
    };
    opening
        .into_iter()
        .chain(deltas)
        .chain(closing)
        .map(named)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: Value) -> SimulatedRequest {
        SimulatedRequest::read(
            body.to_string().as_bytes(),
            0,
            &["max_completion_tokens", "max_tokens"],
        )
        .expect("a good request")
    }

    fn hello(more: Value) -> SimulatedRequest {
        let mut body =
            json!({"model": "simulator-large", "messages": [{"role": "user", "content": "12345"}]});
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        asked(body)
    }

    fn written(events: &[Bytes]) -> String {
        events
            .iter()
            .map(|event| String::from_utf8_lossy(event).into_owned())
            .collect()
    }

    #[actix_web::test]
    async fn it_listens_on_the_loopback_interface_until_it_is_stopped() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let simulator = Simulator { delay_ms: 0 }.start().expect("a free port");
        let address = simulator.address;
        assert!(address.ip().is_loopback());
        let body = r#"{"model":"simulator-large","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
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
    fn a_token_is_four_bytes_rounded_up() {
        for (text, expected) in [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("äöü", 2)] {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }

    #[test]
    fn the_same_question_has_the_same_answer_and_its_usage_is_exact() {
        let (answer, again) = (
            chat_answer(&hello(json!({}))),
            chat_answer(&hello(json!({}))),
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
    fn the_output_cap_holds_and_is_named_as_the_reason() {
        for cap in ["max_tokens", "max_completion_tokens"] {
            let answer = chat_answer(&hello(json!({cap: 7})));
            assert_eq!(
                (
                    &answer["usage"]["completion_tokens"],
                    &answer["choices"][0]["finish_reason"]
                ),
                (&json!(7), &json!("length"))
            );
        }
        assert_eq!(
            message_answer(&hello(json!({"max_tokens": 7})))["stop_reason"],
            "max_tokens"
        );
    }

    #[test]
    fn a_stream_adds_up_to_the_whole_answer() {
        let whole = chat_answer(&hello(json!({})));
        let stream = written(&chat_events(&hello(json!({"stream": true}))));
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
            whole["choices"][0]["message"]["content"]
                .as_str()
                .expect("a text")
        );
        assert!(!stream.contains("usage") && stream.ends_with("data: [DONE]\n\n"));
    }

    #[test]
    fn a_chat_stream_tells_its_usage_only_when_asked() {
        let stream = written(&chat_events(&hello(
            json!({"stream": true, "stream_options": {"include_usage": true}}),
        )));
        let usage = chat_usage(&hello(json!({}))).to_string();
        assert_eq!(
            (
                stream.matches(&usage).count(),
                stream.matches("\"choices\":[]").count()
            ),
            (1, 1)
        );
    }

    #[test]
    fn a_tool_is_called_when_asked_for_and_its_result_is_answered_with_text() {
        let tools = json!([{"type": "function", "function": {"name": "weather", "parameters": {"properties": {"city": {"type": "string"}}}}}]);
        let call = SimulatedReply::Tool {
            name: "weather".to_owned(),
            arguments: json!({"city": "simulator"}),
        };
        assert_eq!(
            hello(json!({"tools": tools, "tool_choice": "required"})).answer,
            call
        );
        let with = |messages: Value| {
            asked(json!({"model": "simulator-large", "tools": tools, "messages": messages})).answer
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
    fn the_messages_dialect_streams_its_events_in_order() {
        let stream = written(&message_events(&hello(json!({"max_tokens": 2}))));
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
    fn length_and_delay_are_told_in_the_message() {
        let told = asked(
            json!({"model": "simulator-small", "messages": [{"role": "user", "content": "tokens=800, delay_ms=5."}]}),
        );
        assert_eq!((told.output_tokens(), told.delay_ms), (800, 5));
    }

    #[test]
    fn what_it_does_not_serve_it_refuses() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"model":"gpt-5.1","messages":[{"role":"user","content":"x"}]}"#,
            r#"{"model":"simulator-large"}"#,
        ] {
            assert!(
                SimulatedRequest::read(body.as_bytes(), 0, &["max_tokens"]).is_err(),
                "{body}"
            );
        }
    }
}
