//! Script of one request of a drill: its targets fail in one class, or answer.

use std::cell::RefCell;

use crate::dialect::{Dialect, Framing};
use crate::domain::attempt::FailureClass;
use crate::gateway::drill::answers;
use crate::gateway::drill::call::DrillCall;
use crate::gateway::drill::form::DrillForm;
use crate::gateway::drill::reach::DrillReach;
use crate::gateway::drill::streams;
use crate::upstream::{ConnectCause, Script, ScriptedResponse, TransportError};

/// Time-out that a scripted one reports.
const TIMEOUT_MS: u64 = 60_000;

pub(super) struct DrillScript {
    class: FailureClass,
    reach: DrillReach,
    form: DrillForm,
    live: bool,
    /// deployment that was asked first
    first: RefCell<Option<String>>,
}

impl DrillScript {
    pub fn new(call: &DrillCall) -> DrillScript {
        DrillScript {
            class: call.class,
            reach: call.reach,
            form: call.form,
            live: call.live,
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
        (dialect, framing): (Dialect, Framing),
    ) -> Option<Result<ScriptedResponse, TransportError>> {
        let fails = self.fails(deployment);
        match (fails, self.form) {
            (false, _) if self.live => None,
            (false, DrillForm::Whole) => Some(Ok(ScriptedResponse {
                status: 200,
                content_type: "application/json",
                body: answers::answer(dialect).to_string().into(),
            })),
            (true, DrillForm::CutStream) | (false, _) => Some(Ok(ScriptedResponse {
                status: 200,
                content_type: framing.content_type(),
                body: streams::stream((dialect, framing), fails),
            })),
            (true, _) => Some(failure(self.class, dialect)),
        }
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
        content_type: "application/json",
        body: body.to_string().into(),
    })
}
