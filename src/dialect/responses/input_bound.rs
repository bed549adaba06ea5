//! Input bound of a Responses request: its items and tools, what the vendor stores, and the work at the vendor that its fields ask
//! for.

use crate::dialect::input_bound::{InputBoundReader, InputRules, ToolRules, ToolRunner};
use crate::dialect::request::RequestBody;
use crate::dialect::responses::hosted_tools::{DEFAULT_IMAGE_MODEL, search_tool};
use crate::dialect::wire::json::Leaf;
use crate::domain::api_error::ApiError;
use crate::domain::input_bound::InputBound;
use crate::domain::server_tool::ServerTool;

pub(in crate::dialect) static RULES: InputRules = InputRules {
    tools: &ToolRules {
        runner: tool_runner,
        search_limit: "max_tool_calls",
        has_namespaces: true,
    },
    has_items: true,
};

/// Tools that the client runs, or that only hold others.
const CLIENT_TOOLS: [&str; 7] = [
    "function",
    "custom",
    "namespace",
    "local_shell",
    "apply_patch",
    "computer",
    "computer_use_preview",
];

pub(super) fn input_bound(body: &RequestBody<'_>) -> Result<InputBound, ApiError> {
    let mut input = InputBoundReader::new(body, &RULES);
    input.read_content(&["input"])?;
    input.read_tools(hosted_calls_max(body))?;
    // a stored prompt may bring tools
    if body.leaf("prompt").is_some() {
        input.add_unbounded("stored prompt");
    }
    if ["previous_response_id", "conversation"]
        .into_iter()
        .any(|field| body.leaf(field).is_some())
    {
        input.add_stored();
    }
    input.read_server_side_work();
    Ok(input.finish())
}

/// Limit on the calls of all hosted tools together.
fn hosted_calls_max(body: &RequestBody<'_>) -> Option<u64> {
    match body.leaf("max_tool_calls")? {
        Leaf::Whole(calls) => Some(calls),
        _ => None,
    }
}

fn tool_runner(kind: &str) -> ToolRunner {
    if CLIENT_TOOLS.contains(&kind) {
        ToolRunner::Client
    } else if let Some(search) = search_tool(kind) {
        ToolRunner::Search(Some(search))
    } else if kind == "file_search" {
        ToolRunner::Priced(ServerTool::FileSearch)
    } else if kind == "image_generation" {
        ToolRunner::SecondModel(Some(DEFAULT_IMAGE_MODEL))
    } else {
        ToolRunner::Hosted
    }
}
