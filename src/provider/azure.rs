//! Azure OpenAI: OpenAI's own dialects at an address of the customer's. A model is named by its deployment, which has a name of
//! the customer's choosing: the price is that of the model of this name, or of the one that `priced_as` says, and never that
//! of the model that an answer names.

use super::{BaseUrl, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "azure",
    base_url: BaseUrl::Configured("https://RESOURCE.openai.azure.com"),
    credential: CredentialStyle::ApiKey,
    needs_key: true,
    // with an `api_version` the older form, in which the deployment stands in the address
    endpoints: &[
        Endpoint::at(Dialect::Chat, "/openai/v1/chat/completions")
            .with_version("/openai/deployments/{model}/chat/completions"),
        Endpoint::at(Dialect::Responses, "/openai/v1/responses").with_version("/openai/responses"),
        Endpoint::at(Dialect::Embeddings, "/openai/v1/embeddings")
            .with_version("/openai/deployments/{model}/embeddings"),
    ],
    price: PriceRule::Sheet("azure"),
    output_cap_member: "max_completion_tokens",
    stream_usage_opt_in: true,
    on_disconnect: OnDisconnect::Abort,
    zero_usage_is_real: true,
    default_headers: &[],
    capabilities: super::openai::capabilities,
};
