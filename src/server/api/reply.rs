//! `ApiReply`: answer of the control plane before it becomes HTTP, in JSON or, for lists and reports, in CSV.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::ETAG;
use serde::Serialize;

use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::id::RequestId;
use crate::gateway::REQUEST_ID;
use crate::server::api::accept::ReportFormat;

/// Cursor of the next page, for formats that have no member for it.
const NEXT_HEADER: &str = "x-gatekeeper-next";

/// Answer of a control-plane call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiReply {
    pub status: u16,
    pub format: ReportFormat,
    pub text: String,
    /// version of the object
    pub etag: Option<String>,
    /// cursor of the next page for CSV; JSON has it in the text
    pub next: Option<String>,
}

impl ApiReply {
    pub fn ok(body: &impl Serialize) -> Result<ApiReply, ApiError> {
        ApiReply::json(200, body)
    }

    pub fn created(body: &impl Serialize) -> Result<ApiReply, ApiError> {
        ApiReply::json(201, body)
    }

    /// 204: done, and nothing is left to show.
    pub fn deleted() -> ApiReply {
        ApiReply {
            status: 204,
            format: ReportFormat::Json,
            text: String::new(),
            next: None,
            etag: None,
        }
    }

    pub fn accepted(body: &impl Serialize) -> Result<ApiReply, ApiError> {
        ApiReply::json(202, body)
    }

    pub fn csv(text: String, next: Option<String>) -> ApiReply {
        ApiReply {
            status: 200,
            format: ReportFormat::Csv,
            text,
            next,
            etag: None,
        }
    }

    /// A text that tools read as it is, such as a signed note.
    pub fn text(text: String) -> ApiReply {
        ApiReply {
            status: 200,
            format: ReportFormat::Text,
            text,
            next: None,
            etag: None,
        }
    }

    /// The same with the version of its object.
    #[must_use]
    pub fn with_version(self, version: &str) -> ApiReply {
        ApiReply {
            etag: Some(version.to_owned()),
            ..self
        }
    }

    /// The answer as an HTTP response.
    pub fn into_response(self, id: RequestId) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = HttpResponse::build(status);
        response.append_header((REQUEST_ID, id.to_string()));
        if let Some(etag) = self.etag {
            response.append_header((ETAG, format!("\"{etag}\"")));
        }
        if let Some(next) = self.next {
            response.append_header((NEXT_HEADER, next));
        }
        response
            .content_type(self.format.content_type())
            .body(self.text)
    }

    fn json(status: u16, body: &impl Serialize) -> Result<ApiReply, ApiError> {
        let text = serde_json::to_string(body).map_err(|error| {
            ApiError::new(
                ErrorCode::Internal,
                format!("failed to serialize the answer: {error}"),
            )
        })?;
        Ok(ApiReply {
            status,
            format: ReportFormat::Json,
            text,
            next: None,
            etag: None,
        })
    }
}
