//! Decoder of input items into turns. An item that only its vendor can look up, run or read is refused by its type.

use serde::Deserialize;

use crate::conversation::{
    Content, ContentBlock, Media, ProviderState, RawJson, ReasoningBlock, Role, Source,
    StateSealer, ToolCall, ToolResult, Turn,
};
use crate::dialect::input_bound::printable;
use crate::dialect::responses::tools::{TOOL_SEARCH, Table, custom_arguments};

/// Fields of all types of items.
#[derive(Deserialize)]
pub(super) struct Item {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    content: Option<Contents>,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    /// of a function: a text that is JSON; of a tool search: an object
    #[serde(default)]
    arguments: Option<RawJson>,
    #[serde(default)]
    input: Option<String>,
    #[serde(default)]
    output: Option<Contents>,
    #[serde(default)]
    tools: Option<Vec<FoundTool>>,
    #[serde(default)]
    summary: Option<Vec<Part>>,
    #[serde(default)]
    encrypted_content: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Contents {
    Text(String),
    Parts(Vec<Part>),
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    image_url: Option<String>,
    #[serde(default)]
    file_id: Option<String>,
    #[serde(default)]
    file_data: Option<String>,
    #[serde(default)]
    file_url: Option<String>,
    #[serde(default)]
    filename: Option<String>,
}

/// A tool in the result of a tool search.
#[derive(Deserialize)]
struct FoundTool {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    tools: Vec<FoundTool>,
}

/// Turn of an item; `None` for an empty one. The error describes the item.
pub(super) fn turn(item: Item, sealer: &StateSealer) -> Result<Option<Turn>, String> {
    let kind = item.kind.clone().unwrap_or_else(|| {
        // a message or a reference without its type
        if item.role.is_some() {
            "message"
        } else {
            "item_reference"
        }
        .to_owned()
    });
    let turn = match kind.as_str() {
        "message" => message(item)?,
        "reasoning" => reasoning(item, sealer),
        "function_call" => called(function_call(item)?),
        "custom_tool_call" => called(custom_call(item)?),
        "tool_search_call" => called(search_call(item)?),
        "function_call_output" | "custom_tool_call_output" => result(item)?,
        "tool_search_output" => found(item)?,
        // decoded with the tools
        "additional_tools" => return Ok(None),
        "item_reference" => {
            return Err("an `item_reference` names an item that another vendor keeps and this model never saw; send the items \
                        themselves, with `store: false`"
                .into());
        }
        other => {
            let other = printable(other);
            return Err(format!(
                "an item of the type `{other}` cannot be translated for this model; leave it out"
            ));
        }
    };
    Ok(Some(turn).filter(|turn| !turn.blocks.is_empty()))
}

fn message(item: Item) -> Result<Turn, String> {
    let role = match item.role.as_deref() {
        Some("system" | "developer") => Role::System,
        Some("user") | None => Role::User,
        Some("assistant") => Role::Assistant,
        Some(other) => return Err(format!("the role `{}` is not known", printable(other))),
    };
    Ok(Turn {
        role,
        blocks: item.content.map_or(Ok(Vec::new()), blocks)?,
    })
}

fn reasoning(item: Item, sealer: &StateSealer) -> Turn {
    let texts = |parts: Vec<Part>| {
        parts
            .into_iter()
            .filter_map(|part| part.text)
            .collect::<Vec<_>>()
            .join("\n\n")
    };
    let mut text = item.summary.map(texts).unwrap_or_default();
    if text.is_empty()
        && let Some(Contents::Parts(parts)) = item.content
    {
        text = texts(parts);
    }
    let provider_state = item
        .encrypted_content
        .filter(|token| !token.is_empty())
        .map(|token| sealer.open(&token));
    // state that the gateway did not seal is OpenAI's and never sent to another vendor
    let provider_state: Option<ProviderState> =
        provider_state.filter(|provider_state| provider_state.origin.is_some());
    let is_empty = text.is_empty() && provider_state.is_none();
    let blocks = if is_empty {
        Vec::new()
    } else {
        vec![
            Content::Reasoning(ReasoningBlock {
                text,
                provider_state,
            })
            .into(),
        ]
    };
    Turn {
        role: Role::Assistant,
        blocks,
    }
}

fn called(call: ToolCall) -> Turn {
    Turn {
        role: Role::Assistant,
        blocks: vec![Content::ToolCall(call).into()],
    }
}

fn function_call(item: Item) -> Result<ToolCall, String> {
    let id = item.call_id.ok_or("a `function_call` needs a `call_id`")?;
    let name = item.name.ok_or("a `function_call` needs a `name`")?;
    let arguments = item.arguments.map(text_or_json).unwrap_or_default();
    Ok(ToolCall {
        id,
        name: Table::canonical_name(item.namespace.as_deref(), &name),
        arguments,
        provider_state: None,
    })
}

fn custom_call(item: Item) -> Result<ToolCall, String> {
    let id = item
        .call_id
        .ok_or("a `custom_tool_call` needs a `call_id`")?;
    let name = item.name.ok_or("a `custom_tool_call` needs a `name`")?;
    let arguments = custom_arguments(&item.input.unwrap_or_default());
    Ok(ToolCall {
        id,
        name: Table::canonical_name(item.namespace.as_deref(), &name),
        arguments,
        provider_state: None,
    })
}

fn search_call(item: Item) -> Result<ToolCall, String> {
    let id = item
        .call_id
        .ok_or("a `tool_search_call` without a `call_id` was run by a vendor and cannot be translated; leave it out")?;
    let arguments = item.arguments.map(text_or_json).unwrap_or_default();
    Ok(ToolCall {
        id,
        name: TOOL_SEARCH.to_owned(),
        arguments,
        provider_state: None,
    })
}

/// The text of a JSON string; any other JSON unchanged.
fn text_or_json(json: RawJson) -> String {
    serde_json::from_str::<String>(json.as_str()).unwrap_or_else(|_| json.as_str().to_owned())
}

fn result(item: Item) -> Result<Turn, String> {
    let id = item
        .call_id
        .ok_or("the output of a tool needs a `call_id`")?;
    let blocks = item.output.map_or(Ok(Vec::new()), blocks)?;
    Ok(answered(ToolResult {
        id,
        name: None,
        blocks,
        is_error: false,
    }))
}

/// The tools are declared with all others; the result only names them.
fn found(item: Item) -> Result<Turn, String> {
    let id =
        item.call_id.ok_or("a `tool_search_output` without a `call_id` is a vendor's and cannot be translated; leave it out")?;
    let mut names = Vec::new();
    for tool in item.tools.unwrap_or_default() {
        let namespace = tool.name.as_deref().filter(|_| !tool.tools.is_empty());
        names.extend(
            tool.tools
                .iter()
                .filter_map(|inner| Some(Table::canonical_name(namespace, inner.name.as_deref()?))),
        );
        if tool.tools.is_empty() {
            names.extend(tool.name);
        }
    }
    let text = if names.is_empty() {
        "No tools were found.".to_owned()
    } else {
        format!("Found tools: {}", names.join(", "))
    };
    let blocks = vec![Content::Text(text).into()];
    Ok(answered(ToolResult {
        id,
        name: Some(TOOL_SEARCH.to_owned()),
        blocks,
        is_error: false,
    }))
}

fn answered(result: ToolResult) -> Turn {
    Turn {
        role: Role::User,
        blocks: vec![Content::ToolResult(result).into()],
    }
}

fn blocks(contents: Contents) -> Result<Vec<ContentBlock>, String> {
    match contents {
        Contents::Text(text) if text.is_empty() => Ok(Vec::new()),
        Contents::Text(text) => Ok(vec![Content::Text(text).into()]),
        Contents::Parts(parts) => parts
            .into_iter()
            .filter_map(|part| block(part).transpose())
            .collect(),
        Contents::Other(_) => Err("the content is neither a text nor an array of parts".into()),
    }
}

fn block(part: Part) -> Result<Option<ContentBlock>, String> {
    let content = match part.kind.as_str() {
        "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" | "refusal" => {
            let text = part.text.or(part.refusal).filter(|text| !text.is_empty());
            return Ok(text.map(|text| Content::Text(text).into()));
        }
        "input_image" => Content::Image(image(part)?),
        "input_file" => Content::Document(file(part)?),
        other => {
            let other = printable(other);
            return Err(format!(
                "a part of the type `{other}` cannot be translated for this model; send text, images or files"
            ));
        }
    };
    Ok(Some(content.into()))
}

fn image(part: Part) -> Result<Media, String> {
    match (part.image_url, part.file_id) {
        (Some(url), _) => Ok(inline(url, "")),
        (None, Some(id)) => Ok(Media {
            mime: String::new(),
            source: Source::File(id),
            name: None,
        }),
        (None, None) => Err("an `input_image` has neither `image_url` nor `file_id`".into()),
    }
}

fn file(part: Part) -> Result<Media, String> {
    let media = match (part.file_data, part.file_url, part.file_id) {
        (Some(data), _, _) if data.contains(':') => inline(data, "application/pdf"),
        (Some(data), _, _) => Media {
            mime: "application/pdf".into(),
            source: Source::Base64(data),
            name: None,
        },
        (None, Some(url), _) => Media {
            mime: String::new(),
            source: Source::Url(url),
            name: None,
        },
        (None, None, Some(id)) => Media {
            mime: String::new(),
            source: Source::File(id),
            name: None,
        },
        (None, None, None) => {
            return Err("an `input_file` has none of `file_data`, `file_url` and `file_id`".into());
        }
    };
    Ok(Media {
        name: part.filename,
        ..media
    })
}

/// Payload of a data URL, or the URL itself.
fn inline(url: String, usual: &str) -> Media {
    let is_inline = url
        .get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    match url
        .get(5..)
        .filter(|_| is_inline)
        .and_then(|rest| rest.split_once(','))
    {
        Some((head, payload)) => {
            let mime = head
                .split(';')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            Media {
                mime,
                source: Source::Base64(payload.to_owned()),
                name: None,
            }
        }
        None => Media {
            mime: usual.to_owned(),
            source: Source::Url(url),
            name: None,
        },
    }
}
