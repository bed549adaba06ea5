//! Upper bound of a request's input, derived from its bytes before any upstream call. `price` turns it into money.

/// Input of one request, counted. A byte-level BPE token covers at least one byte, so body bytes bound text tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputBound {
    /// body bytes without the payloads of inline images and documents
    pub text_bytes: u64,
    /// texts to embed, each a prompt with its own context window; 0 for a conversation
    pub prompts: u64,
    /// inline images; each has a token ceiling
    pub images: u64,
    /// inline documents (such as PDF); bounded only by the model's context window
    pub documents: u64,
    /// inline audio is present; its payload counts in `text_bytes`, at the highest input rate
    pub audio: bool,
    /// maximum number of hosted web searches; the results of each are input again, up to the context window
    pub searches: u64,
    /// declared tools; the model's template adds tokens that are not in the body
    pub tools: u64,
    /// reason why the input has no bound: `file id`, `remote image URL`, `hosted tool web_search without max_uses`
    pub unbounded: Option<String>,
}
