//! The tools of a Converse request, and the marks up to which its beginning may be cached.

use serde::Serialize;

use crate::conversation::{Cache, ChatRequest, RawJson, Tool, ToolChoice};
use crate::dialect::converse::Maker;
use crate::dialect::hub::EncodeOptions;
use crate::dialect::messages::object_schema;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    tools: Vec<ToolDeclaration<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
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

/// An object whose one member says what is chosen.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Choice<'a> {
    Any {},
    Tool { name: &'a str },
}

/// Everything before it may be cached.
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

/// `None` without tools: Converse takes no empty list.
pub(super) fn tool_config<'a>(
    ask: &'a ChatRequest,
    sending: &EncodeOptions<'a>,
    maker: Maker,
) -> Option<ToolConfig<'a>> {
    if ask.tools.is_empty() {
        return None;
    }
    // of those who cache at all only Claude takes a mark between tools
    let marks = sending.capabilities.cache_hints && maker == Maker::Claude;
    let mut tools = Vec::with_capacity(ask.tools.len());
    for tool in &ask.tools {
        tools.push(ToolDeclaration::ToolSpec(spec(tool, sending)));
        tools.extend(
            tool.cache
                .filter(|_| marks)
                .map(|cache| ToolDeclaration::CachePoint(CachePoint::of(cache))),
        );
    }
    let tool_choice = match &ask.tool_choice {
        // a fitted ask has no tools where none may be called
        ToolChoice::Auto | ToolChoice::None => None,
        ToolChoice::Any => Some(Choice::Any {}),
        ToolChoice::Named(name) => Some(Choice::Tool {
            name: sending.names.sent(name),
        }),
    };
    Some(ToolConfig { tools, tool_choice })
}

fn spec<'a>(tool: &'a Tool, sending: &EncodeOptions<'a>) -> ToolSpec<'a> {
    ToolSpec {
        name: sending.names.sent(&tool.name),
        description: tool
            .description
            .as_deref()
            .filter(|description| !description.is_empty()),
        input_schema: InputSchema {
            json: object_schema(&tool.schema),
        },
        strict: tool.strict == Some(true),
    }
}
