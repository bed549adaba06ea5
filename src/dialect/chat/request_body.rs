//! JSON of the messages in a chat request.

use serde::Deserialize;

use crate::dialect::wire::json::Arguments;

#[derive(Deserialize)]
pub(super) struct Message {
    pub(super) role: String,
    #[serde(default)]
    pub(super) content: Option<Contents>,
    #[serde(default)]
    pub(super) refusal: Option<String>,
    #[serde(default, alias = "reasoning")]
    pub(super) reasoning_content: Option<String>,
    #[serde(default)]
    pub(super) tool_calls: Option<Vec<Call>>,
    #[serde(default)]
    pub(super) tool_call_id: Option<String>,
    #[serde(default)]
    pub(super) cache_control: Option<CacheControl>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Contents {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
pub(super) struct Part {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) refusal: Option<String>,
    #[serde(default)]
    pub(super) image_url: Option<ImageUrl>,
    #[serde(default)]
    pub(super) file: Option<File>,
    #[serde(default)]
    pub(super) cache_control: Option<CacheControl>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum ImageUrl {
    Plain(String),
    Object { url: String },
}

#[derive(Deserialize)]
pub(super) struct File {
    #[serde(default)]
    pub(super) filename: Option<String>,
    #[serde(default)]
    pub(super) file_data: Option<String>,
    #[serde(default)]
    pub(super) file_id: Option<String>,
}

/// Anthropic's cache hint, which many chat clients send.
#[derive(Deserialize)]
pub(super) struct CacheControl {
    #[serde(default)]
    pub(super) ttl: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Call {
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) function: Option<Function>,
    #[serde(default)]
    pub(super) extra_content: Option<ExtraContent>,
}

#[derive(Deserialize)]
pub(super) struct Function {
    pub(super) name: String,
    #[serde(default)]
    pub(super) arguments: Arguments,
}

#[derive(Deserialize)]
pub(super) struct ExtraContent {
    pub(super) google: Option<GoogleContent>,
}

#[derive(Deserialize)]
pub(super) struct GoogleContent {
    pub(super) thought_signature: Option<String>,
}
