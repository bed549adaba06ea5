//! Servers of the benches, each in a process of its own: an upstream that always sends the same response of about 840
//! bytes, in the dialect of the request, unary or as a stream of 100 events one millisecond apart (or as `seed` says); a minimal relay
//! of actix and awc; and the same relay with the least work of any gateway, *floor-work*: it hashes the key, reads the request and the usage
//! of the answer. They print their address and run until they are killed.

use std::hint::black_box;
use std::net::SocketAddr;
use std::rc::Rc;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::TryStreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::load::content_length;

/// Content events of a stream.
pub const EVENTS: usize = 100;

/// Responses of the upstream.
struct Responses {
    chat: Vec<u8>,
    messages: Vec<u8>,
    chat_events: Vec<String>,
    messages_events: Vec<String>,
}

/// Runs the upstream.
pub fn upstream() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the upstream");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port on loopback");
        print_address(
            listener
                .local_addr()
                .expect("a bound listener has an address"),
        );
        let responses = Rc::new(Responses::new());
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                loop {
                    let (stream, _) = listener.accept().await.expect("the listener lives");
                    tokio::task::spawn_local(serve_connection(stream, Rc::clone(&responses)));
                }
            })
            .await;
    });
}

async fn serve_connection(mut stream: TcpStream, responses: Rc<Responses>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(8 * 1024);
    loop {
        while let Some(end) = request_end(&buffer) {
            let request: Vec<u8> = buffer.drain(..end).collect();
            if responses.send(&mut stream, &request).await.is_err() {
                return;
            }
        }
        if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

impl Responses {
    fn new() -> Responses {
        let words = "The committee decided to repair the bridge before the winter. ".repeat(7);
        let chat = format!(
            r#"{{"id":"chatcmpl-overhead","object":"chat.completion","created":1,"model":"m-small","choices":[{{"index":0,"message":{{"role":"assistant","content":"{words}"}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":420,"completion_tokens":96,"total_tokens":516,"prompt_tokens_details":{{"cached_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0}}}},"service_tier":"default"}}"#
        );
        let messages = format!(
            r#"{{"id":"msg_overhead","type":"message","role":"assistant","model":"c-small","content":[{{"type":"text","text":"{words}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":420,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}},"output_tokens":96,"service_tier":"standard"}}}}"#
        );
        Responses {
            chat: unary(&chat),
            messages: unary(&messages),
            chat_events: chat_events(),
            messages_events: messages_events(),
        }
    }

    async fn send(&self, stream: &mut TcpStream, request: &[u8]) -> std::io::Result<()> {
        let is_messages = request.starts_with(b"POST /v1/messages");
        if memchr::memmem::find(request, b"\"stream\":true").is_none() {
            return stream
                .write_all(if is_messages {
                    &self.messages
                } else {
                    &self.chat
                })
                .await;
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        let all = if is_messages {
            &self.messages_events
        } else {
            &self.chat_events
        };
        let (pace_ms, count) = pace_of(request);
        // those around the content stay
        let left_out = EVENTS - count.min(EVENTS);
        let events = all.iter().take(2).chain(&all[2 + left_out..]);
        for event in events {
            stream
                .write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
                .await?;
            tokio::time::sleep(std::time::Duration::from_millis(pace_ms)).await;
        }
        stream.write_all(b"0\r\n\r\n").await
    }
}

/// Milliseconds between two events and number of content events, from `seed`: milliseconds times 1,000 plus events.
fn pace_of(request: &[u8]) -> (u64, usize) {
    let Some(at) = memchr::memmem::find(request, b"\"seed\":") else {
        return (1, EVENTS);
    };
    let digits = request[at + 7..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let seed = digits.fold(0, |seed, byte| seed * 10 + u64::from(byte - b'0'));
    (seed / 1_000, (seed % 1_000) as usize)
}

fn chat_events() -> Vec<String> {
    let head =
        r#""id":"chatcmpl-stream","object":"chat.completion.chunk","created":1,"model":"m-small""#;
    let chunk = |delta: &str, reason: &str| {
        format!(
            "data: {{{head},\"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\"logprobs\":null,\"finish_reason\":{reason}}}],\"usage\":null}}\n\n"
        )
    };
    let mut events = vec![chunk(r#""role":"assistant","content":"""#, "null")];
    events.extend((0..EVENTS).map(|_| chunk(r#""content":" before""#, "null")));
    events.push(chunk("", "\"stop\""));
    events.push(format!(
        "data: {{{head},\"choices\":[],\"usage\":{{\"prompt_tokens\":420,\"completion_tokens\":100,\"total_tokens\":520}}}}\n\n"
    ));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn messages_events() -> Vec<String> {
    let event =
        |name: &str, rest: &str| format!("event: {name}\ndata: {{\"type\":\"{name}\"{rest}}}\n\n");
    let mut events = vec![
        event(
            "message_start",
            r#","message":{"id":"msg_stream","type":"message","role":"assistant","model":"c-small","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":420,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}"#,
        ),
        event(
            "content_block_start",
            r#","index":0,"content_block":{"type":"text","text":""}"#,
        ),
    ];
    events.extend((0..EVENTS).map(|_| {
        event(
            "content_block_delta",
            r#","index":0,"delta":{"type":"text_delta","text":" before"}"#,
        )
    }));
    events.push(event("content_block_stop", r#","index":0"#));
    events.push(event(
        "message_delta",
        r#","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":100}"#,
    ));
    events.push(event("message_stop", ""));
    events
}

fn request_end(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let end = head + 4 + content_length(&String::from_utf8_lossy(&buffer[..head]));
    (buffer.len() >= end).then_some(end)
}

fn unary(body: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// Runs the relay: forwards each request and its response unchanged; `works`: with the work of floor-work.
pub fn relay(upstream: &str, works: bool) {
    let target = format!("http://{upstream}");
    let served = actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            // streams need as many connections as there are clients
            let client = awc::Client::builder()
                .connector(awc::Connector::new().limit(0))
                .no_default_headers()
                .disable_redirects()
                .finish();
            let state = web::Data::new(Relay {
                client,
                target: target.clone(),
                works,
            });
            App::new().app_data(state).default_service(web::to(forward))
        });
        let server = server
            .workers(1)
            .bind("127.0.0.1:0")
            .expect("a free port on loopback");
        print_address(server.addrs()[0]);
        server.run().await
    });
    served.expect("the relay runs until it is killed");
}

struct Relay {
    client: awc::Client,
    target: String,
    works: bool,
}

/// Hash of the presented key, and the model of the request: what a gateway cannot do without.
fn read_request(request: &HttpRequest, body: &[u8]) {
    let key = request.headers().get("authorization");
    let key = key.map_or(&b""[..], |value| value.as_bytes());
    black_box(ring::digest::digest(&ring::digest::SHA256, key));
    let body: serde_json::Value = serde_json::from_slice(body).expect("the request is JSON");
    black_box(body["model"].as_str().expect("a model").to_owned());
}

/// Tokens of the answer.
fn read_usage(body: &[u8]) {
    let body: serde_json::Value = serde_json::from_slice(body).expect("the answer is JSON");
    black_box(
        body["usage"]["completion_tokens"]
            .as_u64()
            .expect("a count"),
    );
}

async fn forward(relay: web::Data<Relay>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    if relay.works {
        read_request(&request, &body);
    }
    let mut call = relay.client.request(
        request.method().clone(),
        format!("{}{}", relay.target, request.uri()),
    );
    for (name, value) in request
        .headers()
        .iter()
        .filter(|(name, _)| *name != "host" && *name != "content-length")
    {
        call = call.insert_header((name.clone(), value.clone()));
    }
    let Ok(mut response) = call.send_body(body).await else {
        return HttpResponse::BadGateway().finish();
    };
    let mut reply = HttpResponse::build(response.status());
    for (name, value) in response
        .headers()
        .iter()
        .filter(|(name, _)| *name != "content-length")
    {
        reply.insert_header((name.clone(), value.clone()));
    }
    if response
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
    {
        if relay.works {
            return reply.streaming(response.inspect_ok(|piece| read_piece(piece)));
        }
        return reply.streaming(response);
    }
    match response.body().await {
        Ok(body) => {
            if relay.works {
                read_usage(&body);
            }
            reply.body(body)
        }
        Err(_) => HttpResponse::BadGateway().finish(),
    }
}

/// Usage of the events in a piece, where it has any.
fn read_piece(piece: &[u8]) {
    for line in piece.split(|byte| *byte == b'\n') {
        let Some(data) = line.strip_prefix(b"data: ") else {
            continue;
        };
        if memchr::memmem::find(data, b"\"usage\"").is_some() {
            let event: serde_json::Value = serde_json::from_slice(data).expect("the event is JSON");
            black_box(event["usage"]["completion_tokens"].as_u64());
        }
    }
}

fn print_address(address: SocketAddr) {
    println!("{address}");
}
