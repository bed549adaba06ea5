//! Input bound of a messages request: its dialect's tools, and the work at the vendor that its fields ask for.

use crate::dialect::input_bound::{InputBoundReader, InputRules, ToolRules, ToolRunner};
use crate::dialect::request::RequestBody;
use crate::domain::api_error::ApiError;
use crate::domain::input_bound::InputBound;

pub(in crate::dialect) static RULES: InputRules = InputRules {
    tools: &ToolRules {
        runner: tool_runner,
        search_limit: "max_uses",
        has_namespaces: false,
    },
    has_items: false,
};

/// Tools that the vendor defines and the client runs.
const CLIENT_TOOLS: [&str; 4] = ["bash_", "text_editor_", "computer_", "memory_"];

/// Hosted tools whose runs `max_uses` limits.
const SEARCH_TOOLS: [&str; 2] = ["web_search_", "web_fetch_"];

pub(super) fn input_bound(body: &RequestBody<'_>) -> Result<InputBound, ApiError> {
    let mut input = InputBoundReader::new(body, &RULES);
    input.read_content(&["messages", "system"])?;
    input.read_tools(None)?;
    input.read_stored_conversation();
    input.read_server_side_work();
    Ok(input.finish())
}

fn tool_runner(kind: &str) -> ToolRunner {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| kind.starts_with(prefix));
    if kind == "custom" || begins(&CLIENT_TOOLS) {
        ToolRunner::Client
    } else if begins(&SEARCH_TOOLS) {
        ToolRunner::Search(None)
    } else if kind.starts_with("advisor_") {
        ToolRunner::SecondModel(None)
    } else {
        ToolRunner::Hosted
    }
}
