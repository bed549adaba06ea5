//! Head of a request, whether it came through the router or beside it, and its headers as text.

use std::net::SocketAddr;
use std::rc::Rc;

use actix_http::{Payload, Request};
use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;

use crate::server::worker::Worker;

/// Head of a request, with the connection that it came on and the worker that serves it.
pub(super) trait Head {
    fn headers(&self) -> &HeaderMap;
    fn peer_addr(&self) -> Option<SocketAddr>;
    /// Note of the connection, made when it began.
    fn conn_data<T: 'static>(&self) -> Option<&T>;
    fn worker(&self) -> &Worker;
}

impl Head for HttpRequest {
    fn headers(&self) -> &HeaderMap {
        HttpRequest::headers(self)
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        HttpRequest::peer_addr(self)
    }

    fn conn_data<T: 'static>(&self) -> Option<&T> {
        HttpRequest::conn_data(self)
    }

    fn worker(&self) -> &Worker {
        Worker::of(self)
    }
}

/// Request that no router has seen.
pub(super) struct DirectRequest {
    request: Request,
    worker: Rc<Worker>,
}

impl DirectRequest {
    /// Takes the body from the request.
    pub fn new(mut request: Request, worker: Rc<Worker>) -> (DirectRequest, Payload) {
        let payload = request.take_payload();
        (DirectRequest { request, worker }, payload)
    }
}

impl Head for DirectRequest {
    fn headers(&self) -> &HeaderMap {
        self.request.head().headers()
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        self.request.peer_addr()
    }

    fn conn_data<T: 'static>(&self) -> Option<&T> {
        self.request.conn_data()
    }

    fn worker(&self) -> &Worker {
        &self.worker
    }
}

/// First value of a header, by its name in lower case; `None` if it is absent or no text.
pub(super) fn header<'r>(request: &'r impl Head, name: &str) -> Option<&'r str> {
    let mut headers = request.headers().iter();
    // a request has few headers: comparing their names costs less than parsing and hashing this one
    let found = headers.find(|(present, _)| present.as_str() == name);
    found.and_then(|(_, value)| value.to_str().ok())
}
