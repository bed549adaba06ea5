//! Drills: requests of the gateway's own through a route whose targets fail as a script says. A drill works on a copy of the data plane:
//! health, latencies, turns, retry budgets, learned estimates and metrics of live traffic stay as they are. What it shares with
//! live traffic are the books, where it is the key of a drill that pays.

mod answers;
mod call;
mod form;
mod reach;
mod script;
mod streams;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use bytes::Bytes;
use serde_json::json;

use crate::dialect::{Dialect, Operation};
use crate::domain::attempt::FailureClass;
use crate::domain::cache::CachePolicy;
use crate::domain::header_list::HeaderList;
use crate::domain::id::RequestId;
use crate::gateway::Gateway;
use crate::gateway::access::Access;
use crate::gateway::admission::AdmissionControl;
use crate::gateway::attempts::AttemptRunner;
use crate::gateway::call::Call;
use crate::gateway::client_timeouts::ClientTimeouts;
pub use crate::gateway::drill::call::DrillCall;
pub use crate::gateway::drill::form::DrillForm;
pub use crate::gateway::drill::reach::DrillReach;
use crate::gateway::drill::script::DrillScript;
use crate::gateway::exchange::context::ExchangeContext;
use crate::gateway::exchange::settler::Settler;
use crate::gateway::lookup::CacheStep;
use crate::gateway::mirror::Mirrors;
use crate::gateway::origin::RequestOrigin;
use crate::gateway::reply::{Body, REQUEST_ID};
use crate::meter::Ceilings;
use crate::route::RouteCell;
use crate::trace::Tracer;
use crate::upstream::Client;

/// Output cap of a drill's requests.
const OUTPUT_TOKENS: u64 = 16;

/// Result of one request, as its client would have seen it.
#[derive(Clone, Debug)]
pub struct DrillOutcome {
    pub class: FailureClass,
    pub reach: DrillReach,
    pub form: DrillForm,
    pub request: Option<RequestId>,
    pub status: u16,
    pub headers: HeaderList,
    pub body: Bytes,
    pub took_ms: u64,
}

impl Gateway {
    /// Makes one request of a drill.
    pub async fn drill(
        &self,
        client: &Client,
        call: DrillCall,
    ) -> Result<DrillOutcome, getrandom::Error> {
        let isolated = self.isolated()?;
        let script = DrillScript::new(&call);
        let client = client.with_script(Rc::new(script));
        let began = Instant::now();
        let call_of_script = request(&call);
        // a task of its own: within the handler of the drill the call would be too deep for the worker's stack
        let handled = async move {
            let reply = isolated.handle(&client, call_of_script).await;
            (reply.status, reply.headers, read(reply.body).await)
        };
        let reply = tokio::task::spawn_local(handled).await;
        let reply = reply.unwrap_or_else(|_| (500, HeaderList::default(), Bytes::new()));
        Ok(outcome(&call, reply, began.elapsed().as_millis() as u64))
    }

    /// The data plane with a state of its own, over the same books, keys and limits.
    fn isolated(&self) -> Result<Gateway, getrandom::Error> {
        let routes = Arc::new(RouteCell::new(self.access.routes.load().isolated()));
        let access = Arc::new(Access {
            directory: self.access.directory.clone(),
            routes: routes.clone(),
            time: self.time.clone(),
            picker_aliases: self.access.picker_aliases,
        });
        let ceilings = Arc::new(Ceilings::restore(Vec::new()));
        let (alerts, queue) = (self.settler.alerts.clone(), self.settler.queue.clone());
        let settler = Arc::new(Settler::new(alerts, ceilings, queue, routes));
        let live = &self.attempts.admission;
        let admission = AdmissionControl {
            access: access.clone(),
            ceilings: settler.ceilings.clone(),
            estimates: settler.estimates.clone(),
            ..live.clone()
        };
        let (reasoning, work) = (live.reasoning.clone(), live.work.clone());
        let exchange = ExchangeContext::new(self.limits, self.time.clone(), reasoning, work);
        let exchange = Arc::new(exchange);
        Ok(Gateway {
            // a drill asks its targets
            caching: CacheStep::new(None, CachePolicy::default()),
            limits: self.limits,
            user_header: None,
            access,
            attempts: Arc::new(AttemptRunner {
                admission,
                settler: settler.clone(),
                exchange: exchange.clone(),
            }),
            mirrors: Mirrors::new(settler.mirrors.clone()),
            settler,
            exchange,
            inflight: self.inflight.clone(),
            bodies: self.bodies.clone(),
            refusals: self.refusals.clone(),
            captures: None,
            origin: RequestOrigin::Drill,
            tracer: Tracer::off(),
            time: self.time.clone(),
            next_unique: AtomicU64::new(getrandom::u64()?),
        })
    }
}

fn request(call: &DrillCall) -> Call {
    let body = json!({
        "model": call.route,
        "max_tokens": OUTPUT_TOKENS,
        "stream": call.form.is_stream(),
        "messages": [{ "role": "user", "content": "This is a drill. Answer with one word." }],
    });
    Call {
        cache: None,
        dialect: Dialect::Chat,
        operation: Operation::Conversation,
        credential: Some(call.secret.expose().to_owned()),
        address: None,
        headers: Vec::new(),
        tag: None,
        timeouts: ClientTimeouts::default(),
        max_cost: None,
        no_mirror: true,
        user: None,
        traceparent: None,
        trace: None,
        body: body.to_string().into(),
    }
}

/// The body as the client receives it.
async fn read(body: Body) -> Bytes {
    let mut received = Vec::new();
    match body {
        Body::Whole(body) => return body,
        Body::Stream(mut stream) => {
            while let Some(Ok(chunk)) = poll_fn(|context| stream.poll_next(context)).await {
                received.extend_from_slice(&chunk);
            }
        }
        // a drill captures nothing
        Body::Captured(_) => {}
    }
    received.into()
}

fn outcome(
    call: &DrillCall,
    (status, headers, body): (u16, HeaderList, Bytes),
    took_ms: u64,
) -> DrillOutcome {
    let id = headers.find(REQUEST_ID);
    DrillOutcome {
        class: call.class,
        reach: call.reach,
        form: call.form,
        request: id.and_then(RequestId::parse),
        status,
        headers,
        body,
        took_ms,
    }
}
