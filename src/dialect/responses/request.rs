//! Shallow read of a Responses request. Must never decode items.

use crate::dialect::request::{RequestBody, RequestFields, into_text, invalid_field};
use crate::dialect::responses::input_bound::input_bound;
use crate::domain::api_error::{ApiError, ErrorCode};

const OUTPUT_CAPS: &[&str] = &["max_output_tokens"];

/// Fields that refer to what the vendor stores. They replace `input`; the model's context window bounds their size.
const STORED_INPUT: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

pub(super) fn read_request(body: &RequestBody<'_>) -> Result<RequestFields, ApiError> {
    require_input(body)?;
    refuse_background(body)?;
    let output_cap = body.output_cap(OUTPUT_CAPS)?;
    Ok(RequestFields {
        streamed: body.flag("stream")?,
        usage_asked: true,
        output_cap,
        output_cap_fields: OUTPUT_CAPS,
        thinking_budget: None,
        choices: 1,
        service_tier: body.service_tier()?,
        user: user(body),
        audio_output: false,
        input: input_bound(body)?,
    })
}

/// `input` is a text or items; only what the vendor stores can replace it.
fn require_input(body: &RequestBody<'_>) -> Result<(), ApiError> {
    let invalid = |what| Err(invalid_field("input", what));
    match body.raw("input").filter(|json| *json != "null") {
        Some(json) if json.starts_with(['"', '[']) => Ok(()),
        Some(_) => invalid("is neither a text nor an array of items"),
        None if STORED_INPUT.iter().any(|name| body.leaf(name).is_some()) => Ok(()),
        None => invalid("is missing; send a text or an array of items"),
    }
}

/// The usage of a response that is fetched later never passes the gateway.
fn refuse_background(body: &RequestBody<'_>) -> Result<(), ApiError> {
    if !body.flag("background")? {
        return Ok(());
    }
    let message = "`background` is not supported, because the cost of an answer that is fetched later cannot be counted; \
                   leave it out and wait, or set `stream`";
    Err(ApiError::new(ErrorCode::NotSupported, message).with_param("background"))
}

fn user(body: &RequestBody<'_>) -> Option<String> {
    body.leaf("user")
        .or_else(|| body.leaf("safety_identifier"))
        .and_then(into_text)
}
