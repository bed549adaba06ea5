//! Entry points that depend on the dialect of a call: the shallow read of a request, the gateway's own messages to clients, and
//! the errors of upstreams. Error messages must never echo the content of a request.

use bytes::Bytes;

use crate::dialect::embeddings;
use crate::dialect::error::UpstreamError;
use crate::dialect::messages;
use crate::dialect::name::{Dialect, Operation};
use crate::dialect::request::{Request, RequestBody, unreadable};
use crate::dialect::wire::raw_object::RawObject;
use crate::dialect::wire::shape;
use crate::domain::api_error::ApiError;

/// Reads the body of a request. Every refusal is the client's fault and names the field to mend.
pub fn read(dialect: Dialect, operation: Operation, body: Bytes) -> Result<Request, ApiError> {
    shape::check(&body).map_err(|excess| {
        ApiError::invalid(format!("the body {excess}; send a smaller conversation"))
    })?;
    let read = RawObject::read_text(&body);
    let (object, text) = read.map_err(|flaw| unreadable("the body", &flaw))?;
    let fields = RequestBody::new(text, &object);
    let dialect = match operation {
        Operation::Conversation => actual_dialect(dialect, &fields),
        Operation::Embeddings | Operation::TokenCount => dialect,
    };
    let model = fields.model()?;
    fields.refuse_other_models()?;
    let fields = match operation {
        Operation::Conversation => dialect
            .client()
            .ok_or_else(|| ApiError::invalid("clients cannot send requests of this dialect"))?
            .read_request(&fields)?,
        Operation::Embeddings => embeddings::read_request(&fields)?,
        Operation::TokenCount => messages::read_token_count(&fields)?,
    };
    Ok(Request {
        dialect,
        operation,
        model,
        aliased: false,
        streamed: fields.streamed,
        usage_asked: fields.usage_asked,
        output_cap: fields.output_cap,
        output_cap_fields: fields.output_cap_fields,
        thinking_budget: fields.thinking_budget,
        choices: fields.choices,
        service_tier: fields.service_tier,
        user: fields.user,
        audio_output: fields.audio_output,
        input: fields.input,
        object,
        body,
    })
}

/// The dialect of a body: some clients send Responses requests to the URL of chat (Cursor does).
fn actual_dialect(dialect: Dialect, body: &RequestBody<'_>) -> Dialect {
    let is_present = |name: &str| body.raw(name).is_some();
    if dialect == Dialect::Chat && is_present("input") && !is_present("messages") {
        Dialect::Responses
    } else {
        dialect
    }
}

/// The gateway's own error as a response body in the client's dialect.
pub fn error_body(client: Dialect, error: &ApiError, request_id: &str) -> String {
    client.client_or_chat().error_body(error, request_id)
}

/// An upstream's error body has the shape that clients of a dialect expect. Some vendors accept the Messages dialect and send errors
/// of their own.
pub fn is_error_body(client: Dialect, body: &[u8]) -> bool {
    client.client_or_chat().is_error_body(body)
}

/// Keeps an idle stream alive.
pub fn ping(client: Dialect) -> Bytes {
    client.client_or_chat().ping()
}

/// Cost of a stream in USD, as a comment that clients skip. A line of the next event: some SDKs make an event of a comment that stands
/// alone.
pub fn cost_comment(cost: &str) -> Bytes {
    Bytes::from(format!(": x-gatekeeper-cost-usd {cost}\n"))
}

/// Reads the body of an upstream's error response.
pub fn upstream_error(upstream: Dialect, body: &[u8]) -> UpstreamError {
    upstream.upstream().error(body)
}

/// The status that an upstream's rejection stands for. Some vendors have numbers of their own; a fault of the gateway's account must
/// not reach a client as the client's mistake.
pub fn effective_status(upstream: Dialect, status: u16, error: &UpstreamError) -> u16 {
    upstream.upstream().effective_status(status, error)
}

#[cfg(test)]
mod tests;
