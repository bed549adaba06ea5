//! Mistral: chat and embeddings much as OpenAI has them, with names of its own and a closed schema: a member that is not in it
//! is a 422. Usage comes unasked in the last chunk of a stream.

use super::{
    BaseUrl, CompatRules, CredentialStyle, Endpoint, OnDisconnect, Preset, PriceRule,
    SupportedFields,
};
use crate::conversation::{Capabilities, Effort, IdRule, ReasoningStyle};
use crate::dialect::Dialect;

pub(super) static PRESET: Preset = Preset {
    name: "mistral",
    base_url: BaseUrl::Fixed("https://api.mistral.ai/v1"),
    credential: CredentialStyle::Bearer,
    needs_key: true,
    endpoints: &[
        Endpoint::at(Dialect::Chat, "/chat/completions").borrowing(&CHAT),
        Endpoint::at(Dialect::Embeddings, "/embeddings").borrowing(&EMBEDDINGS),
    ],
    price: PriceRule::Sheet("mistral"),
    output_cap_member: "max_tokens",
    stream_usage_opt_in: false,
    on_disconnect: OnDisconnect::Abort,
    zero_usage_is_real: true,
    default_headers: &[],
    capabilities,
};

/// The members of `ChatCompletionRequest` in their SDK 3.7.
static CHAT: CompatRules = CompatRules {
    takes: SupportedFields::Only(&[
        "model",
        "messages",
        "temperature",
        "top_p",
        "max_tokens",
        "stream",
        "stop",
        "random_seed",
        "metadata",
        "response_format",
        "tools",
        "tool_choice",
        "presence_penalty",
        "frequency_penalty",
        "min_tokens",
        "repetition_penalty",
        "top_k",
        "logprobs",
        "top_logprobs",
        "prompt_logprobs",
        "top_prompt_logprobs",
        "n",
        "prediction",
        "parallel_tool_calls",
        "reasoning_effort",
        "prompt_mode",
        "guardrails",
        "prompt_cache_key",
        "service_tier",
        "safe_prompt",
    ]),
    renames: &[
        ("max_completion_tokens", "max_tokens"),
        ("seed", "random_seed"),
    ],
    value_map: &[("tool_choice", "\"required\"", "\"any\"")],
    one_choice: false,
};

static EMBEDDINGS: CompatRules = CompatRules {
    takes: SupportedFields::Only(&[
        "model",
        "input",
        "metadata",
        "output_dimension",
        "output_dtype",
        "encoding_format",
    ]),
    renames: &[("dimensions", "output_dimension")],
    value_map: &[],
    one_choice: false,
};

/// Ids of calls are nine letters or digits, and no user may speak right after the results of tools.
fn capabilities(_: &str) -> Capabilities {
    Capabilities {
        top_k: true,
        documents: false,
        user: false,
        user_after_results: false,
        // every word of their SDK 3.7
        reasoning: ReasoningStyle::Effort(&Effort::ALL),
        ids: IdRule {
            min: 9,
            max: 9,
            also: "",
        },
        ..Capabilities::chat()
    }
}
