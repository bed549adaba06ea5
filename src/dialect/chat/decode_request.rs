//! Decoder of a client's chat request. Fields without a place in the canonical model are listed in `dropped`; fields that would
//! change the answer are refused.

use serde::Deserialize;

use crate::conversation::{
    Cache, ChatRequest, Content, ContentBlock, Effort, Format, Media, Number, RawJson,
    ReasoningBlock, ReasoningOptions, Role, Source, StateSealer, Tool, ToolCall, ToolChoice,
    ToolResult, Turn, raw,
};
use crate::dialect::chat::request_body::{
    CacheControl, Call, Contents, File, ImageUrl, Message, Part,
};
use crate::dialect::request::{Request, typed};
use crate::domain::api_error::ApiError;

/// Fields that are read elsewhere, or that another vendor can do without.
const KNOWN: [&str; 9] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "store",
    "audio",
];

/// Decodes a request after its shallow read. `sealer` opens provider state that the client carried.
pub(in crate::dialect) fn decode_request(
    request: &Request,
    sealer: &StateSealer,
) -> Result<ChatRequest, ApiError> {
    if request.choices > 1 {
        let message =
            "`n` above 1 cannot be had from this vendor; leave it out and ask several times";
        return Err(ApiError::invalid(message).with_param("n"));
    }
    if request.audio_output {
        return Err(ApiError::invalid(
            "this vendor answers with text only; leave `modalities` out",
        )
        .with_param("modalities"));
    }
    let mut decoded = ChatRequest {
        streamed: request.streamed,
        output_cap: request.output_cap.map(|cap| cap.tokens),
        service_tier: request.service_tier.clone(),
        user: request.user.clone(),
        ..ChatRequest::default()
    };
    let messages: Vec<Message> = typed(request, "messages")?.unwrap_or_default();
    for (position, message) in messages.into_iter().enumerate() {
        decoded.turns.push(turn(message, position, sealer)?);
    }
    let names: Vec<&str> = request.member_names().collect();
    for name in names {
        field(&mut decoded, request, name)?;
    }
    Ok(decoded)
}

/// Decodes one top-level field.
fn field(decoded: &mut ChatRequest, request: &Request, name: &str) -> Result<(), ApiError> {
    if request.member(name) == Some("null") {
        return Ok(());
    }
    let sampling = &mut decoded.sampling;
    let number = || -> Result<Option<Number>, ApiError> { typed(request, name) };
    match name {
        "temperature" => sampling.temperature = number()?,
        "top_p" => sampling.top_p = number()?,
        "top_k" => sampling.top_k = number()?,
        "frequency_penalty" => sampling.frequency_penalty = number()?,
        "presence_penalty" => sampling.presence_penalty = number()?,
        "seed" => sampling.seed = number()?,
        "stop" => {
            decoded.stop = typed::<Stops>(request, name)?
                .map(Stops::list)
                .unwrap_or_default()
        }
        "tools" => decoded.tools = tools(request)?,
        "tool_choice" => {
            decoded.tool_choice = typed::<Choice>(request, name)?
                .map(Choice::meaning)
                .transpose()?
                .unwrap_or_default()
        }
        "parallel_tool_calls" => decoded.parallel_tools = typed(request, name)?,
        "response_format" => {
            decoded.format = typed::<ResponseFormat>(request, name)?
                .map(ResponseFormat::meaning)
                .unwrap_or_default()
        }
        "reasoning_effort" => decoded.reasoning = effort(typed(request, name)?)?,
        "cache_control" => {
            let hint = typed::<CacheControl>(request, name)?;
            if let Some(turn) = decoded.turns.last_mut() {
                mark_last(&mut turn.blocks, hint.as_ref());
            }
        }
        // from the shallow read
        "service_tier" | "user" | "modalities" => {}
        name if KNOWN.contains(&name) => {}
        name => decoded.drop_param(name),
    }
    Ok(())
}

fn turn(message: Message, position: usize, sealer: &StateSealer) -> Result<Turn, ApiError> {
    let refused = |what: String| {
        ApiError::invalid(format!("messages[{position}]: {what}")).with_param("messages")
    };
    let mut blocks = Vec::new();
    if let Some(text) = message.reasoning_content.filter(|text| !text.is_empty()) {
        blocks.push(
            Content::Reasoning(ReasoningBlock {
                text,
                provider_state: None,
            })
            .into(),
        );
    }
    match message.content {
        Some(Contents::Text(text)) => push_text(&mut blocks, text),
        Some(Contents::Parts(parts)) => {
            for part in parts {
                blocks.extend(block(part).map_err(refused)?);
            }
        }
        None => {}
    }
    if let Some(text) = message.refusal {
        push_text(&mut blocks, text);
    }
    let role = match message.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" | "function" => {
            let mut turn = tool_turn(message.tool_call_id, blocks).map_err(refused)?;
            mark_last(&mut turn.blocks, message.cache_control.as_ref());
            return Ok(turn);
        }
        other => {
            return Err(refused(format!(
                "the role `{}` is not known",
                other.chars().take(40).collect::<String>()
            )));
        }
    };
    for call in message.tool_calls.unwrap_or_default() {
        blocks.push(Content::ToolCall(tool_call(call, sealer).map_err(refused)?).into());
    }
    mark_last(&mut blocks, message.cache_control.as_ref());
    Ok(Turn { role, blocks })
}

fn cache(hint: &CacheControl) -> Cache {
    if hint.ttl.as_deref() == Some("1h") {
        Cache::Hour
    } else {
        Cache::FiveMinutes
    }
}

/// Marks the last part, up to which the conversation can be cached.
fn mark_last(blocks: &mut [ContentBlock], hint: Option<&CacheControl>) {
    if let (Some(last), Some(hint)) = (blocks.last_mut(), hint) {
        last.cache.get_or_insert(cache(hint));
    }
}

fn push_text(blocks: &mut Vec<ContentBlock>, text: String) {
    if !text.is_empty() {
        blocks.push(Content::Text(text).into());
    }
}

fn tool_turn(id: Option<String>, blocks: Vec<ContentBlock>) -> Result<Turn, String> {
    let id = id.ok_or("a message of the role `tool` needs a `tool_call_id`")?;
    let result = Content::ToolResult(ToolResult {
        id,
        name: None,
        blocks,
        is_error: false,
    });
    Ok(Turn {
        role: Role::User,
        blocks: vec![result.into()],
    })
}

fn tool_call(call: Call, sealer: &StateSealer) -> Result<ToolCall, String> {
    let function = call
        .function
        .ok_or("a tool call has no `function`; calls of other kinds cannot be translated")?;
    let arguments = function.arguments.0;
    let signature = call
        .extra_content
        .and_then(|extra| extra.google)
        .and_then(|google| google.thought_signature);
    Ok(ToolCall {
        id: call.id,
        name: function.name,
        arguments,
        provider_state: signature.map(|token| sealer.open(&token)),
    })
}

fn block(part: Part) -> Result<Option<ContentBlock>, String> {
    let cache = part.cache_control.as_ref().map(cache);
    let content = match part.kind.as_str() {
        "text" | "refusal" | "input_text" | "output_text" => {
            let text = part.text.or(part.refusal).unwrap_or_default();
            if text.is_empty() {
                return Ok(None);
            }
            Content::Text(text)
        }
        "image_url" => {
            let url = match part.image_url.ok_or("an image part has no `image_url`")? {
                ImageUrl::Plain(url) | ImageUrl::Object { url } => url,
            };
            Content::Image(media(url, "image/"))
        }
        "file" => Content::Document(file(part.file.ok_or("a file part has no `file`")?)?),
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(format!(
                "a part of the type `{other}` cannot be translated for this vendor; send text, images or files"
            ));
        }
    };
    Ok(Some(ContentBlock { content, cache }))
}

/// Payload of a data URL, or the URL itself.
fn media(url: String, usual: &str) -> Media {
    let inline = url
        .get(..5)
        .filter(|scheme| scheme.eq_ignore_ascii_case("data:"))
        .and_then(|_| url[5..].split_once(','));
    match inline {
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
            mime: if usual.ends_with('/') {
                String::new()
            } else {
                usual.to_owned()
            },
            source: Source::Url(url),
            name: None,
        },
    }
}

fn file(file: File) -> Result<Media, String> {
    let found = match (file.file_data, file.file_id) {
        (Some(data), _) if data.contains(':') => media(data, "application/pdf"),
        (Some(data), _) => Media {
            mime: "application/pdf".into(),
            source: Source::Base64(data),
            name: None,
        },
        (None, Some(id)) => Media {
            mime: String::new(),
            source: Source::File(id),
            name: None,
        },
        (None, None) => return Err("a file part has neither `file_data` nor `file_id`".into()),
    };
    Ok(Media {
        name: file.filename,
        ..found
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stops {
    One(String),
    Several(Vec<String>),
}

impl Stops {
    fn list(self) -> Vec<String> {
        match self {
            Stops::One(one) => vec![one],
            Stops::Several(several) => several,
        }
    }
}

#[derive(Deserialize)]
struct ToolEntry {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    function: Option<ToolDeclaration>,
    #[serde(default)]
    cache_control: Option<CacheControl>,
}

#[derive(Deserialize)]
struct ToolDeclaration {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<RawJson>,
    #[serde(default)]
    strict: Option<bool>,
}

fn tools(request: &Request) -> Result<Vec<Tool>, ApiError> {
    let declared: Vec<ToolEntry> = typed(request, "tools")?.unwrap_or_default();
    declared.into_iter().map(tool).collect()
}

fn tool(declared: ToolEntry) -> Result<Tool, ApiError> {
    let Some(function) = declared.function else {
        let kind: String = declared.kind.chars().take(40).collect();
        let message = format!(
            "a tool of the type `{kind}` cannot be translated for this vendor; declare functions"
        );
        return Err(ApiError::invalid(message).with_param("tools"));
    };
    let cache = declared.cache_control.as_ref().map(cache);
    let schema = function
        .parameters
        .filter(|schema| schema.as_str() != "null");
    let schema = schema
        .or_else(|| raw(r#"{"type":"object","properties":{}}"#.to_owned()))
        .unwrap_or_default();
    Ok(Tool {
        name: function.name,
        description: function.description,
        schema,
        strict: function.strict,
        cache,
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Choice {
    Word(String),
    Named { function: NamedChoice },
}

#[derive(Deserialize)]
struct NamedChoice {
    name: String,
}

impl Choice {
    fn meaning(self) -> Result<ToolChoice, ApiError> {
        Ok(match self {
            Choice::Named { function } => ToolChoice::Named(function.name),
            Choice::Word(word) => match word.as_str() {
                "auto" => ToolChoice::Auto,
                "none" => ToolChoice::None,
                "required" | "any" => ToolChoice::Any,
                _ => {
                    return Err(ApiError::invalid(
                        "`tool_choice` is none of auto, none and required",
                    )
                    .with_param("tool_choice"));
                }
            },
        })
    }
}

#[derive(Deserialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    json_schema: Option<JsonSchema>,
}

#[derive(Deserialize)]
struct JsonSchema {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    schema: Option<RawJson>,
    #[serde(default)]
    strict: Option<bool>,
}

impl ResponseFormat {
    fn meaning(self) -> Format {
        match (self.kind.as_str(), self.json_schema) {
            (
                "json_schema",
                Some(JsonSchema {
                    name,
                    description,
                    schema: Some(schema),
                    strict,
                }),
            ) => Format::JsonSchema {
                name: name.unwrap_or_else(|| "answer".to_owned()),
                description,
                schema,
                strict,
            },
            ("json_object" | "json_schema", _) => Format::JsonObject,
            _ => Format::Text,
        }
    }
}

fn effort(word: Option<String>) -> Result<ReasoningOptions, ApiError> {
    let Some(word) = word else {
        return Ok(ReasoningOptions::default());
    };
    let effort = match word.as_str() {
        "default" => return Ok(ReasoningOptions::default()),
        word => Effort::parse(word),
    };
    let known = "`reasoning_effort` is none of none, minimal, low, medium, high, xhigh and max";
    Ok(ReasoningOptions {
        effort: Some(
            effort.ok_or_else(|| ApiError::invalid(known).with_param("reasoning_effort"))?,
        ),
        ..ReasoningOptions::default()
    })
}

#[cfg(test)]
mod tests;
