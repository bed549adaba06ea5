//! What goes back to the listener: status, headers, and a body that is whole or still coming.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::dialect::{self, Dialect};
use crate::domain::event::HoldId;
use crate::domain::id::RequestId;
use crate::domain::problem::Problem;
use crate::route::Deployment;

pub enum Body {
    Whole(Bytes),
    /// pieces of an event stream, each as soon as it is there
    Stream(mpsc::Receiver<Bytes>),
}

pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

const REQUEST_ID: &str = "x-gatekeeper-request-id";

impl Reply {
    /// The head that every answered call has: what of the upstream's means something, and who answered.
    pub(super) fn answered(status: u16, upstream: &[(String, String)], id: HoldId, deployment: &Deployment) -> Reply {
        let mut headers: Vec<(String, String)> = upstream.to_vec();
        headers.push((REQUEST_ID.into(), id.request.to_string()));
        headers.push(("x-gatekeeper-model".into(), deployment.model.clone()));
        headers.push(("x-gatekeeper-provider".into(), deployment.provider.name.clone()));
        headers.push(("x-gatekeeper-attempts".into(), id.attempt.to_string()));
        Reply { status, headers, body: Body::Whole(Bytes::new()) }
    }

    /// An error in the dialect of the endpoint.
    pub fn refusal(dialect: Dialect, problem: &Problem, id: RequestId) -> Reply {
        let id = id.to_string();
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        if let Some(seconds) = problem.retry_after_s {
            headers.push(("retry-after".into(), seconds.to_string()));
        }
        let body = dialect::error_body(dialect, problem, &id);
        headers.push((REQUEST_ID.into(), id));
        Reply { status: problem.word.status(), headers, body: Body::Whole(body.into()) }
    }
}
