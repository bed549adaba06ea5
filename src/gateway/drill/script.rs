//! Script of one request of a drill: its targets fail in one class, or answer.

use std::cell::RefCell;

use crate::dialect::Dialect;
use crate::domain::attempt::FailureClass;
use crate::gateway::drill::answers;
use crate::gateway::drill::reach::DrillReach;
use crate::upstream::{ConnectCause, Script, ScriptedResponse, TransportError};

/// Time-out that a scripted one reports.
const TIMEOUT_MS: u64 = 60_000;

pub(super) struct DrillScript {
    class: FailureClass,
    reach: DrillReach,
    live: bool,
    /// deployment that was asked first
    first: RefCell<Option<String>>,
}

impl DrillScript {
    pub fn new(class: FailureClass, reach: DrillReach, live: bool) -> DrillScript {
        DrillScript {
            class,
            reach,
            live,
            first: RefCell::default(),
        }
    }

    fn fails(&self, deployment: &str) -> bool {
        let mut first = self.first.borrow_mut();
        let first = first.get_or_insert_with(|| deployment.to_owned());
        self.reach == DrillReach::All || first == deployment
    }
}

impl Script for DrillScript {
    fn answer(
        &self,
        deployment: &str,
        dialect: Dialect,
    ) -> Option<Result<ScriptedResponse, TransportError>> {
        if !self.fails(deployment) {
            let answer = ScriptedResponse {
                status: 200,
                body: answers::answer(dialect).to_string().into(),
            };
            return (!self.live).then_some(Ok(answer));
        }
        Some(failure(self.class, dialect))
    }
}

fn failure(class: FailureClass, dialect: Dialect) -> Result<ScriptedResponse, TransportError> {
    let status = match class {
        FailureClass::TimedOut => return Err(TransportError::HeadTimeout(TIMEOUT_MS)),
        FailureClass::ConnectFailed => {
            return Err(TransportError::Connect {
                cause: ConnectCause::Refused,
                text: "connection refused in a drill".to_owned(),
            });
        }
        FailureClass::RateLimited => 429,
        FailureClass::Overloaded => 503,
        FailureClass::ContextTooLong => 413,
        FailureClass::ContentFiltered | FailureClass::BadRequest => 400,
        FailureClass::BadCredential => 401,
        FailureClass::QuotaExhausted => 402,
        FailureClass::ModelNotFound => 404,
        FailureClass::Broken | FailureClass::Gateway => 500,
    };
    let body = answers::error(dialect, class, status);
    Ok(ScriptedResponse {
        status,
        body: body.to_string().into(),
    })
}
