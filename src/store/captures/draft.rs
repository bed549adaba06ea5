//! `CaptureDraft`: the capture of a call that is running. It copies what the client sends and receives and hands it over when the call
//! ends, whichever way. It never waits, and gives up once the queue has no room.

use std::sync::Arc;

use crate::domain::capture::KeepDays;
use crate::domain::id::{KeyId, OrganizationId, RequestId, TeamId};
use crate::domain::time::Time;
use crate::store::captures::content::{CapturedCall, StoredCapture};
use crate::store::captures::queue::{DropReason, HeldBytes, Queue};

/// Request and place of a captured call.
#[derive(Clone, Copy, Debug)]
pub struct CaptureOrigin {
    pub request: RequestId,
    pub organization: OrganizationId,
    pub team: TeamId,
    pub key: KeyId,
    pub keep: KeepDays,
}

/// Capture of a running call; dropped before its end, it hands over what it has.
pub struct CaptureDraft {
    queue: Arc<Queue>,
    time: Arc<Time>,
    origin: CaptureOrigin,
    call: CapturedCall,
    /// `None`: the queue had no room
    held: Option<HeldBytes>,
    /// there is a response, so that there is something to hand over
    is_answered: bool,
}

impl CaptureDraft {
    pub(super) fn new(
        queue: Arc<Queue>,
        time: Arc<Time>,
        origin: CaptureOrigin,
        request: &[u8],
    ) -> CaptureDraft {
        let held = HeldBytes::take(&queue, request.len());
        let request = if held.is_some() {
            request.to_vec()
        } else {
            Vec::new()
        };
        CaptureDraft {
            queue,
            time,
            origin,
            call: CapturedCall {
                request,
                ..CapturedCall::default()
            },
            held,
            is_answered: false,
        }
    }

    /// Notes the head of the response.
    pub fn answer(&mut self, status: u16, is_stream: bool) {
        (self.call.status, self.call.is_stream) = (status, is_stream);
        self.is_answered = true;
    }

    /// Copies a part of the response.
    pub fn push(&mut self, bytes: &[u8]) {
        let Some(held) = &mut self.held else {
            return;
        };
        if held.grow(bytes.len()) {
            self.call.response.extend_from_slice(bytes);
        } else {
            self.held = None;
            // the bytes are free for other captures
            (self.call.request, self.call.response) = Default::default();
        }
    }

    /// Hands over a call whose response reached its end.
    pub fn finish(mut self) {
        self.call.is_complete = true;
    }
}

impl Drop for CaptureDraft {
    fn drop(&mut self) {
        if !self.is_answered {
            return;
        }
        let Some(held) = self.held.take() else {
            self.queue.counters.drop_captures(DropReason::QueueFull, 1);
            return;
        };
        let at_ms = self.time.now_ms();
        let capture = StoredCapture {
            request: self.origin.request,
            organization: self.origin.organization,
            team: self.origin.team,
            key: self.origin.key,
            at_ms,
            expires_ms: at_ms.saturating_add(self.origin.keep.ms()),
            call: std::mem::take(&mut self.call),
        };
        self.queue.push(capture, held);
    }
}
