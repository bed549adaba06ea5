//! The servers that the bench brings itself, each in a process of its own: an upstream that always gives the same answer
//! of 840 bytes, and the least that a relay of actix and awc can be. They say their port and live until they are ended.

use std::net::SocketAddr;
use std::rc::Rc;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::load::content_length;

/// Answers every request with the same completion.
pub fn upstream() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime for the upstream");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback");
        say_address(listener.local_addr().expect("a bound listener has an address"));
        let answer = Rc::new(completion());
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                loop {
                    let (stream, _) = listener.accept().await.expect("the listener lives");
                    tokio::task::spawn_local(answers(stream, Rc::clone(&answer)));
                }
            })
            .await;
    });
}

async fn answers(mut stream: TcpStream, answer: Rc<Vec<u8>>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(8 * 1024);
    loop {
        while let Some(end) = request_end(&buffer) {
            buffer.drain(..end);
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
        if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

fn request_end(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let end = head + 4 + content_length(&String::from_utf8_lossy(&buffer[..head]));
    (buffer.len() >= end).then_some(end)
}

fn completion() -> Vec<u8> {
    let words = "The committee decided to repair the bridge before the winter. ".repeat(7);
    let body = format!(
        r#"{{"id":"chatcmpl-overhead","object":"chat.completion","created":1,"model":"m-small","choices":[{{"index":0,"message":{{"role":"assistant","content":"{words}"}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":420,"completion_tokens":96,"total_tokens":516,"prompt_tokens_details":{{"cached_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0}}}},"service_tier":"default"}}"#
    );
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body.into_bytes()].concat()
}

/// Sends each request on and its answer back, and does nothing else.
pub fn relay(upstream: &str) {
    let target = format!("http://{upstream}");
    let served = actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            let client = awc::Client::builder().no_default_headers().disable_redirects().finish();
            let state = web::Data::new(Relay { client, target: target.clone() });
            App::new().app_data(state).default_service(web::to(forward))
        });
        let server = server.workers(1).bind("127.0.0.1:0").expect("a free port on loopback");
        say_address(server.addrs()[0]);
        server.run().await
    });
    served.expect("the relay runs until it is ended");
}

struct Relay {
    client: awc::Client,
    target: String,
}

async fn forward(relay: web::Data<Relay>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let mut call = relay.client.request(request.method().clone(), format!("{}{}", relay.target, request.uri()));
    for (name, value) in request.headers().iter().filter(|(name, _)| *name != "host" && *name != "content-length") {
        call = call.insert_header((name.clone(), value.clone()));
    }
    let Ok(mut answer) = call.send_body(body).await else { return HttpResponse::BadGateway().finish() };
    let mut reply = HttpResponse::build(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != "content-length") {
        reply.insert_header((name.clone(), value.clone()));
    }
    match answer.body().await {
        Ok(body) => reply.body(body),
        Err(_) => HttpResponse::BadGateway().finish(),
    }
}

fn say_address(address: SocketAddr) {
    println!("{address}");
}
