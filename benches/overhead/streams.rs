//! Many open streams at once: CPU time per event, time to the first content and memory of the server. Each stream has a connection of
//! its own; they begin one after the other within `spread`, and the upstream paces their events.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::load::request_bytes;
use super::servers::Server;
use super::subject::{POSTED, median_of_values};

/// Time limit of a turn.
const TURN_MAX: Duration = Duration::from_secs(120);
/// Content of the upstream's events.
const FIRST_CONTENT: &[u8] = b" before";
/// Interval between two looks at the server's memory.
const SAMPLE: Duration = Duration::from_millis(200);
/// Time after which a gateway has given back the code of its start.
const AFTER_START: Duration = Duration::from_secs(3);

/// Streams of a turn.
#[derive(Clone, Copy)]
pub struct StreamShape {
    pub streams: usize,
    pub events: usize,
    pub pace_ms: usize,
    pub spread: Duration,
}

/// As many as the closed loop has connections, and two numbers for which memory has a bar.
pub const SHAPES: [StreamShape; 3] = [
    StreamShape {
        streams: 64,
        events: 100,
        pace_ms: 20,
        spread: Duration::from_millis(100),
    },
    StreamShape {
        streams: 500,
        events: 50,
        pace_ms: 100,
        spread: Duration::from_millis(500),
    },
    StreamShape {
        streams: 5_000,
        events: 8,
        pace_ms: 750,
        spread: Duration::from_secs(3),
    },
];

/// A server under streams, with the figures of its turns by shape.
pub struct StreamSubject {
    pub name: &'static str,
    pub server: Rc<Server>,
    pub key: String,
    /// memory of the server before any request
    pub idle_mb: f64,
    /// memory after the warm-up, with the code that requests run through
    warm_mb: f64,
    pub turns: Vec<Vec<StreamFigures>>,
}

#[derive(Clone, Copy)]
pub struct StreamFigures {
    pub event_us: f64,
    pub first_p50_ms: f64,
    pub first_p99_ms: f64,
    /// growth of the server's memory during the turn
    pub growth_mb: f64,
}

impl StreamSubject {
    /// A subject that has just started; waits until a gateway has given back the code of its start.
    pub fn new(name: &'static str, server: Rc<Server>, key: &str, shapes: usize) -> StreamSubject {
        std::thread::sleep(AFTER_START);
        StreamSubject {
            name,
            idle_mb: resident_mb(&server),
            warm_mb: 0.0,
            server,
            key: key.to_owned(),
            turns: vec![Vec::new(); shapes],
        }
    }

    /// Reads the memory from which the growth of the turns counts.
    pub fn warmed_up(&mut self) {
        self.warm_mb = resident_mb(&self.server);
    }

    pub fn run_turns(&mut self) {
        for (shape, turns) in SHAPES.into_iter().zip(&mut self.turns) {
            turns.push(measure(&self.server, &self.key, shape));
        }
    }

    /// Memory with the streams of a shape: that after the warm-up and the largest growth. What other turns left behind does not count.
    pub fn memory_mb(&self, shape: usize) -> f64 {
        let growths = self.turns[shape].iter().map(|turn| turn.growth_mb);
        self.warm_mb + growths.fold(0.0, f64::max)
    }

    pub fn median(&self, shape: usize, figure: impl Fn(&StreamFigures) -> f64) -> f64 {
        median_of_values(self.turns[shape].iter().map(figure).collect())
    }
}

fn measure(server: &Server, key: &str, shape: StreamShape) -> StreamFigures {
    let fields = format!(
        r#","stream":true,"seed":{}"#,
        shape.pace_ms * 1_000 + shape.events
    );
    let request = Rc::new(request_bytes(server.address, key, "m-small", &fields));
    let (before, before_mb) = (server.cpu_us(), resident_mb(server));
    let (first, most_mb) = run(server, &request, shape);
    std::thread::sleep(POSTED);
    let events = (shape.streams * shape.events) as f64;
    StreamFigures {
        event_us: (server.cpu_us() - before) / events,
        first_p50_ms: first.value_at_quantile(0.50) as f64 / 1e3,
        first_p99_ms: first.value_at_quantile(0.99) as f64 / 1e3,
        growth_mb: most_mb - before_mb,
    }
}

/// Times to the first content in microseconds, and the most memory that the server had.
fn run(server: &Server, request: &Rc<Vec<u8>>, shape: StreamShape) -> (Histogram<u64>, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the load");
    let interval = shape.spread / shape.streams as u32;
    LocalSet::new().block_on(&runtime, async {
        let start = Instant::now();
        let streams: Vec<_> = (0..shape.streams)
            .map(|number| {
                let (address, request) = (server.address, request.clone());
                let due = start + interval * number as u32;
                tokio::task::spawn_local(read_stream(address, request, due))
            })
            .collect();
        let mut first = Histogram::new_with_bounds(1, 200_000_000, 3).expect("ordered bounds");
        let ended = async {
            for stream in streams {
                let first_us = stream.await.expect("no stream panics");
                first.saturating_record(first_us);
            }
        };
        let mut most: f64 = 0.0;
        let sample = async {
            loop {
                most = most.max(resident_mb(server));
                tokio::time::sleep(SAMPLE).await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = sample => {}
            () = tokio::time::sleep(TURN_MAX) => panic!("the streams did not end in {TURN_MAX:?}"),
        }
        (first, most)
    })
}

/// Resident memory of a server.
fn resident_mb(server: &Server) -> f64 {
    let path = format!("/proc/{}/status", server.id());
    let status = std::fs::read_to_string(path).expect("the server still runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kb.and_then(|kb| kb.parse::<f64>().ok())
        .expect("a resident size")
        / 1_000.0
}

/// Reads one stream to its end and returns the microseconds to its first content, which a gateway that may still replace the stream
/// holds the events before back for.
async fn read_stream(address: SocketAddr, request: Rc<Vec<u8>>, due: Instant) -> u64 {
    tokio::time::sleep_until(due.into()).await;
    let start = Instant::now();
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream.write_all(&request).await.expect("the server reads");
    let (mut buffer, mut first_us) = (Vec::with_capacity(1_024), None);
    while !buffer.ends_with(b"\r\n0\r\n\r\n") {
        // the end of a stream is all that is kept of it
        let kept = buffer.len().saturating_sub(512);
        if first_us.is_some() {
            buffer.drain(..kept);
        }
        let count = stream
            .read_buf(&mut buffer)
            .await
            .expect("the server answers");
        let text = String::from_utf8_lossy(&buffer);
        assert!(count > 0, "the connection ended within a stream: {text}");
        if first_us.is_none() && memchr::memmem::find(&buffer, FIRST_CONTENT).is_some() {
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            first_us = Some(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }
    let end = memchr::memmem::find(&buffer, b"[DONE]");
    assert!(end.is_some(), "the stream ended without [DONE]");
    first_us.expect("a stream has content")
}
