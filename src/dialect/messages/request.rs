//! Shallow read of a messages request, and of a token count. Must never decode messages.

use crate::dialect::messages::input_bound::input_bound;
use crate::dialect::request::{RequestBody, RequestFields, into_text, invalid_field};
use crate::dialect::wire::json::Leaf;
use crate::domain::api_error::ApiError;
use crate::domain::input_bound::InputBound;
use crate::domain::usage::INFERENCE_GEO_PREFIX;

const OUTPUT_CAP: &str = "max_tokens";

pub(super) fn read_request(body: &RequestBody<'_>) -> Result<RequestFields, ApiError> {
    require_messages(body)?;
    let output_cap = body.required_output_cap(OUTPUT_CAP)?;
    Ok(RequestFields {
        streamed: body.flag("stream")?,
        usage_asked: true,
        output_cap: Some(output_cap),
        output_cap_fields: &[OUTPUT_CAP],
        thinking_budget: thinking_budget(body),
        choices: 1,
        service_tier: service_tier(body)?,
        user: user(body),
        audio_output: false,
        input: input_bound(body)?,
    })
}

/// A token count generates nothing, so it has no cap and no input that is billed.
pub(in crate::dialect) fn read_token_count(
    body: &RequestBody<'_>,
) -> Result<RequestFields, ApiError> {
    require_messages(body)?;
    Ok(RequestFields {
        streamed: false,
        usage_asked: true,
        output_cap: None,
        output_cap_fields: &[],
        thinking_budget: None,
        choices: 1,
        service_tier: body.service_tier()?,
        user: user(body),
        audio_output: false,
        input: InputBound::default(),
    })
}

fn require_messages(body: &RequestBody<'_>) -> Result<(), ApiError> {
    match body.raw("messages") {
        Some(json) if json.starts_with('[') => Ok(()),
        None => Err(ApiError::invalid("messages: Field required").with_param("messages")),
        Some(_) => Err(invalid_field(
            "messages",
            "is not an array; send an array of messages",
        )),
    }
}

fn thinking_budget(body: &RequestBody<'_>) -> Option<u64> {
    match body.inner(body.raw("thinking")?, "budget_tokens")? {
        Leaf::Whole(tokens) => Some(tokens),
        _ => None,
    }
}

/// Speed and region have prices of their own and count as tiers.
fn service_tier(body: &RequestBody<'_>) -> Result<Option<String>, ApiError> {
    let speed = body.text("speed").filter(|speed| speed != "standard");
    let region = body.text("inference_geo");
    let region = region.filter(|region| region != "global");
    let region = region.map(|region| format!("{INFERENCE_GEO_PREFIX}{region}"));
    match (speed, region) {
        (None, None) => body.service_tier(),
        (speed, region) => {
            let words: Vec<String> = speed.into_iter().chain(region).collect();
            Ok(Some(words.join("+")))
        }
    }
}

fn user(body: &RequestBody<'_>) -> Option<String> {
    body.inner(body.raw("metadata")?, "user_id")
        .and_then(into_text)
}
