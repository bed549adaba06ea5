//! Input bound of a chat request: its dialect's tools, and the work at the vendor that its fields ask for.

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

pub(super) fn input_bound(
    body: &RequestBody<'_>,
    audio_output: bool,
) -> Result<InputBound, ApiError> {
    let mut input = InputBoundReader::new(body, &RULES);
    input.read_content(&["messages", "system"])?;
    input.read_tools(None)?;
    if audio_output {
        input.add_audio();
    }
    input.read_stored_conversation();
    // an empty `{}` turns the search on
    if body
        .raw("web_search_options")
        .is_some_and(|json| json != "null")
    {
        input.add_search_options();
    }
    if body.leaf("plugins").is_some() {
        input.add_unbounded("hosted tool plugins");
    }
    Ok(input.finish())
}

fn tool_runner(kind: &str) -> ToolRunner {
    match kind {
        "function" | "custom" => ToolRunner::Client,
        _ => ToolRunner::Hosted,
    }
}
