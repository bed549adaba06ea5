//! Server side of the scripted upstream: reads requests and plays their scripts, one task per connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::records::{Disconnect, SharedRecords};
use crate::harness::gate::Gate;
use crate::harness::http::{Chunk, Head, Length, take_chunk};
use crate::harness::request::ReceivedRequest;
use crate::harness::script::{Ending, Framing, ScriptedResponse};

/// Longest time a script keeps a connection open.
const HANG_MAX: Duration = Duration::from_secs(600);

/// Accepts and serves connections until `stopped` fires.
pub fn serve(
    listener: std::net::TcpListener,
    shared: &Arc<SharedRecords>,
    stopped: oneshot::Receiver<()>,
) {
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
                    .expect("the listener outlives the upstream");
                let _ = stream.set_nodelay(true);
                let number = {
                    let mut records = shared.records();
                    records.connections += 1;
                    records.connections - 1
                };
                let shared = Arc::clone(shared);
                tokio::spawn(async move {
                    Connection {
                        stream,
                        buffer: Vec::new(),
                        number,
                        shared: Arc::clone(&shared),
                    }
                    .serve()
                    .await;
                    shared.records().closed += 1;
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
    shared: Arc<SharedRecords>,
}

/// The peer closed the connection.
struct PeerDisconnect;

impl Connection {
    /// Serves requests until either side closes.
    async fn serve(mut self) {
        loop {
            let Ok((head, body)) = self.read_request().await else {
                self.shared.records().disconnects.push(Disconnect {
                    at: Instant::now(),
                    request: None,
                    pieces_sent: 0,
                });
                return;
            };
            let request = self.shared.begin(self.number, head, body);
            let script = Arc::clone(
                &self
                    .shared
                    .script
                    .lock()
                    .expect("no panic while the script is set"),
            );
            let refusal = self.shared.refusal(&request);
            let response = refusal.as_ref().unwrap_or(&script).response_to(&request);
            let mut play = Playback {
                line: None,
                pieces_sent: 0,
            };
            let played = self.play(&response, &request, &mut play).await;
            let disconnect = played.is_err().then(|| Disconnect {
                at: Instant::now(),
                request: Some(request.number),
                pieces_sent: play.pieces_sent,
            });
            self.shared.end(play.line, disconnect);
            if played.is_err()
                || response.ending != Ending::Clean
                || response.framing == Framing::CloseDelimited
            {
                return;
            }
        }
    }

    async fn read_request(&mut self) -> Result<(Head, Vec<u8>), PeerDisconnect> {
        let head = loop {
            match Head::take(&mut self.buffer) {
                Some(head) => break head,
                None => self.read().await?,
            }
        };
        let mut body = Vec::new();
        match head.length(true) {
            Length::Bytes(bytes) => {
                while self.buffer.len() < bytes {
                    self.read().await?;
                }
                body.extend(self.buffer.drain(..bytes));
            }
            Length::Chunked => loop {
                match take_chunk(&mut self.buffer) {
                    Chunk::Partial => self.read().await?,
                    Chunk::Bytes(bytes) => body.extend(bytes),
                    Chunk::Last => break,
                }
            },
            Length::UntilClose => {}
        }
        Ok((head, body))
    }

    async fn read(&mut self) -> Result<(), PeerDisconnect> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => Err(PeerDisconnect),
            Ok(_) => Ok(()),
        }
    }

    async fn play(
        &mut self,
        response: &ScriptedResponse,
        request: &ReceivedRequest,
        play: &mut Playback,
    ) -> Result<(), PeerDisconnect> {
        self.wait(response.delay).await?;
        self.wait_at(response.gate_before_head.as_ref()).await?;
        let pieces = response.wire_pieces();
        let mut wire = response.head();
        if response.framing != Framing::Raw || !pieces.iter().all(|piece| piece.bytes.is_empty()) {
            play.line = Some(self.shared.charge_input(request, response.input_tokens));
        }
        // a body of one piece is sent with its head in one write, unless the script pauses
        if pieces.len() > 1 || response.pause > Duration::ZERO {
            self.write(&wire, response).await?;
            wire.clear();
        }
        for piece in &pieces {
            if play.pieces_sent > 0 {
                self.wait(response.pause).await?;
            }
            if let Some((pieces, gate)) = &response.gate_after_pieces
                && *pieces == play.pieces_sent
            {
                self.wait_at(Some(gate)).await?;
            }
            wire.extend_from_slice(&piece.bytes);
            self.write(&wire, response).await?;
            wire.clear();
            play.sent(&self.shared, piece.output_tokens);
        }
        self.end(response, wire).await
    }

    async fn end(
        &mut self,
        response: &ScriptedResponse,
        unsent: Vec<u8>,
    ) -> Result<(), PeerDisconnect> {
        self.write(&unsent, response).await?;
        match response.ending {
            Ending::Clean if response.framing == Framing::Chunked => {
                self.write(b"0\r\n\r\n", response).await
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
            Ending::Hangs => self.wait(HANG_MAX).await,
        }
    }

    async fn write(
        &mut self,
        wire: &[u8],
        response: &ScriptedResponse,
    ) -> Result<(), PeerDisconnect> {
        for part in wire.chunks(response.write_bytes_max.max(1)) {
            self.stream
                .write_all(part)
                .await
                .map_err(|_| PeerDisconnect)?;
            if response.write_bytes_max != usize::MAX {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Waits; an error if the peer disconnects meanwhile.
    async fn wait(&mut self, time: Duration) -> Result<(), PeerDisconnect> {
        if time.is_zero() {
            return Ok(());
        }
        self.wait_for(tokio::time::sleep(time)).await
    }

    /// Waits until the gate is open, at most as long as a script may hang.
    async fn wait_at(&mut self, gate: Option<&Gate>) -> Result<(), PeerDisconnect> {
        let Some(gate) = gate else {
            return Ok(());
        };
        let opened = async {
            let _ = tokio::time::timeout(HANG_MAX, gate.opened()).await;
        };
        self.wait_for(opened).await
    }

    /// Waits for the future; an error if the peer disconnects meanwhile.
    async fn wait_for(&mut self, over: impl Future<Output = ()>) -> Result<(), PeerDisconnect> {
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Ok(()),
                read = self.stream.read_buf(&mut self.buffer) => match read {
                    Ok(0) | Err(_) => return Err(PeerDisconnect),
                    Ok(_) => {}
                },
            }
        }
    }
}

/// Progress of one script.
struct Playback {
    line: Option<usize>,
    pieces_sent: usize,
}

impl Playback {
    fn sent(&mut self, shared: &SharedRecords, output_tokens: u64) {
        self.pieces_sent += 1;
        if let Some(line) = self.line.filter(|_| output_tokens > 0) {
            shared.charge_output(line, output_tokens);
        }
    }
}
