//! `toolConfig` of a Converse request, and cache points. Must never produce an empty tool list:
//! Converse rejects it.

use serde::Serialize;

use crate::conversation::{Cache, ChatRequest, RawJson, Tool, ToolChoice};
use crate::dialect::codec::EncodeOptions;
use crate::dialect::converse::model_family::ModelFamily;
use crate::dialect::messages::schema;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    tools: Vec<ToolDeclaration<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ConverseToolChoice<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ToolDeclaration<'a> {
    ToolSpec(ToolSpec<'a>),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolSpec<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: InputSchema,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

#[derive(Serialize)]
struct InputSchema {
    json: RawJson,
}

/// Object with one field, which names the choice.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ConverseToolChoice<'a> {
    Any {},
    Tool { name: &'a str },
}

/// Marks the end of a cacheable prefix.
#[derive(Serialize)]
pub(super) struct CachePoint {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

impl CachePoint {
    pub(super) fn of(cache: Cache) -> CachePoint {
        let ttl = match cache {
            Cache::FiveMinutes => None,
            Cache::Hour => Some("1h"),
        };
        CachePoint {
            kind: "default",
            ttl,
        }
    }
}

/// `None` without tools.
pub(super) fn tool_config<'a>(
    request: &'a ChatRequest,
    options: &EncodeOptions<'a>,
    family: ModelFamily,
) -> Option<ToolConfig<'a>> {
    if request.tools.is_empty() {
        return None;
    }
    // only Claude accepts cache points between tools
    let has_cache_points = options.capabilities.cache_hints && family == ModelFamily::Claude;
    let mut tools = Vec::with_capacity(request.tools.len());
    for tool in &request.tools {
        tools.push(ToolDeclaration::ToolSpec(tool_spec(tool, options)));
        tools.extend(
            tool.cache
                .filter(|_| has_cache_points)
                .map(|cache| ToolDeclaration::CachePoint(CachePoint::of(cache))),
        );
    }
    let tool_choice = match &request.tool_choice {
        // with `none` the capability filter removed the tools
        ToolChoice::Auto | ToolChoice::None => None,
        ToolChoice::Any => Some(ConverseToolChoice::Any {}),
        ToolChoice::Named(name) => Some(ConverseToolChoice::Tool {
            name: options.names.sent(name),
        }),
    };
    Some(ToolConfig { tools, tool_choice })
}

fn tool_spec<'a>(tool: &'a Tool, options: &EncodeOptions<'a>) -> ToolSpec<'a> {
    ToolSpec {
        name: options.names.sent(&tool.name),
        description: tool
            .description
            .as_deref()
            .filter(|description| !description.is_empty()),
        input_schema: InputSchema {
            json: schema::object(&tool.schema),
        },
        strict: tool.strict == Some(true),
    }
}
