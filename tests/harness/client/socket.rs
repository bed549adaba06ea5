//! Socket with a receive buffer, shared by response heads and bodies; each read reports data, end or timeout.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

#[derive(Debug)]
pub struct BufferedSocket {
    pub stream: TcpStream,
    /// bytes received and not yet consumed
    pub buffer: Vec<u8>,
}

/// Result of one read of the socket.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    Bytes,
    Closed,
    Reset,
    /// timeout
    Silence,
}

impl BufferedSocket {
    pub fn new(stream: TcpStream) -> BufferedSocket {
        BufferedSocket {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Local address.
    pub fn address(&self) -> SocketAddr {
        self.stream
            .local_addr()
            .expect("a connected socket has an address")
    }

    pub fn set_read_timeout(&self, time: Duration) {
        self.stream
            .set_read_timeout(Some(time))
            .expect("a read timeout above zero");
    }

    /// Reads once into the buffer.
    pub fn read(&mut self) -> ReadOutcome {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => ReadOutcome::Closed,
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                ReadOutcome::Bytes
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                ReadOutcome::Silence
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => ReadOutcome::Bytes,
            Err(_) => ReadOutcome::Reset,
        }
    }
}
