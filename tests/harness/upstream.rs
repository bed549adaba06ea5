//! The scripted upstream: a vendor on 127.0.0.1 that plays scripts byte for byte on a thread of its own, records every
//! request, notices every peer that hangs up, and keeps its own bill of what it sent. It never opens a connection, and
//! it knows nothing of the gateway.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;

use super::http::{Chunk, Head, Length, take_chunk};
use super::script::{Ending, Framing, Script, ScriptedResponse};
use super::{model, wait_until};

/// No script keeps a connection longer than this, whatever it says.
const HANG_MAX: Duration = Duration::from_secs(120);

pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    life: Option<Life>,
    /// holds the port of an upstream that refuses
    _refusing: Option<TcpSocket>,
}

struct Life {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

struct Shared {
    script: Mutex<Arc<Script>>,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    seen: Vec<Arc<ReceivedRequest>>,
    bill: Vec<BillLine>,
    partings: Vec<Disconnect>,
    connections: usize,
    closed: usize,
    in_flight: usize,
    in_flight_max: usize,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    /// from 0, in the order in which the requests were whole
    pub number: usize,
    pub at: Instant,
    pub connection: usize,
    pub head: Head,
    pub body: Vec<u8>,
}

impl ReceivedRequest {
    /// `POST`
    pub fn method(&self) -> &str {
        self.head.first_line.split(' ').next().unwrap_or_default()
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        self.head.first_line.split(' ').nth(1).unwrap_or_default()
    }

    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body, or null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// What one request would cost: the input once the head is out, the output as it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BillLine {
    pub request: usize,
    pub model: String,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// the script was played to its end
    pub whole: bool,
}

impl BillLine {
    /// In pico-dollars, at pico-dollars per token.
    pub fn cost(&self, input_price: u64, output_price: u64) -> i128 {
        i128::from(self.input_tokens) * i128::from(input_price)
            + i128::from(self.output_tokens) * i128::from(output_price)
    }
}

/// A peer closed a connection.
#[derive(Clone, Copy, Debug)]
pub struct Disconnect {
    pub at: Instant,
    /// the request whose answer was not over; `None` between two requests
    pub request: Option<usize>,
    /// pieces of the body that had been sent
    pub pieces_sent: usize,
}

impl Upstream {
    /// Starts to answer like an honest model that uses 10 tokens in and 20 out.
    pub fn start() -> Upstream {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        listener
            .set_nonblocking(true)
            .expect("a listener can be non-blocking");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(model::with_usage(10, 20))),
            books: Mutex::new(Books::default()),
        });
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("upstream".to_owned())
            .spawn(move || serve(listener, &served, stopped))
            .expect("a thread for the upstream");
        Upstream {
            address,
            shared,
            life: Some(Life { stop, thread }),
            _refusing: None,
        }
    }

    /// A port that is taken but where nobody listens.
    pub fn refusing() -> Upstream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .expect("a free port on loopback");
        let address = socket.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(Script::closes())),
            books: Mutex::new(Books::default()),
        });
        Upstream {
            address,
            shared,
            life: None,
            _refusing: Some(socket),
        }
    }

    /// From now on, every request is answered so.
    pub fn respond_with(&self, script: Script) -> &Upstream {
        *self
            .shared
            .script
            .lock()
            .expect("no panic while the script is set") = Arc::new(script);
        self
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Scheme, host and port.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Arc<ReceivedRequest>> {
        self.shared.books().seen.clone()
    }

    /// The newest request; panics if there was none.
    pub fn last_request(&self) -> Arc<ReceivedRequest> {
        self.shared
            .books()
            .seen
            .last()
            .cloned()
            .expect("the upstream saw a request")
    }

    pub fn request_count(&self) -> usize {
        self.shared.books().seen.len()
    }

    pub fn connection_count(&self) -> usize {
        self.shared.books().connections
    }

    /// The most requests that were in work at one instant.
    pub fn in_flight_max(&self) -> usize {
        self.shared.books().in_flight_max
    }

    pub fn in_flight(&self) -> usize {
        self.shared.books().in_flight
    }

    /// The upstream's own bill: a line for each request whose head went out.
    pub fn bill(&self) -> Vec<BillLine> {
        self.shared.books().bill.clone()
    }

    /// The whole bill in pico-dollars, at pico-dollars per token.
    pub fn bill_total(&self, input_price: u64, output_price: u64) -> i128 {
        self.shared
            .books()
            .bill
            .iter()
            .map(|line| line.cost(input_price, output_price))
            .sum()
    }

    /// Peers that left before their answer was over.
    pub fn disconnects(&self) -> Vec<Disconnect> {
        self.shared
            .books()
            .partings
            .iter()
            .filter(|parting| parting.request.is_some())
            .copied()
            .collect()
    }

    /// All closed connections, idle ones too.
    pub fn closed_connections(&self) -> Vec<Disconnect> {
        self.shared.books().partings.clone()
    }

    pub fn wait_for_requests(&self, count: usize) -> &Upstream {
        wait_until(&format!("the upstream has {count} requests"), || {
            self.request_count() >= count
        });
        self
    }

    pub fn wait_for_disconnects(&self, count: usize) -> &Upstream {
        wait_until(&format!("{count} peers hung up"), || {
            self.disconnects().len() >= count
        });
        self
    }

    /// Until so many connections are closed at this end.
    pub fn wait_for_closed(&self, count: usize) -> &Upstream {
        wait_until(&format!("{count} connections are closed"), || {
            self.shared.books().closed >= count
        });
        self
    }

    /// Until no request is in work: from then on the bill stands.
    pub fn wait_until_idle(&self) -> &Upstream {
        wait_until("the upstream is idle", || self.in_flight() == 0);
        self
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(life) = self.life.take() {
            let _ = life.stop.send(());
            if life.thread.join().is_err() && !std::thread::panicking() {
                panic!(
                    "the upstream's thread panicked: its script is wrong, or a request was no HTTP"
                );
            }
        }
    }
}

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books
            .lock()
            .expect("no panic while the books are open")
    }

    fn begins(&self, connection: usize, head: Head, body: Vec<u8>) -> Arc<ReceivedRequest> {
        let mut books = self.books();
        let seen = Arc::new(ReceivedRequest {
            number: books.seen.len(),
            at: Instant::now(),
            connection,
            head,
            body,
        });
        books.seen.push(Arc::clone(&seen));
        books.in_flight += 1;
        books.in_flight_max = books.in_flight_max.max(books.in_flight);
        seen
    }

    /// Opens the line of a request and returns its place.
    fn charges_input(&self, seen: &ReceivedRequest, input_tokens: u64) -> usize {
        let model = seen.json()["model"].as_str().unwrap_or_default().to_owned();
        let mut books = self.books();
        books.bill.push(BillLine {
            request: seen.number,
            model,
            input_tokens,
            output_tokens: 0,
            whole: false,
        });
        books.bill.len() - 1
    }

    fn charges_output(&self, line: usize, output_tokens: u64) {
        self.books().bill[line].output_tokens += output_tokens;
    }

    fn ends(&self, line: Option<usize>, parting: Option<Disconnect>) {
        let mut books = self.books();
        books.in_flight -= 1;
        if let Some(line) = line {
            books.bill[line].whole = parting.is_none();
        }
        books.partings.extend(parting);
    }
}

fn serve(listener: std::net::TcpListener, shared: &Arc<Shared>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the upstream");
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).expect("the listener joins the runtime");
        let accepting = async {
            loop {
                let (stream, _) = listener
                    .accept()
                    .await
                    .expect("the listener lives as long as the upstream");
                let _ = stream.set_nodelay(true);
                let number = {
                    let mut books = shared.books();
                    books.connections += 1;
                    books.connections - 1
                };
                let shared = Arc::clone(shared);
                tokio::spawn(async move {
                    Connection {
                        stream,
                        buffer: Vec::new(),
                        number,
                        shared: Arc::clone(&shared),
                    }
                    .lives()
                    .await;
                    shared.books().closed += 1;
                });
            }
        };
        tokio::select! {
            () = accepting => {}
            _ = stopped => {}
        }
    });
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    number: usize,
    shared: Arc<Shared>,
}

/// The peer is gone; nothing more can be sent.
struct Gone;

impl Connection {
    async fn lives(mut self) {
        loop {
            let Ok((head, body)) = self.request().await else {
                self.shared.books().partings.push(Disconnect {
                    at: Instant::now(),
                    request: None,
                    pieces_sent: 0,
                });
                return;
            };
            let seen = self.shared.begins(self.number, head, body);
            let script = Arc::clone(
                &self
                    .shared
                    .script
                    .lock()
                    .expect("no panic while the script is set"),
            );
            let answer = script.answer_to(&seen);
            let mut play = Play {
                line: None,
                pieces_sent: 0,
            };
            let played = self.plays(&answer, &seen, &mut play).await;
            let parting = played.is_err().then(|| Disconnect {
                at: Instant::now(),
                request: Some(seen.number),
                pieces_sent: play.pieces_sent,
            });
            self.shared.ends(play.line, parting);
            if played.is_err()
                || answer.ending != Ending::Clean
                || answer.framing == Framing::CloseDelimited
            {
                return;
            }
        }
    }

    async fn request(&mut self) -> Result<(Head, Vec<u8>), Gone> {
        let head = loop {
            match Head::take(&mut self.buffer) {
                Some(head) => break head,
                None => self.reads().await?,
            }
        };
        let mut body = Vec::new();
        match head.length(true) {
            Length::Bytes(bytes) => {
                while self.buffer.len() < bytes {
                    self.reads().await?;
                }
                body.extend(self.buffer.drain(..bytes));
            }
            Length::Chunked => loop {
                match take_chunk(&mut self.buffer) {
                    Chunk::Partial => self.reads().await?,
                    Chunk::Bytes(bytes) => body.extend(bytes),
                    Chunk::Last => break,
                }
            },
            Length::UntilClose => {}
        }
        Ok((head, body))
    }

    async fn reads(&mut self) -> Result<(), Gone> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => Err(Gone),
            Ok(_) => Ok(()),
        }
    }

    async fn plays(
        &mut self,
        answer: &ScriptedResponse,
        seen: &ReceivedRequest,
        play: &mut Play,
    ) -> Result<(), Gone> {
        self.waits(answer.delay).await?;
        let pieces = answer.wire_pieces();
        let mut wire = answer.head();
        if answer.framing != Framing::Raw || !pieces.iter().all(|piece| piece.bytes.is_empty()) {
            play.line = Some(self.shared.charges_input(seen, answer.input_tokens));
        }
        // a whole body goes out with its head, in one write, unless the script wants it slowly
        if pieces.len() > 1 || answer.pause > Duration::ZERO {
            self.writes(&wire, answer).await?;
            wire.clear();
        }
        for piece in &pieces {
            if play.pieces_sent > 0 {
                self.waits(answer.pause).await?;
            }
            wire.extend_from_slice(&piece.bytes);
            self.writes(&wire, answer).await?;
            wire.clear();
            play.sent(&self.shared, piece.output_tokens);
        }
        self.ends(answer, wire).await
    }

    async fn ends(&mut self, answer: &ScriptedResponse, unsent: Vec<u8>) -> Result<(), Gone> {
        self.writes(&unsent, answer).await?;
        match answer.ending {
            Ending::Clean if answer.framing == Framing::Chunked => {
                self.writes(b"0\r\n\r\n", answer).await
            }
            Ending::Clean => Ok(()),
            Ending::Closes => {
                let _ = self.stream.shutdown().await;
                Ok(())
            }
            Ending::Resets => {
                let _ = self.stream.set_zero_linger();
                Ok(())
            }
            Ending::Hangs => self.waits(HANG_MAX).await,
        }
    }

    async fn writes(&mut self, wire: &[u8], answer: &ScriptedResponse) -> Result<(), Gone> {
        for part in wire.chunks(answer.write_bytes_max.max(1)) {
            self.stream.write_all(part).await.map_err(|_| Gone)?;
            if answer.write_bytes_max != usize::MAX {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Waits, and notices a peer that leaves meanwhile.
    async fn waits(&mut self, time: Duration) -> Result<(), Gone> {
        if time.is_zero() {
            return Ok(());
        }
        let over = tokio::time::sleep(time);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Ok(()),
                read = self.stream.read_buf(&mut self.buffer) => match read {
                    Ok(0) | Err(_) => return Err(Gone),
                    Ok(_) => {}
                },
            }
        }
    }
}

/// How far a script has come.
struct Play {
    line: Option<usize>,
    pieces_sent: usize,
}

impl Play {
    fn sent(&mut self, shared: &Shared, output_tokens: u64) {
        self.pieces_sent += 1;
        if let Some(line) = self.line.filter(|_| output_tokens > 0) {
            shared.charges_output(line, output_tokens);
        }
    }
}
