//! Encodes a canonical request as the body of `generateContent`. Takes a request that was fitted to
//! the model's capabilities; model and streaming are part of the URL. Must never send a signature
//! that another model made.

use std::borrow::Cow;

use serde::Serialize;

use crate::conversation::{
    ChatRequest, Content, ContentBlock, Effort, Format, Media, ProviderState, ProviderStateKind,
    RawJson, ReasoningBlock, Role, Source, Summary, ToolCall, ToolChoice, ToolResult, Turn,
    fit_call_id,
};
use crate::dialect::codec::EncodeOptions;
use crate::dialect::name::Dialect;
use crate::dialect::schema::without_kind;
use crate::dialect::wire::json::to_json;

/// Documented replacement for a lost signature: Gemini rejects a call without any.
const LOST_SIGNATURE: &str = "skip_thought_signature_validator";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerateContentRequest<'a> {
    contents: Vec<GeminiContent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<GeminiContent<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<GeminiTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    generation_config: GenerationConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
}

#[derive(Serialize)]
struct GeminiContent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<Part<'a>>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    thought: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<Blob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<FunctionResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    mime_type: &'a str,
    data: &'a str,
}

#[derive(Serialize)]
struct FunctionCall<'a> {
    id: Cow<'a, str>,
    name: &'a str,
    args: RawJson,
}

#[derive(Serialize)]
struct FunctionResponse<'a> {
    id: Cow<'a, str>,
    name: &'a str,
    response: FunctionOutput,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum FunctionOutput {
    Output(String),
    Error(String),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GeminiTool<'a> {
    function_declarations: Vec<FunctionDeclaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FunctionDeclaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters_json_schema: Cow<'a, RawJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: FunctionCallingConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FunctionCallingConfig<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<Cow<'a, RawJson>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<ThinkingConfig>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    include_thoughts: bool,
}

/// Body of the upstream request. The leading system turns become `systemInstruction`.
pub(in crate::dialect) fn encode_request(
    request: &ChatRequest,
    options: &EncodeOptions<'_>,
) -> String {
    let encoder = Encoder { options };
    let system_count = request
        .turns
        .iter()
        .take_while(|turn| turn.role == Role::System)
        .count();
    let (system, turns) = request.turns.split_at(system_count);
    let system: Vec<Part<'_>> = system.iter().flat_map(|turn| encoder.parts(turn)).collect();
    let contents = turns
        .iter()
        .filter_map(|turn| encoder.content(turn))
        .collect();
    to_json(&GenerateContentRequest {
        contents,
        system_instruction: (!system.is_empty()).then_some(GeminiContent {
            role: None,
            parts: system,
        }),
        tools: encoder.tools(request),
        tool_config: encoder.tool_config(request),
        generation_config: generation_config(request, options),
        service_tier: request.service_tier.as_deref().and_then(service_tier),
    })
}

/// Gemini's name of a service tier; `auto` is its default.
fn service_tier(tier: &str) -> Option<&str> {
    match tier {
        "auto" => None,
        "default" | "standard_only" => Some("standard"),
        other => Some(other),
    }
}

struct Encoder<'a> {
    options: &'a EncodeOptions<'a>,
}

impl<'a> Encoder<'a> {
    /// `None` for an empty turn: Gemini rejects a turn without parts.
    fn content(&self, turn: &'a Turn) -> Option<GeminiContent<'a>> {
        let parts = self.parts(turn);
        let role = if turn.role == Role::Assistant {
            "model"
        } else {
            "user"
        };
        (!parts.is_empty()).then_some(GeminiContent {
            role: Some(role),
            parts,
        })
    }

    fn parts(&self, turn: &'a Turn) -> Vec<Part<'a>> {
        let mut parts = Vec::with_capacity(turn.blocks.len());
        let mut result_media = Vec::new();
        let mut has_call = false;
        for block in &turn.blocks {
            match &block.content {
                Content::Text(text) => parts.extend(text_part(text)),
                Content::Image(media) | Content::Document(media) => parts.extend(media_part(media)),
                Content::Reasoning(reasoning) => parts.extend(self.reasoning(reasoning)),
                Content::ToolCall(call) => {
                    parts.push(self.function_call(call, !has_call));
                    has_call = true;
                }
                Content::ToolResult(result) => {
                    parts.push(self.function_response(result, &mut result_media))
                }
            }
        }
        // Gemini requires the results of a turn first
        let result_count = parts
            .iter()
            .take_while(|part| part.function_response.is_some())
            .count();
        parts.splice(result_count..result_count, result_media);
        parts
    }

    /// Reasoning is sent only with its signature; a signature without reasoning text signs the text
    /// part before it.
    fn reasoning(&self, reasoning: &'a ReasoningBlock) -> Option<Part<'a>> {
        let signature = self.own_signature(reasoning.provider_state.as_ref()?)?;
        let (thought, text) = (!reasoning.text.is_empty(), Some(reasoning.text.as_str()));
        Some(Part {
            thought,
            text,
            thought_signature: Some(signature),
            ..Part::default()
        })
    }

    /// Models that sign calls require a signature on the first call of a turn.
    fn function_call(&self, call: &'a ToolCall, is_first: bool) -> Part<'a> {
        let signature =
            call.provider_state
                .as_ref()
                .and_then(|provider_state| match provider_state.origin {
                    // only Gemini signs calls, so a signature of unknown origin can be valid
                    None => Some(provider_state.data.as_str()),
                    Some(_) => self.own_signature(provider_state),
                });
        let function_call = FunctionCall {
            id: self.id(&call.id),
            name: self.options.names.sent(&call.name),
            args: call.object_raw(),
        };
        Part {
            function_call: Some(function_call),
            thought_signature: signature.or_else(|| {
                (is_first && self.options.capabilities.signed_calls).then_some(LOST_SIGNATURE)
            }),
            ..Part::default()
        }
    }

    /// Signature made by the model that receives the request: Gemini documents signatures as
    /// invalid for other models.
    fn own_signature(&self, provider_state: &'a ProviderState) -> Option<&'a str> {
        let origin = provider_state.origin.as_ref()?;
        let is_own =
            origin.dialect == Dialect::Gemini.as_str() && origin.model == self.options.model;
        (is_own && provider_state.kind == ProviderStateKind::Signature)
            .then_some(provider_state.data.as_str())
    }

    /// Media go inside the result, or after all results of the turn (`result_media`) if the model
    /// rejects them inside.
    fn function_response(
        &self,
        result: &'a ToolResult,
        result_media: &mut Vec<Part<'a>>,
    ) -> Part<'a> {
        let text = result.text();
        let media = result
            .blocks
            .iter()
            .filter_map(|block: &ContentBlock| match &block.content {
                Content::Image(media) | Content::Document(media) => media_part(media),
                _ => None,
            });
        let mut parts = Vec::new();
        if self.options.capabilities.media_within_results {
            parts.extend(media)
        } else {
            result_media.extend(media)
        }
        let function_response = FunctionResponse {
            id: self.id(&result.id),
            name: self
                .options
                .names
                .sent(result.name.as_deref().unwrap_or("unknown")),
            response: if result.is_error {
                FunctionOutput::Error(text)
            } else {
                FunctionOutput::Output(text)
            },
            parts,
        };
        Part {
            function_response: Some(function_response),
            ..Part::default()
        }
    }

    fn id(&self, id: &'a str) -> Cow<'a, str> {
        fit_call_id(id, self.options.capabilities.ids)
    }

    fn tools(&self, request: &'a ChatRequest) -> Vec<GeminiTool<'a>> {
        if request.tools.is_empty() {
            return Vec::new();
        }
        let declarations = request.tools.iter().map(|tool| FunctionDeclaration {
            name: self.options.names.sent(&tool.name),
            description: tool.description.as_deref(),
            parameters_json_schema: without_kind(&tool.schema),
        });
        vec![GeminiTool {
            function_declarations: declarations.collect(),
        }]
    }

    fn tool_config(&self, request: &'a ChatRequest) -> Option<ToolConfig<'a>> {
        let (mode, allowed_function_names) = match &request.tool_choice {
            ToolChoice::Auto => return None,
            ToolChoice::None => ("NONE", None),
            ToolChoice::Any => ("ANY", None),
            ToolChoice::Named(name) => ("ANY", Some([self.options.names.sent(name)])),
        };
        Some(ToolConfig {
            function_calling_config: FunctionCallingConfig {
                mode,
                allowed_function_names,
            },
        })
    }
}

fn text_part(text: &str) -> Option<Part<'_>> {
    (!text.is_empty()).then(|| Part {
        text: Some(text),
        ..Part::default()
    })
}

fn media_part(media: &Media) -> Option<Part<'_>> {
    match &media.source {
        Source::Base64(data) => {
            let inline_data = Some(Blob {
                mime_type: &media.mime,
                data,
            });
            Some(Part {
                inline_data,
                ..Part::default()
            })
        }
        Source::Text(text) => text_part(text),
        // refused earlier, by the capability filter
        Source::Url(_) | Source::File(_) => None,
    }
}

fn generation_config<'a>(
    request: &'a ChatRequest,
    options: &EncodeOptions<'_>,
) -> GenerationConfig<'a> {
    let (response_mime_type, response_json_schema) = match &request.format {
        Format::Text => (None, None),
        Format::JsonObject => (Some("application/json"), None),
        Format::JsonSchema { schema, .. } => (Some("application/json"), Some(without_kind(schema))),
    };
    let sampling = &request.sampling;
    GenerationConfig {
        max_output_tokens: options.output_cap,
        temperature: sampling.temperature.as_ref(),
        top_p: sampling.top_p.as_ref(),
        top_k: sampling.top_k.as_ref(),
        presence_penalty: sampling.presence_penalty.as_ref(),
        frequency_penalty: sampling.frequency_penalty.as_ref(),
        seed: sampling.seed.as_ref(),
        stop_sequences: &request.stop,
        response_mime_type,
        response_json_schema,
        thinking_config: thinking_config(request),
    }
}

/// Newer models take a level, older ones a budget; the capability filter left only the one that the
/// model takes.
fn thinking_config(request: &ChatRequest) -> Option<ThinkingConfig> {
    let reasoning = &request.reasoning;
    let is_off = reasoning.is_off() || reasoning.budget == Some(0);
    let is_on =
        !is_off && (reasoning.adaptive || reasoning.budget.is_some() || reasoning.effort.is_some());
    let config = ThinkingConfig {
        thinking_level: reasoning.effort.and_then(thinking_level),
        thinking_budget: reasoning.budget,
        include_thoughts: is_on && reasoning.summary != Some(Summary::Omitted),
    };
    (is_on || config.thinking_budget.is_some()).then_some(config)
}

fn thinking_level(effort: Effort) -> Option<&'static str> {
    Some(match effort {
        Effort::None => return None,
        Effort::Minimal => "MINIMAL",
        Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High => "HIGH",
        Effort::XHigh | Effort::Max => "XHIGH",
    })
}

#[cfg(test)]
mod tests;
