//! Prompt capture on the way of a call: the request is copied when the call begins, the response as the client receives it. A call without
//! capture never comes here, and one with it never waits.

use std::sync::Arc;

use crate::auth::directory::Caller;
use crate::domain::capture::KeepDays;
use crate::domain::event::Flags;
use crate::domain::id::RequestId;
use crate::gateway::body_stream::CapturedStream;
use crate::gateway::call::Call;
use crate::gateway::reply::{Body, Reply};
use crate::store::captures::{CaptureDraft, CaptureOrigin, Captures};

/// Header that tells the client that its call is captured.
const CAPTURE_HEADER: &str = "x-gatekeeper-capture";

/// Begins the capture of a call; `None` for a call that has no record.
#[cold]
pub(super) fn begin(
    captures: Option<&Arc<Captures>>,
    keep: KeepDays,
    (caller, call, request): (&Caller, &Call, RequestId),
) -> Option<Box<CaptureDraft>> {
    let captures = captures.filter(|_| !call.operation.is_unmetered())?;
    let origin = CaptureOrigin {
        request,
        organization: caller.organization.id,
        team: caller.team.id,
        key: caller.key.id,
        keep,
    };
    Some(Box::new(captures.draft(origin, &call.body)))
}

/// Flag of the records of a captured call.
pub(super) fn marks(draft: Option<&CaptureDraft>) -> Flags {
    draft.map_or(Flags::default(), |_| Flags::CAPTURED)
}

/// Captures the reply of a call whose capture began.
pub(super) fn finish(draft: Option<Box<CaptureDraft>>, reply: Reply) -> Reply {
    match draft {
        Some(draft) => attach(draft, reply),
        None => reply,
    }
}

/// Captures a reply, and marks it for the client.
#[cold]
fn attach(mut draft: Box<CaptureDraft>, mut reply: Reply) -> Reply {
    reply.headers.push(CAPTURE_HEADER, "on");
    draft.answer(reply.status, !matches!(reply.body, Body::Whole(_)));
    reply.body = match reply.body {
        Body::Stream(stream) => Body::Captured(CapturedStream::new(stream, draft)),
        Body::Whole(bytes) => {
            draft.push(&bytes);
            draft.finish();
            Body::Whole(bytes)
        }
        captured @ Body::Captured(_) => captured,
    };
    reply
}
