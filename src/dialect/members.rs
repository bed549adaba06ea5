//! Members of a request that servers of a borrowed dialect may be sent where money depends on the output cap: those of the
//! dialect's author, and settings of sampling, templates and reasoning that raise no count. Must never list a name under which
//! a server takes the output cap or the number of answers.

use crate::dialect::name::{Dialect, Operation};

/// Names under which servers of the chat dialect take an output cap or a number of answers that the gateway does not read.
const BOUND_ALIASES: &[&str] = &[
    "best_of",
    "maxOutputTokens",
    "maxTokens",
    "max_gen_len",
    "max_generated_tokens",
    "max_length",
    "max_new_tokens",
    "max_output_tokens",
    "max_tokens_to_sample",
    "n_predict",
    "num_completions",
    "num_generations",
    "num_predict",
    "num_return_sequences",
];

/// Member that holds such names at some servers.
pub const NESTED_OPTIONS: &str = "options";

const CHAT: &[&str] = &[
    // OpenAI
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    // servers of the dialect
    "add_generation_prompt",
    "bad_words",
    "cache_control",
    "cache_prompt",
    "chat_template_kwargs",
    "continue_final_message",
    "disable_reasoning",
    "do_sample",
    "documents",
    "dry_allowed_length",
    "dry_base",
    "dry_multiplier",
    "enable_thinking",
    "grammar",
    "guided_choice",
    "guided_decoding_backend",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "ignore_eos",
    "include_reasoning",
    "include_stop_str_in_output",
    "json_schema",
    "keep_alive",
    "min_p",
    "min_tokens",
    "mirostat",
    "mirostat_eta",
    "mirostat_tau",
    "prompt_mode",
    "random_seed",
    "reasoning",
    "reasoning_format",
    "reasoning_split",
    "repeat_last_n",
    "repeat_penalty",
    "repetition_penalty",
    "safe_prompt",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "stop_token_ids",
    "structured_outputs",
    "tfs_z",
    "thinking",
    "top_a",
    "top_k",
    "transforms",
    "truncate_prompt_tokens",
    "typical_p",
    "usage",
];

const MESSAGES: &[&str] = &[
    "cache_control",
    "context_management",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "output_format",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

const RESPONSES: &[&str] = &[
    "background",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "thinking",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

const EMBEDDINGS: &[&str] = &[
    "dimensions",
    "encoding_format",
    "input",
    "input_type",
    "metadata",
    "model",
    "output_dimension",
    "output_dtype",
    "truncate",
    "user",
];

/// Returns true for a member that no server of the dialect takes as more output or more answers.
pub fn is_known_member(dialect: Dialect, operation: Operation, member: &str) -> bool {
    let known = match (dialect, operation) {
        (_, Operation::Embeddings) => EMBEDDINGS,
        (Dialect::Messages, _) => MESSAGES,
        (Dialect::Responses, _) => RESPONSES,
        _ => CHAT,
    };
    known.contains(&member)
}

/// Returns true for another name of the output cap or of the number of answers.
pub fn is_bound_alias(member: &str) -> bool {
    BOUND_ALIASES.contains(&member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_aliases_are_no_known_members_of_the_dialects_that_servers_borrow() {
        for alias in BOUND_ALIASES {
            assert!(
                !CHAT.contains(alias) && !MESSAGES.contains(alias),
                "{alias}"
            );
            assert!(!EMBEDDINGS.contains(alias), "{alias}");
        }
    }
}
