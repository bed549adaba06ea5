//! A successful response head from the upstream, with everything that belongs to its call.

use std::sync::Arc;

use crate::dialect::{Framing, ResponseStream};
use crate::domain::header_list::HeaderList;
use crate::gateway::exchange::context::ExchangeContext;
use crate::gateway::exchange::hold::OpenHold;
use crate::gateway::inflight::InflightGuard;
use crate::gateway::rate_limit_headers;
use crate::gateway::reply::Reply;
use crate::upstream::IncomingResponse;

pub(super) struct UpstreamResponse {
    pub hold: Box<OpenHold>,
    pub context: Arc<ExchangeContext>,
    pub incoming: IncomingResponse,
    pub stream: ResponseStream,
    pub framing: Framing,
    /// the client asked for a stream
    pub streamed: bool,
    pub guard: InflightGuard,
}

impl UpstreamResponse {
    /// Returns `true` if the upstream sends the stream that was asked for.
    pub fn is_stream(&self) -> bool {
        let mut headers = self.incoming.headers.iter();
        self.streamed
            && headers.any(|(name, value)| name == "content-type" && self.framing.is(value))
    }
}

/// Reply head for a response of the upstream: its forwarded `headers`, and those of the gateway.
pub(super) fn reply_head(hold: &OpenHold, status: u16, mut headers: HeaderList) -> Reply {
    if let Some(allowance) = &hold.grant.allowance {
        rate_limit_headers::put_headers(&mut headers, allowance);
    }
    let mut reply = Reply::answered(status, headers, hold.grant.id, &hold.facts.deployment);
    if let Some(members) = &hold.facts.changed_members {
        reply.headers.push("x-gatekeeper-dropped-params", members);
    }
    reply
}

/// Adds the output cap that the gateway wrote into the request, if it wrote one.
pub(super) fn put_output_cap(reply: &mut Reply, hold: &OpenHold) {
    if let Some(tokens) = hold.facts.written_cap {
        reply
            .headers
            .push_display("x-gatekeeper-output-cap", tokens);
    }
}
