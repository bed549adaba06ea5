//! An upstream without a model, for the demo and for trying things out: an HTTP server on a loopback address that takes the
//! chat and the messages dialect, embeddings and token counts. Equal requests get equal text, streamed or unary (only the ids
//! differ). Every text says that it is a simulator; it must never pass for a model.
//!
//! The last user message steers the answer: `tokens=N` sets the length of the text (default 40, at most 4096), `delay_ms=N`
//! the pause before each event of a stream (at most 10000), the word `tool` asks for a call of the first tool. JSON schemas
//! (structured outputs, arguments of tools) are filled with values that fit; where thinking is on, a little of it comes first.

mod chat;
mod embeddings;
mod messages;
mod reply;
mod request;
mod schema;
mod text;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::rt::task::JoinHandle;
use actix_web::web::{self, Bytes, PayloadConfig};
use actix_web::{App, HttpResponse, HttpServer};
use futures_util::stream;
use serde_json::json;

use crate::simulator::request::SimulatedRequest;

const BODY_BYTES_MAX: usize = 64 << 20;

/// Behavior where a request does not set it.
#[derive(Clone, Copy, Debug)]
pub struct Simulator {
    /// pause before each event of a stream
    pub delay_ms: u64,
}

impl Default for Simulator {
    fn default() -> Simulator {
        Simulator { delay_ms: 20 }
    }
}

/// A running simulator; its owner stops it.
#[derive(Debug)]
pub struct SimulatorHandle {
    /// `127.0.0.1` and a free port
    pub address: SocketAddr,
    handle: ServerHandle,
    task: JoinHandle<io::Result<()>>,
}

impl SimulatorHandle {
    /// Base URL for a provider of type `simulator`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub async fn stop(self) {
        self.handle.stop(false).await;
        // the result of the task only repeats why it ended
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
                .route("/v1/chat/completions", web::post().to(answer_chat))
                .route("/v1/embeddings", web::post().to(answer_embeddings))
                .route("/v1/messages", web::post().to(answer_messages))
                .route("/v1/messages/count_tokens", web::post().to(count_tokens))
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

async fn answer_chat(simulator: web::Data<Simulator>, body: Bytes) -> HttpResponse {
    let caps = ["max_completion_tokens", "max_tokens"];
    match SimulatedRequest::decode(&body, simulator.delay_ms, &caps) {
        Ok(request) if request.streamed => sse(chat::events(&request), request.delay_ms),
        Ok(request) => HttpResponse::Ok().json(chat::unary(&request)),
        Err(message) => bad_chat(&message),
    }
}

async fn answer_embeddings(body: Bytes) -> HttpResponse {
    match embeddings::answer(&body) {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(message) => bad_chat(&message),
    }
}

fn bad_chat(message: &str) -> HttpResponse {
    HttpResponse::BadRequest()
        .json(json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}}))
}

async fn answer_messages(simulator: web::Data<Simulator>, body: Bytes) -> HttpResponse {
    let request = SimulatedRequest::decode(&body, simulator.delay_ms, &["max_tokens"]);
    let request = request.and_then(|request| match request.cap {
        Some(_) => Ok(request),
        None => Err("max_tokens: Field required".to_owned()),
    });
    match request {
        Ok(request) if request.streamed => sse(messages::events(&request), request.delay_ms),
        Ok(request) => HttpResponse::Ok().json(messages::unary(&request)),
        Err(message) => bad_messages(&message),
    }
}

async fn count_tokens(body: Bytes) -> HttpResponse {
    match request::count(&body) {
        Ok(count) => HttpResponse::Ok().json(json!({"input_tokens": count})),
        Err(message) => bad_messages(&message),
    }
}

fn bad_messages(message: &str) -> HttpResponse {
    HttpResponse::BadRequest().json(
        json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}}),
    )
}

/// A stream of events: the first at once, each later one after the delay.
fn sse(events: Vec<Bytes>, delay_ms: u64) -> HttpResponse {
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

#[cfg(test)]
mod tests;
