//! Load generator: connections that each send a request, read the complete response and repeat until the count is
//! reached. Any status but 200 aborts the run, because a figure that includes refusals is meaningless.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

/// Time limit of a turn.
const TURN_MAX: Duration = Duration::from_secs(180);

pub struct Load {
    address: SocketAddr,
    request: Rc<Vec<u8>>,
}

/// Open connections to a server.
pub struct Connections {
    runtime: Runtime,
    request: Rc<Vec<u8>>,
    streams: Vec<TcpStream>,
}

pub struct Turn {
    pub elapsed: Duration,
    /// microseconds
    pub latency: Histogram<u64>,
}

impl Load {
    /// A chat request of 2 KB to a model; `fields` are further fields, each with a leading comma.
    pub fn new(address: SocketAddr, key: &str, model: &str, fields: &str) -> Load {
        Load {
            address,
            request: Rc::new(request_bytes(address, key, model, fields)),
        }
    }

    /// Opens connections.
    pub fn connect(&self, connections: usize) -> Connections {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime for the load");
        let streams = runtime.block_on(async {
            let mut streams = Vec::new();
            for _ in 0..connections {
                let stream = TcpStream::connect(self.address)
                    .await
                    .expect("the server listens");
                stream.set_nodelay(true).expect("TCP_NODELAY");
                streams.push(stream);
            }
            streams
        });
        Connections {
            runtime,
            request: Rc::clone(&self.request),
            streams,
        }
    }
}

impl Connections {
    /// Sends requests over the connections, each at once after the response before it; with `per_second` each at its own time.
    pub fn run(&mut self, requests: usize, per_second: Option<f64>) -> Turn {
        let local = LocalSet::new();
        let start = Instant::now();
        let schedule = Rc::new(Schedule {
            start,
            sent: Cell::new(0),
            requests,
            interval: per_second.map(|rate| Duration::from_secs_f64(1.0 / rate)),
        });
        let streams = std::mem::take(&mut self.streams);
        let (latency, streams) = local.block_on(&self.runtime, async {
            let callers: Vec<_> = streams
                .into_iter()
                .map(|stream| {
                    tokio::task::spawn_local(run_connection(
                        stream,
                        Rc::clone(&self.request),
                        Rc::clone(&schedule),
                    ))
                })
                .collect();
            let (mut all, mut streams) = (histogram(), Vec::new());
            for caller in callers {
                let ended = tokio::time::timeout(TURN_MAX, caller)
                    .await
                    .expect("the turn ends in time");
                let (latency, stream) = ended.expect("no caller panics");
                all.add(latency).expect("histograms of one shape add up");
                streams.push(stream);
            }
            (all, streams)
        });
        self.streams = streams;
        Turn {
            elapsed: start.elapsed(),
            latency,
        }
    }
}

/// Bytes of a chat request of 2 KB; `fields` are further fields, each with a leading comma.
pub fn request_bytes(address: SocketAddr, key: &str, model: &str, fields: &str) -> Vec<u8> {
    let words = "Please summarise what the committee decided about the bridge. ".repeat(29);
    let body = format!(
        r#"{{"model":"{model}","max_tokens":256,"temperature":0.2,"messages":[{{"role":"system","content":"You are brief."}},{{"role":"user","content":"{words}"}}]{fields}}}"#
    );
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\naccept: application/json\r\nuser-agent: overhead\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    request.into_bytes()
}

/// Requests of a turn.
struct Schedule {
    start: Instant,
    sent: Cell<usize>,
    requests: usize,
    /// between two requests of an open loop
    interval: Option<Duration>,
}

impl Schedule {
    /// Waits for the time of the next request and returns it; `None` after the last one.
    async fn next(&self) -> Option<Instant> {
        let number = self.sent.get();
        if number >= self.requests {
            return None;
        }
        self.sent.set(number + 1);
        let Some(interval) = self.interval else {
            return Some(Instant::now());
        };
        let due = self.start + interval * number as u32;
        tokio::time::sleep_until(due.into()).await;
        Some(due)
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 200_000_000, 3).expect("the bounds of the histogram are in order")
}

async fn run_connection(
    mut stream: TcpStream,
    request: Rc<Vec<u8>>,
    schedule: Rc<Schedule>,
) -> (Histogram<u64>, TcpStream) {
    let mut latency = histogram();
    let mut buffer = Vec::with_capacity(8 * 1024);
    while let Some(start) = schedule.next().await {
        stream.write_all(&request).await.expect("the server reads");
        read_response(&mut stream, &mut buffer).await;
        latency.saturating_record(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    (latency, stream)
}

/// Reads one response, with a length or in chunks, and discards it.
async fn read_response(stream: &mut TcpStream, buffer: &mut Vec<u8>) {
    let head = loop {
        if let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break head + 4;
        }
        read(stream, buffer).await;
    };
    let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
    assert!(
        text.starts_with("HTTP/1.1 200"),
        "response status is not 200: {text}"
    );
    if text.contains("chunked") {
        while !buffer.ends_with(b"\r\n0\r\n\r\n") {
            read(stream, buffer).await;
        }
        let end = memchr::memmem::find(buffer, b"data: [DONE]");
        assert!(
            end.is_some(),
            "the stream ended without [DONE]: {}",
            String::from_utf8_lossy(buffer)
        );
        return buffer.clear();
    }
    let end = head + content_length(&text);
    while buffer.len() < end {
        read(stream, buffer).await;
    }
    buffer.drain(..end);
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) {
    let count = stream.read_buf(buffer).await.expect("the server answers");
    assert!(
        count > 0,
        "the server closed the connection within a response"
    );
}

/// Returns the content-length of a head.
pub fn content_length(head: &str) -> usize {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let found = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    found.map_or(0, |(_, value)| {
        value.trim().parse().expect("content-length is a number")
    })
}
