//! Upper bound of a request's input, derived from its bytes before any upstream call. `price` turns it into money.

use crate::domain::server_tool::ServerTool;

/// Model that a tool of the vendor may run inside a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondModelBound {
    /// type of the tool
    pub tool: String,
    pub model: String,
    /// maximum number of runs, if the request limits them
    pub runs: Option<u64>,
    /// maximum output tokens of one run, if the request limits them
    pub output_cap: Option<u64>,
}

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
    /// tool that runs the searches; `None`: the dearest of the model
    pub search_tool: Option<ServerTool>,
    /// maximum uses of other tools that the vendor runs; their results are input again
    pub hosted_uses: Vec<(ServerTool, u64)>,
    /// rounds of other tools that the vendor runs without a fee, each with the prompt as input again
    pub tool_rounds: u64,
    /// chat's `web_search_options`: bounded only where the model searches once for each request
    pub search_options: bool,
    /// models that tools of the vendor may run inside the call
    pub second_models: Vec<SecondModelBound>,
    /// declared tools; the model's template adds tokens that are not in the body
    pub tools: u64,
    /// reason why the input has no bound: `file id`, `remote image URL`, `hosted tool web_search without max_uses`
    pub unbounded: Option<String>,
}

impl InputBound {
    /// Adds media, tools and rounds of another part of the request; the first reason for no bound counts.
    pub fn add(&mut self, more: InputBound) {
        self.images += more.images;
        self.documents += more.documents;
        self.audio |= more.audio;
        self.searches = self.searches.saturating_add(more.searches);
        self.search_tool = match (self.search_tool, more.search_tool) {
            (Some(one), Some(other)) if one != other => None,
            (one, other) => one.or(other),
        };
        self.hosted_uses.extend(more.hosted_uses);
        self.tool_rounds = self.tool_rounds.saturating_add(more.tool_rounds);
        self.search_options |= more.search_options;
        self.second_models.extend(more.second_models);
        self.tools += more.tools;
        if self.unbounded.is_none() {
            self.unbounded = more.unbounded;
        }
    }
}
