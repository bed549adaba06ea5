//! Azure OpenAI: OpenAI's dialects at a customer's base URL. Requests name a deployment, whose name
//! the customer chooses. The price is that of the model of this name or of `priced_as`; it must
//! never be that of the model that a response names.

use super::preset::failure_words;
use super::preset::{
    BaseUrl, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "azure",
    base_url: BaseUrl::Configured("https://RESOURCE.openai.azure.com"),
    credential: CredentialStyle::ApiKey,
    needs_key: true,
    // with an `api_version`: the older API, which has the deployment in the URL
    endpoints: &[
        Endpoint::at(Dialect::Chat, "/openai/v1/chat/completions")
            .with_versioned_path("/openai/deployments/{model}/chat/completions"),
        Endpoint::at(Dialect::Responses, "/openai/v1/responses")
            .with_versioned_path("/openai/responses"),
        Endpoint::embeddings("/openai/v1/embeddings")
            .with_versioned_path("/openai/deployments/{model}/embeddings"),
    ],
    place: PlaceRule::None,
    price: PriceRule::Sheet("azure"),
    output_cap_field: "max_completion_tokens",
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    default_headers: &[],
    failure_words: failure_words::OPENAI,
    limits: Some("azure"),
    capabilities: super::openai::capabilities,
};
