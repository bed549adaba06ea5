//! The most that a request's input can come to, read from its bytes before anybody is asked.

/// A byte-level BPE token covers at least one byte, so the bytes of the body bound the tokens of its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputBound {
    /// bytes of the whole body less the payloads of inline images and documents
    pub text_bytes: u64,
    /// texts to embed, each a prompt of its own with a context window of its own; 0 where there is one conversation
    pub prompts: u64,
    /// inline images: each has a ceiling in tokens
    pub images: u64,
    /// inline documents (PDF and the like): bounded only by the model's context window
    pub documents: u64,
    /// inline audio stands in the body; its payload is counted in `text_bytes`, at the dearest input rate
    pub audio: bool,
    /// the most searches that hosted tools may run; their results are input again, each time up to the context window
    pub searches: u64,
    /// tools are declared or used: the model's template adds tokens that are not in the body
    pub tools: u64,
    /// why nothing bounds it: `file id`, `remote image URL`, `hosted tool web_search without max_uses`
    pub unbounded: Option<String>,
}
