//! Shallow read of a chat request. Must never decode messages.

use crate::dialect::chat::input_bound::input_bound;
use crate::dialect::request::{RequestBody, RequestFields, invalid_field, unreadable};
use crate::dialect::wire::json::Leaf;
use crate::dialect::wire::raw_object::RawObject;
use crate::domain::api_error::ApiError;

/// Output caps of the dialect.
pub(in crate::dialect) const OUTPUT_CAPS: &[&str] = &["max_completion_tokens", "max_tokens"];

/// More answers to one prompt than any upstream gives.
const CHOICES_MAX: u64 = 128;

pub(super) fn read_request(body: &RequestBody<'_>) -> Result<RequestFields, ApiError> {
    require_messages(body)?;
    let usage_asked = usage_asked(body)?;
    let output_cap = body.output_cap(OUTPUT_CAPS)?;
    let audio_output = audio_output(body);
    Ok(RequestFields {
        streamed: body.flag("stream")?,
        usage_asked,
        output_cap,
        output_cap_fields: OUTPUT_CAPS,
        thinking_budget: None,
        choices: choices(body)?,
        service_tier: body.service_tier()?,
        user: body.text("user"),
        audio_output,
        input: input_bound(body, audio_output)?,
    })
}

fn require_messages(body: &RequestBody<'_>) -> Result<(), ApiError> {
    match body.raw("messages") {
        Some(json) if json.starts_with('[') => Ok(()),
        None => Err(invalid_field(
            "messages",
            "is missing; send an array of messages",
        )),
        Some(_) => Err(invalid_field(
            "messages",
            "is not an array; send an array of messages",
        )),
    }
}

/// `stream_options.include_usage`
fn usage_asked(body: &RequestBody<'_>) -> Result<bool, ApiError> {
    let Some(options) = body.raw("stream_options").filter(|json| *json != "null") else {
        return Ok(false);
    };
    let fields = RawObject::read(options.as_bytes())
        .map_err(|flaw| unreadable("`stream_options`", &flaw).with_param("stream_options"))?;
    match fields.value(options.as_bytes(), "include_usage") {
        None | Some("null" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(invalid_field(
            "stream_options.include_usage",
            "is neither true nor false",
        )),
    }
}

fn choices(body: &RequestBody<'_>) -> Result<u64, ApiError> {
    match body.leaf("n") {
        None => Ok(1),
        Some(Leaf::Whole(choices @ 1..=CHOICES_MAX)) => Ok(choices),
        Some(_) => Err(invalid_field(
            "n",
            &format!("is not a whole number from 1 to {CHOICES_MAX}"),
        )),
    }
}

/// Modalities that cannot be read may include audio.
fn audio_output(body: &RequestBody<'_>) -> bool {
    body.raw("modalities")
        .is_some_and(|json| match serde_json::from_str::<Vec<Leaf<'_>>>(json) {
            Ok(modalities) => modalities
                .iter()
                .any(|modality| modality.text() == Some("audio")),
            Err(_) => true,
        })
}
