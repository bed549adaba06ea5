//! The vendors' own words for failures: error codes and phrases of messages that tell more than the status. Each list belongs to the
//! presets that name it; a status without words has a class by its number.

use crate::domain::attempt::FailureClass;

/// Word of a vendor for a class of failures.
#[derive(Clone, Copy, Debug)]
pub struct FailureWord {
    /// the error's code or type; empty for any
    code: &'static str,
    /// phrase of the message in lower case; empty for any
    phrase: &'static str,
    class: FailureClass,
}

const fn code(code: &'static str, class: FailureClass) -> FailureWord {
    FailureWord {
        code,
        phrase: "",
        class,
    }
}

const fn phrase(phrase: &'static str, class: FailureClass) -> FailureWord {
    FailureWord {
        code: "",
        phrase,
        class,
    }
}

use FailureClass::{
    BadCredential, ContentFiltered, ContextTooLong, ModelNotFound, Overloaded, QuotaExhausted,
    RateLimited, TimedOut,
};

/// OpenAI, and the vendors that borrow its errors.
pub(in crate::provider) const OPENAI: &[FailureWord] = &[
    code("context_length_exceeded", ContextTooLong),
    code("string_above_max_length", ContextTooLong),
    code("insufficient_quota", QuotaExhausted),
    code("billing_hard_limit_reached", QuotaExhausted),
    code("billing_not_active", QuotaExhausted),
    code("content_filter", ContentFiltered),
    code("content_policy_violation", ContentFiltered),
    code("invalid_prompt", ContentFiltered),
    code("model_not_found", ModelNotFound),
    code("DeploymentNotFound", ModelNotFound),
    code("invalid_api_key", BadCredential),
    phrase("maximum context length", ContextTooLong),
    phrase("exceeds the context window", ContextTooLong),
    phrase("reduce the length of the messages", ContextTooLong),
    phrase("content management policy", ContentFiltered),
];

pub(in crate::provider) const ANTHROPIC: &[FailureWord] = &[
    phrase("prompt is too long", ContextTooLong),
    phrase("exceed context limit", ContextTooLong),
    phrase("credit balance is too low", QuotaExhausted),
    phrase("content filtering policy", ContentFiltered),
    code("overloaded_error", Overloaded),
    code("rate_limit_error", RateLimited),
    code("request_too_large", ContextTooLong),
    code("billing_error", QuotaExhausted),
];

/// Google: the status word is the code.
pub(in crate::provider) const GEMINI: &[FailureWord] = &[
    code("API_KEY_INVALID", BadCredential),
    phrase("exceeds the maximum number of tokens", ContextTooLong),
    phrase("check your plan and billing", QuotaExhausted),
    code("RESOURCE_EXHAUSTED", RateLimited),
    code("UNAVAILABLE", Overloaded),
    code("DEADLINE_EXCEEDED", TimedOut),
];

/// AWS: exception names, from the body or the header `x-amzn-errortype`.
pub(in crate::provider) const BEDROCK: &[FailureWord] = &[
    phrase("input is too long", ContextTooLong),
    phrase("prompt is too long", ContextTooLong),
    phrase("maximum context length", ContextTooLong),
    code("ServiceQuotaExceededException", QuotaExhausted),
    code("ThrottlingException", RateLimited),
    code("ModelNotReadyException", Overloaded),
    code("ServiceUnavailableException", Overloaded),
    code("ModelTimeoutException", TimedOut),
    code("ResourceNotFoundException", ModelNotFound),
    code("AccessDeniedException", BadCredential),
    code("UnrecognizedClientException", BadCredential),
];

pub(in crate::provider) const COHERE: &[FailureWord] = &[
    phrase("too many tokens", ContextTooLong),
    phrase("trial key", QuotaExhausted),
    phrase("invalid api token", BadCredential),
];

/// Mistral, Groq and Together, besides OpenAI's words.
pub(in crate::provider) const BORROWED: &[FailureWord] = &[
    code("context_length_exceeded", ContextTooLong),
    phrase("maximum context length", ContextTooLong),
    phrase("model maximum", ContextTooLong),
    phrase("too large for model", ContextTooLong),
    phrase("reduce the length of the messages", ContextTooLong),
    phrase("input validation error: `inputs` tokens", ContextTooLong),
    code("insufficient_quota", QuotaExhausted),
    code("credit_limit", QuotaExhausted),
    code("model_not_found", ModelNotFound),
    code("invalid_model", ModelNotFound),
    code("model_not_available", ModelNotFound),
    code("invalid_api_key", BadCredential),
];

/// Ollama's, in messages alone.
pub(in crate::provider) const OLLAMA: &[FailureWord] = &[
    phrase("exceeds the available context size", ContextTooLong),
    phrase("input length exceeds", ContextTooLong),
    phrase("try pulling it first", ModelNotFound),
    phrase("server busy", Overloaded),
];

/// Class of an error by the vendor's words, else by its status.
pub(super) fn classify(
    words: &[FailureWord],
    status: Option<u16>,
    code: &str,
    message: &str,
) -> FailureClass {
    let message = message.to_ascii_lowercase();
    let is_said = |word: &&FailureWord| {
        (word.code.is_empty() || word.code == code) && message.contains(word.phrase)
    };
    let said = words.iter().find(is_said).map(|word| word.class);
    said.unwrap_or_else(|| of_status(status))
}

fn of_status(status: Option<u16>) -> FailureClass {
    match status {
        Some(401 | 403 | 407) => BadCredential,
        Some(402) => QuotaExhausted,
        Some(404) => ModelNotFound,
        Some(408 | 504) => TimedOut,
        Some(413) => ContextTooLong,
        Some(429) => RateLimited,
        Some(503 | 529) => Overloaded,
        Some(424) => FailureClass::Broken,
        Some(400..=499) => FailureClass::BadRequest,
        _ => FailureClass::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Sample = (
        &'static [FailureWord],
        u16,
        &'static str,
        &'static str,
        FailureClass,
    );

    const SAMPLES: &[Sample] = &[
        (
            OPENAI,
            429,
            "insufficient_quota",
            "You exceeded your current quota",
            QuotaExhausted,
        ),
        (OPENAI, 400, "context_length_exceeded", "…", ContextTooLong),
        (
            OPENAI,
            400,
            "content_filter",
            "The response was filtered",
            ContentFiltered,
        ),
        (
            ANTHROPIC,
            400,
            "invalid_request_error",
            "prompt is too long: 210000 tokens > 200000 maximum",
            ContextTooLong,
        ),
        (
            ANTHROPIC,
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the API",
            QuotaExhausted,
        ),
        (
            GEMINI,
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            ContextTooLong,
        ),
        (
            GEMINI,
            429,
            "RESOURCE_EXHAUSTED",
            "Resource has been exhausted",
            RateLimited,
        ),
        (
            BEDROCK,
            400,
            "ValidationException",
            "Input is too long for requested model.",
            ContextTooLong,
        ),
        (
            BEDROCK,
            400,
            "ServiceQuotaExceededException",
            "quota",
            QuotaExhausted,
        ),
        (
            COHERE,
            400,
            "upstream_error",
            "too many tokens: size limit exceeded by 12 tokens",
            ContextTooLong,
        ),
        (
            BORROWED,
            404,
            "model_not_found",
            "The model does not exist",
            ModelNotFound,
        ),
        (
            OLLAMA,
            404,
            "upstream_error",
            "model 'x' not found, try pulling it first",
            ModelNotFound,
        ),
    ];

    #[test]
    fn vendor_words_outrank_the_status() {
        for (words, status, code, message, class) in SAMPLES {
            let found = classify(words, Some(*status), code, message);
            assert_eq!(found, *class, "{message}");
        }
    }

    #[test]
    fn status_without_words_has_a_class() {
        for (status, class) in [
            (400, FailureClass::BadRequest),
            (401, BadCredential),
            (402, QuotaExhausted),
            (404, ModelNotFound),
            (408, TimedOut),
            (413, ContextTooLong),
            (422, FailureClass::BadRequest),
            (429, RateLimited),
            (500, FailureClass::Broken),
            (503, Overloaded),
            (504, TimedOut),
            (529, Overloaded),
        ] {
            assert_eq!(classify(OPENAI, Some(status), "", ""), class, "{status}");
        }
        assert_eq!(classify(OPENAI, None, "", ""), FailureClass::Broken);
    }
}
