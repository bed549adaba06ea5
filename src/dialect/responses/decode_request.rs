//! Decoder of a client's Responses request. Fields without a place in the canonical model are listed in `dropped`; fields that would
//! change the answer, or need a conversation stored by a vendor, are refused.

use serde::Deserialize;

use crate::conversation::{
    ChatRequest, Content, Effort, Format, Number, RawJson, ReasoningOptions, Role, StateSealer,
    Summary, ToolChoice, Turn,
};
use crate::dialect::request::{Request, typed};
use crate::dialect::responses::items::{self, Item};
use crate::dialect::responses::tools::{TOOL_SEARCH, Table, Tools};
use crate::domain::api_error::ApiError;

/// Fields that are read elsewhere, or that another vendor can do without.
const READ: [&str; 16] = [
    "model",
    "input",
    "instructions",
    "stream",
    "stream_options",
    "max_output_tokens",
    "tools",
    "service_tier",
    "user",
    "safety_identifier",
    "client_metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "background",
    // settings of hosted tools, which are listed themselves
    "max_tool_calls",
];

/// References to what a vendor stores.
const KEPT_BY_VENDOR: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

/// Values of `include` without effect: sealed reasoning is always included.
const INCLUDED: &str = "reasoning.encrypted_content";

/// Decodes a request after its shallow read. `sealer` opens provider state that the client carried.
pub(in crate::dialect) fn decode_request(
    request: &Request,
    sealer: &StateSealer,
) -> Result<ChatRequest, ApiError> {
    if let Some(name) = KEPT_BY_VENDOR
        .into_iter()
        .find(|name| request.member(name).is_some_and(|json| json != "null"))
    {
        let message = format!(
            "`{name}` names what another vendor keeps and this model never saw; send the whole conversation as `input`"
        );
        return Err(ApiError::invalid(message).with_param(name));
    }
    let Tools {
        table,
        tools,
        dropped,
    } = Tools::of(request)?;
    let mut chat = ChatRequest {
        streamed: request.streamed,
        turns: turns(request, sealer)?,
        tools,
        output_cap: request.output_cap.map(|cap| cap.tokens),
        service_tier: request.service_tier.clone(),
        user: request.user.clone(),
        ..ChatRequest::default()
    };
    dropped.into_iter().for_each(|name| chat.drop_param(name));
    let names: Vec<&str> = request.member_names().collect();
    for name in names {
        member(&mut chat, request, name, &table)?;
    }
    Ok(chat)
}

fn turns(request: &Request, sealer: &StateSealer) -> Result<Vec<Turn>, ApiError> {
    let mut turns = Vec::new();
    if let Some(text) = typed::<String>(request, "instructions")?.filter(|text| !text.is_empty()) {
        turns.push(Turn {
            role: Role::System,
            blocks: vec![Content::Text(text).into()],
        });
    }
    if request
        .member("input")
        .is_some_and(|json| json.starts_with('"'))
    {
        let text = typed::<String>(request, "input")?.unwrap_or_default();
        turns.push(Turn {
            role: Role::User,
            blocks: vec![Content::Text(text).into()],
        });
        return Ok(turns);
    }
    for (place, item) in typed::<Vec<Item>>(request, "input")?
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        let refused =
            |what: String| ApiError::invalid(format!("input[{place}]: {what}")).with_param("input");
        turns.extend(items::turn(item, sealer).map_err(refused)?);
    }
    Ok(turns)
}

/// Decodes one top-level field.
fn member(
    chat: &mut ChatRequest,
    request: &Request,
    name: &str,
    table: &Table,
) -> Result<(), ApiError> {
    if request.member(name) == Some("null") {
        return Ok(());
    }
    match name {
        "temperature" => chat.sampling.temperature = typed::<Number>(request, "temperature")?,
        "top_p" => chat.sampling.top_p = typed::<Number>(request, "top_p")?,
        "tool_choice" => choose(chat, typed(request, "tool_choice")?, table)?,
        "parallel_tool_calls" => chat.parallel_tools = typed(request, "parallel_tool_calls")?,
        "reasoning" => reason(chat, typed(request, "reasoning")?)?,
        "text" => text(chat, typed(request, "text")?),
        "include" => include(chat, typed(request, "include")?),
        // nothing is stored, and the response says so; the SDKs send true by default
        "store" => {}
        // a conversation is sent completely or refused
        "truncation" if request.member(name) == Some("\"disabled\"") => {}
        "metadata" if request.member(name) == Some("{}") => {}
        "top_logprobs" if request.member(name) == Some("0") => {}
        name if READ.contains(&name) => {}
        name => chat.drop_param(name),
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Choice {
    Word(String),
    Object(ChoiceObject),
}

#[derive(Deserialize)]
struct ChoiceObject {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    tools: Vec<ChoiceObject>,
}

fn choose(chat: &mut ChatRequest, choice: Option<Choice>, table: &Table) -> Result<(), ApiError> {
    let refused = |what: &str| {
        Err(ApiError::invalid(format!("`tool_choice` {what}")).with_param("tool_choice"))
    };
    chat.tool_choice = match choice {
        None => return Ok(()),
        Some(Choice::Word(word)) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Any,
            _ => return refused("is none of auto, none and required"),
        },
        Some(Choice::Object(choice)) if choice.kind == "allowed_tools" => {
            let allowed: Vec<String> = choice
                .tools
                .iter()
                .filter_map(ChoiceObject::canonical_name)
                .collect();
            chat.tools.retain(|tool| allowed.contains(&tool.name));
            if choice.mode.as_deref() == Some("required") {
                ToolChoice::Any
            } else {
                ToolChoice::Auto
            }
        }
        Some(Choice::Object(choice)) => {
            match choice.canonical_name().filter(|name| table.holds(name)) {
                Some(name) => ToolChoice::Named(name),
                None => {
                    return refused(
                        "names a tool that is not declared, or one that only its vendor runs",
                    );
                }
            }
        }
    };
    Ok(())
}

impl ChoiceObject {
    fn canonical_name(&self) -> Option<String> {
        match (self.kind.as_str(), &self.name) {
            ("function" | "custom", Some(name)) => {
                Some(Table::canonical_name(self.namespace.as_deref(), name))
            }
            (TOOL_SEARCH, _) => Some(TOOL_SEARCH.to_owned()),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct ReasoningField {
    #[serde(default)]
    effort: Option<String>,
    #[serde(default, alias = "generate_summary")]
    summary: Option<String>,
}

fn reason(chat: &mut ChatRequest, asked: Option<ReasoningField>) -> Result<(), ApiError> {
    let Some(ReasoningField { effort, summary }) = asked else {
        return Ok(());
    };
    let known = "`reasoning.effort` is none of none, minimal, low, medium, high, xhigh and max";
    let effort = match effort.as_deref() {
        None | Some("default") => None,
        Some(word) => Some(
            Effort::parse(word)
                .ok_or_else(|| ApiError::invalid(known).with_param("reasoning.effort"))?,
        ),
    };
    let summary = summary.map(|word| {
        if word == "none" {
            Summary::Omitted
        } else {
            Summary::Shown
        }
    });
    chat.reasoning = ReasoningOptions {
        effort,
        summary,
        ..ReasoningOptions::default()
    };
    Ok(())
}

#[derive(Deserialize)]
struct TextField {
    #[serde(default)]
    format: Option<FormatField>,
    #[serde(default)]
    verbosity: Option<String>,
}

#[derive(Deserialize)]
struct FormatField {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    schema: Option<RawJson>,
    #[serde(default)]
    strict: Option<bool>,
}

fn text(chat: &mut ChatRequest, asked: Option<TextField>) {
    let Some(TextField { format, verbosity }) = asked else {
        return;
    };
    if verbosity.is_some() {
        chat.drop_param("text.verbosity");
    }
    let Some(format) = format else { return };
    chat.format = match (format.kind.as_str(), format.schema) {
        ("json_schema", Some(schema)) => Format::JsonSchema {
            name: format.name.unwrap_or_else(|| "answer".to_owned()),
            description: format.description,
            schema,
            strict: format.strict,
        },
        ("json_object" | "json_schema", _) => Format::JsonObject,
        _ => Format::Text,
    };
}

fn include(chat: &mut ChatRequest, included: Option<Vec<String>>) {
    if included
        .unwrap_or_default()
        .iter()
        .any(|what| what != INCLUDED)
    {
        chat.drop_param("include");
    }
}

#[cfg(test)]
mod tests;
