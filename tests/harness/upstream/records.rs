//! Records of the scripted upstream: received requests, its own bill and the connections that peers closed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use crate::harness::http::Head;
use crate::harness::request::ReceivedRequest;
use crate::harness::script::Script;
use crate::harness::strict::Places;

/// State shared by the test and the upstream's thread.
pub struct SharedRecords {
    pub script: Mutex<Arc<Script>>,
    /// vendors that refuse before the script is played
    pub places: Places,
    pub is_accepting: AtomicBool,
    pub records: Mutex<Records>,
}

/// Everything that was observed since the start.
#[derive(Default)]
pub struct Records {
    pub requests: Vec<Arc<ReceivedRequest>>,
    /// all requests, those too that are forgotten
    pub received: usize,
    pub bill: Vec<BillLine>,
    pub disconnects: Vec<Disconnect>,
    pub connections: usize,
    pub closed: usize,
    pub in_flight: usize,
    pub in_flight_max: usize,
}

impl SharedRecords {
    pub fn records(&self) -> MutexGuard<'_, Records> {
        self.records
            .lock()
            .expect("no panic while the records are locked")
    }

    /// Records a received request.
    pub fn begin(&self, connection: usize, head: Head, body: Vec<u8>) -> Arc<ReceivedRequest> {
        let mut records = self.records();
        let request = Arc::new(ReceivedRequest {
            number: records.received,
            at: Instant::now(),
            connection,
            head,
            body,
        });
        records.requests.push(Arc::clone(&request));
        records.received += 1;
        records.in_flight += 1;
        records.in_flight_max = records.in_flight_max.max(records.in_flight);
        request
    }

    /// Refusal by the vendors that it plays, unless it takes everything.
    pub fn refusal(&self, request: &ReceivedRequest) -> Option<Script> {
        let is_accepting = self.is_accepting.load(Ordering::SeqCst);
        (!is_accepting).then(|| self.places.refusal(request))?
    }

    /// Opens the bill line of a request and returns its index.
    pub fn charge_input(&self, request: &ReceivedRequest, input_tokens: u64) -> usize {
        let model = request.json()["model"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let mut records = self.records();
        records.bill.push(BillLine {
            request: request.number,
            model,
            input_tokens,
            output_tokens: 0,
            complete: false,
        });
        records.bill.len() - 1
    }

    pub fn charge_output(&self, line: usize, output_tokens: u64) {
        self.records().bill[line].output_tokens += output_tokens;
    }

    /// Records the end of a response.
    pub fn end(&self, line: Option<usize>, disconnect: Option<Disconnect>) {
        let mut records = self.records();
        records.in_flight -= 1;
        if let Some(line) = line {
            records.bill[line].complete = disconnect.is_none();
        }
        records.disconnects.extend(disconnect);
    }
}

/// Charge for one request: input tokens once the response head is sent, output tokens as they are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BillLine {
    pub request: usize,
    pub model: String,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// the script was played to its end
    pub complete: bool,
}

impl BillLine {
    /// Cost in pico-dollars, at prices in pico-dollars per token.
    pub fn cost(&self, input_price: u64, output_price: u64) -> i128 {
        i128::from(self.input_tokens) * i128::from(input_price)
            + i128::from(self.output_tokens) * i128::from(output_price)
    }
}

/// Connection closed by the peer.
#[derive(Clone, Copy, Debug)]
pub struct Disconnect {
    pub at: Instant,
    /// the request whose response was not complete; `None` between two requests
    pub request: Option<usize>,
    /// pieces of the body sent before
    pub pieces_sent: usize,
}
