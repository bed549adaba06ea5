//! Decoder of a client's messages request. Fields without a place in the canonical model are listed in `dropped`; fields that would
//! change the answer are refused.

#[cfg(test)]
mod tests;

use serde::Deserialize;

use crate::conversation::{
    ChatRequest, Content, ContentBlock, Effort, Format, RawJson, Role, StateSealer, Summary, Tool,
    ToolChoice, Turn,
};
use crate::dialect::messages::decode_turns::decode_turns;
use crate::dialect::messages::shape::{CacheControl, TextOr};
use crate::dialect::request::{Request, typed};
use crate::domain::api_error::ApiError;

/// Fields that are read elsewhere, or that another vendor can do without.
const READ: [&str; 5] = ["model", "messages", "system", "stream", "max_tokens"];

/// Fields that would change the answer, and what they request.
const REFUSED: [(&str, &str); 3] = [
    ("container", "a container"),
    ("mcp_servers", "tools that Anthropic calls"),
    ("inference_geo", "a region that only Anthropic keeps to"),
];

/// Prefix of a system block that Claude Code sends for Anthropic's billing. It changes with every release and would defeat the cache
/// of any other vendor.
const BILLING_HEADER: &str = "x-anthropic-billing-header:";

/// Decodes a request after its shallow read. `sealer` opens provider state that the client carried.
pub(in crate::dialect) fn decode_request(
    request: &Request,
    sealer: &StateSealer,
) -> Result<ChatRequest, ApiError> {
    if request.output_cap.is_some_and(|cap| cap.tokens == 0) {
        let message = "`max_tokens` of 0 only warms Anthropic's cache, and this vendor has none; ask for at least 1";
        return Err(ApiError::invalid(message).with_param("max_tokens"));
    }
    let mut decoded = ChatRequest {
        streamed: request.streamed,
        output_cap: request.output_cap.map(|cap| cap.tokens),
        user: request.user.clone(),
        service_tier: request
            .service_tier
            .as_deref()
            .map(|tier| tier_word(tier).to_owned()),
        ..ChatRequest::default()
    };
    system(&mut decoded, request)?;
    decode_turns(&mut decoded, request, sealer)?;
    let names: Vec<String> = request.member_names().map(str::to_owned).collect();
    for name in names
        .iter()
        .filter(|name| request.member(name) != Some("null"))
    {
        field(&mut decoded, request, name)?;
    }
    Ok(decoded)
}

/// Tier in the canonical model, which has OpenAI's names.
fn tier_word(tier: &str) -> &str {
    if tier == "standard_only" {
        "default"
    } else {
        tier
    }
}

fn system(decoded: &mut ChatRequest, request: &Request) -> Result<(), ApiError> {
    let blocks = match typed::<TextOr<SystemBlock>>(request, "system")? {
        None => return Ok(()),
        Some(TextOr::Text(text)) => vec![SystemBlock {
            text,
            cache_control: None,
        }],
        Some(TextOr::Many(blocks)) => blocks,
    };
    let (kept, billing): (Vec<SystemBlock>, Vec<SystemBlock>) = blocks
        .into_iter()
        .partition(|block| !block.text.trim_start().starts_with(BILLING_HEADER));
    if !billing.is_empty() {
        decoded.drop_param(BILLING_HEADER.trim_end_matches(':'));
    }
    let blocks: Vec<ContentBlock> = kept
        .into_iter()
        .filter(|block| !block.text.is_empty())
        .map(SystemBlock::block)
        .collect();
    if !blocks.is_empty() {
        decoded.turns.push(Turn {
            role: Role::System,
            blocks,
        });
    }
    Ok(())
}

/// Decodes one top-level field.
fn field(decoded: &mut ChatRequest, request: &Request, name: &str) -> Result<(), ApiError> {
    if let Some((_, what)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        let message = format!(
            "`{name}` asks for {what}, which this vendor does not have; leave it out or ask an Anthropic model"
        );
        return Err(ApiError::invalid(message).with_param(name));
    }
    match name {
        "temperature" => decoded.sampling.temperature = typed(request, "temperature")?,
        "top_p" => decoded.sampling.top_p = typed(request, "top_p")?,
        "top_k" => decoded.sampling.top_k = typed(request, "top_k")?,
        "stop_sequences" => decoded.stop = typed(request, "stop_sequences")?.unwrap_or_default(),
        "tools" => tools(decoded, request)?,
        "tool_choice" => tool_choice(decoded, request)?,
        "thinking" => thinking(decoded, request)?,
        "output_config" => output_config(decoded, request)?,
        // former name of `output_config.format`
        "output_format" => {
            if let Some(format) = typed::<OutputFormat>(request, "output_format")? {
                decoded.format = format.meaning();
            }
        }
        // from the shallow read
        "metadata" | "service_tier" | "speed" => {}
        name if READ.contains(&name) => {}
        name => decoded.drop_param(name),
    }
    Ok(())
}

fn tools(decoded: &mut ChatRequest, request: &Request) -> Result<(), ApiError> {
    let declared: Vec<ToolDeclaration> = typed(request, "tools")?.unwrap_or_default();
    for tool in declared {
        match tool.kind.as_deref() {
            None | Some("custom") => {}
            // hosted by Anthropic, or known to its models only
            Some(hosted) => {
                decoded.drop_param(format!("tools.{hosted}"));
                continue;
            }
        }
        let Some(name) = tool.name.filter(|name| !name.is_empty()) else {
            return Err(ApiError::invalid(
                "`tools` has a tool without a name; give each one a `name`",
            )
            .with_param("tools"));
        };
        let Some(schema) = tool
            .input_schema
            .filter(|schema| schema.as_str().starts_with('{'))
        else {
            let message = "`tools` has a tool whose `input_schema` is not an object; give each one a JSON Schema";
            return Err(ApiError::invalid(message).with_param("tools"));
        };
        let cache = tool.cache_control.map(CacheControl::meaning);
        decoded.tools.push(Tool {
            name,
            description: tool.description,
            schema,
            strict: tool.strict,
            cache,
        });
    }
    Ok(())
}

fn tool_choice(decoded: &mut ChatRequest, request: &Request) -> Result<(), ApiError> {
    let Some(choice) = typed::<Choice>(request, "tool_choice")? else {
        return Ok(());
    };
    decoded.parallel_tools = choice.disable_parallel_tool_use.map(|disabled| !disabled);
    decoded.tool_choice = match (choice.kind.as_str(), choice.name) {
        ("auto", _) => ToolChoice::Auto,
        ("any", _) => ToolChoice::Any,
        ("none", _) => ToolChoice::None,
        ("tool", Some(name)) => ToolChoice::Named(name),
        _ => {
            let message = "`tool_choice` is none of {type: auto}, {type: any}, {type: none}, {type: tool, name}";
            return Err(ApiError::invalid(message).with_param("tool_choice"));
        }
    };
    Ok(())
}

fn thinking(decoded: &mut ChatRequest, request: &Request) -> Result<(), ApiError> {
    let Some(thinking) = typed::<Thinking>(request, "thinking")? else {
        return Ok(());
    };
    let reasoning = &mut decoded.reasoning;
    reasoning.summary = match thinking.display.as_deref() {
        Some("summarized") => Some(Summary::Shown),
        Some("omitted") => Some(Summary::Omitted),
        _ => None,
    };
    match thinking.kind.as_str() {
        "enabled" if thinking.budget_tokens.is_some() => reasoning.budget = thinking.budget_tokens,
        // interleaved thinking is specific to Anthropic's models; only thinking itself is kept
        "enabled" | "adaptive" | "between_tools" => reasoning.adaptive = true,
        "disabled" => reasoning.effort = Some(Effort::None),
        _ => {
            let message = "`thinking` has a `type` that no other vendor knows; send `adaptive`, `enabled` or `disabled`";
            return Err(ApiError::invalid(message).with_param("thinking"));
        }
    }
    Ok(())
}

fn output_config(decoded: &mut ChatRequest, request: &Request) -> Result<(), ApiError> {
    let Some(config) = typed::<OutputConfig>(request, "output_config")? else {
        return Ok(());
    };
    if let Some(word) = config.effort {
        let Some(effort) = Effort::parse(&word) else {
            let message = "`output_config.effort` is none of low, medium, high, xhigh, max";
            return Err(ApiError::invalid(message).with_param("output_config.effort"));
        };
        // effort has no meaning without thinking
        if !decoded.reasoning.is_off() {
            decoded.reasoning.effort = Some(effort);
        }
    }
    if let Some(format) = config.format {
        decoded.format = format.meaning();
    }
    if config.task_budget.is_some() {
        decoded.drop_param("output_config.task_budget");
    }
    Ok(())
}

#[derive(Deserialize)]
struct SystemBlock {
    text: String,
    #[serde(default)]
    cache_control: Option<CacheControl>,
}

impl SystemBlock {
    fn block(self) -> ContentBlock {
        ContentBlock {
            content: Content::Text(self.text),
            cache: self.cache_control.map(CacheControl::meaning),
        }
    }
}

#[derive(Deserialize)]
struct ToolDeclaration {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    input_schema: Option<RawJson>,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(default)]
    cache_control: Option<CacheControl>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Deserialize)]
struct Thinking {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    budget_tokens: Option<u64>,
    #[serde(default)]
    display: Option<String>,
}

#[derive(Deserialize)]
struct OutputConfig {
    #[serde(default)]
    effort: Option<String>,
    #[serde(default)]
    format: Option<OutputFormat>,
    #[serde(default)]
    task_budget: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct OutputFormat {
    #[serde(default)]
    name: Option<String>,
    schema: RawJson,
}

impl OutputFormat {
    fn meaning(self) -> Format {
        // Anthropic enforces every schema
        let name = self.name.unwrap_or_else(|| "answer".to_owned());
        Format::JsonSchema {
            name,
            description: None,
            schema: self.schema,
            strict: Some(true),
        }
    }
}
