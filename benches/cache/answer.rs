//! Bare answer: an actix server that reads each request and answers with the same bytes. It prints its address and runs until it is killed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use actix_web::{App, HttpResponse, HttpServer, web};

use crate::load::content_length;

/// Runs the server; `bytes` is the length of its body.
pub fn serve(bytes: &str) {
    let bytes: usize = bytes.parse().expect("a count of bytes");
    let body = web::Bytes::from(vec![b'a'; bytes]);
    let served = actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(body.clone()))
                .default_service(web::to(answer))
        });
        let server = server
            .workers(1)
            .bind("127.0.0.1:0")
            .expect("a free port on loopback");
        println!("{}", server.addrs()[0]);
        server.run().await
    });
    served.expect("the server runs until it is killed");
}

async fn answer(body: web::Data<web::Bytes>, _request: web::Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(web::Bytes::clone(&body))
}

/// Length of the body with which a gateway answers from its cache.
pub fn bytes_of(address: SocketAddr, key: &str) -> usize {
    let body =
        r#"{"model":"m-small","max_tokens":256,"messages":[{"role":"user","content":"hello"}]}"#;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    head_of(address, &request);
    let head = head_of(address, &request);
    assert!(head.contains("x-gatekeeper-cache: exact"), "{head}");
    content_length(&head)
}

fn head_of(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream
        .write_all(request.as_bytes())
        .expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server answers");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    head.to_owned()
}
