//! A unary response, and why a body is none. Takes the body of an HTTP 200; must never take a truncated body, or an error with a good
//! status, for a response.

use serde::de::DeserializeOwned;

use crate::dialect::error::{ErrorReader, KindField, UpstreamError};
use crate::dialect::text_counter::{DeliveredText, TextCounter};
use crate::dialect::wire::json::{FieldVisitor, lenient, read};
use crate::domain::usage::ReportedUsage;

/// Usage and text of a unary response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedResponse {
    pub report: ReportedUsage,
    pub delivered: DeliveredText,
}

/// Reason why a body is not a response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IncompleteResponse {
    #[error("the upstream's answer ends too early")]
    Truncated,
    #[error("the upstream's answer is not JSON")]
    NotJson,
    #[error("the upstream's answer is not a JSON object")]
    NotAnObject,
    /// reported usage is billed all the same
    #[error("the upstream answered with an error: {}", fault.message)]
    Fault {
        fault: UpstreamError,
        report: Box<ReportedUsage>,
    },
}

impl IncompleteResponse {
    pub(super) fn fault(fault: UpstreamError, report: ReportedUsage) -> IncompleteResponse {
        IncompleteResponse::Fault {
            fault,
            report: Box::new(report),
        }
    }
}

impl From<serde_json::Error> for IncompleteResponse {
    fn from(flaw: serde_json::Error) -> IncompleteResponse {
        if flaw.is_eof() {
            IncompleteResponse::Truncated
        } else {
            IncompleteResponse::NotJson
        }
    }
}

impl DecodedResponse {
    /// A response, unless an error was read in it.
    pub(super) fn unless_error(
        error: ErrorReader,
        kind_field: KindField,
        report: ReportedUsage,
        output: &TextCounter,
    ) -> Result<DecodedResponse, IncompleteResponse> {
        if error.seen {
            let error = error.error_or_default(kind_field);
            return Err(IncompleteResponse::fault(error, report));
        }
        Ok(DecodedResponse {
            report,
            delivered: output.delivered,
        })
    }
}

/// Reads fields of a body, which must be an object.
pub(super) fn read_object<R: FieldVisitor + Clone>(
    start: &R,
    body: &[u8],
) -> Result<R, IncompleteResponse> {
    require_object(body)?;
    Ok(read(start, body)?)
}

/// A body as a value of a type; it must be an object.
pub(super) fn parse_object<T: DeserializeOwned>(body: &[u8]) -> Result<T, IncompleteResponse> {
    require_object(body)?;
    Ok(lenient(body)?)
}

fn require_object(body: &[u8]) -> Result<(), IncompleteResponse> {
    match body.trim_ascii().first() {
        None => Err(IncompleteResponse::Truncated),
        Some(b'{') => Ok(()),
        Some(_) if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() => {
            Err(IncompleteResponse::NotAnObject)
        }
        Some(_) => Err(IncompleteResponse::NotJson),
    }
}

#[cfg(test)]
mod tests;
