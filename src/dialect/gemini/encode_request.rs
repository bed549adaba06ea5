//! A neutral ask as the body of a `generateContent` request. The model stands in the address, and so does whether it streams.

use std::borrow::Cow;

use serde::Serialize;

use crate::conversation::{
    ChatRequest, Content, ContentBlock, Effort, Format, Media, ProviderState, ProviderStateKind,
    RawJson, ReasoningBlock, Role, Source, Summary, ToolCall, ToolChoice, ToolResult, Turn,
    fitting_id,
};
use crate::dialect::Dialect;
use crate::dialect::answer::written;
use crate::dialect::hub::EncodeOptions;
use crate::dialect::schema::without_kind;

/// Stands where a signature was lost: documented by the vendor, who refuses a call without any.
const LOST_SIGNATURE: &str = "skip_thought_signature_validator";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    contents: Vec<GeminiContent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<GeminiContent<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tools<'a>>,
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
    response: Response,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Response {
    Output(String),
    Error(String),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: Vec<ToolDeclaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolDeclaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters_json_schema: Cow<'a, RawJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: CallingConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallingConfig<'a> {
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
    thinking_config: Option<Thinking>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Thinking {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    include_thoughts: bool,
}

/// The request's body.
pub(in crate::dialect) fn encode_request(ask: &ChatRequest, sending: &EncodeOptions<'_>) -> String {
    let writer = Writer { sending };
    let before = ask
        .turns
        .iter()
        .take_while(|turn| turn.role == Role::System)
        .count();
    let (system, turns) = ask.turns.split_at(before);
    let system: Vec<Part<'_>> = system.iter().flat_map(|turn| writer.parts(turn)).collect();
    let contents = turns.iter().filter_map(|turn| writer.said(turn)).collect();
    written(&Body {
        contents,
        system_instruction: (!system.is_empty()).then_some(GeminiContent {
            role: None,
            parts: system,
        }),
        tools: writer.tools(ask),
        tool_config: writer.tool_config(ask),
        generation_config: generation_config(ask, sending),
        service_tier: ask.service_tier.as_deref().and_then(tier),
    })
}

/// The vendor's word for a tier. `auto` is what it does unasked.
fn tier(asked: &str) -> Option<&str> {
    match asked {
        "auto" => None,
        "default" | "standard_only" => Some("standard"),
        other => Some(other),
    }
}

struct Writer<'a> {
    sending: &'a EncodeOptions<'a>,
}

impl<'a> Writer<'a> {
    /// A turn; none where nothing is left of it: the vendor refuses a turn without parts.
    fn said(&self, turn: &'a Turn) -> Option<GeminiContent<'a>> {
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
        let mut behind = Vec::new();
        let mut called = false;
        for block in &turn.blocks {
            match &block.content {
                Content::Text(text) => parts.extend(text_part(text)),
                Content::Image(media) | Content::Document(media) => parts.extend(media_part(media)),
                Content::Reasoning(reasoned) => parts.extend(self.thought(reasoned)),
                Content::ToolCall(call) => {
                    parts.push(self.call(call, !called));
                    called = true;
                }
                Content::ToolResult(result) => parts.push(self.result(result, &mut behind)),
            }
        }
        // the vendor wants the results of a turn first
        let results = parts
            .iter()
            .take_while(|part| part.function_response.is_some())
            .count();
        parts.splice(results..results, behind);
        parts
    }

    /// A thought is only worth sending with its signature; signed thoughts without a text sign the text before them.
    fn thought(&self, reasoned: &'a ReasoningBlock) -> Option<Part<'a>> {
        let signature = self.own(reasoned.opaque.as_ref()?)?;
        let (thought, text) = (!reasoned.text.is_empty(), Some(reasoned.text.as_str()));
        Some(Part {
            thought,
            text,
            thought_signature: Some(signature),
            ..Part::default()
        })
    }

    /// `first`: the first call of its turn, which must be signed.
    fn call(&self, call: &'a ToolCall, first: bool) -> Part<'a> {
        let signature = call.opaque.as_ref().and_then(|opaque| match opaque.origin {
            // nobody else signs calls, so that it can be genuine
            None => Some(opaque.data.as_str()),
            Some(_) => self.own(opaque),
        });
        let function_call = FunctionCall {
            id: self.id(&call.id),
            name: self.sending.names.sent(&call.name),
            args: call.object_raw(),
        };
        Part {
            function_call: Some(function_call),
            thought_signature: signature.or_else(|| {
                (first && self.sending.capabilities.signed_calls).then_some(LOST_SIGNATURE)
            }),
            ..Part::default()
        }
    }

    /// A signature that this very model made: the vendor says that they are worth nothing to another.
    fn own(&self, opaque: &'a ProviderState) -> Option<&'a str> {
        let origin = opaque.origin.as_ref()?;
        let is_own =
            origin.dialect == Dialect::Gemini.as_str() && origin.model == self.sending.model;
        (is_own && opaque.kind == ProviderStateKind::Signature).then_some(opaque.data.as_str())
    }

    /// A result; its images within it, or behind all results where the model takes none there.
    fn result(&self, result: &'a ToolResult, behind: &mut Vec<Part<'a>>) -> Part<'a> {
        let text = result.text();
        let media = result
            .blocks
            .iter()
            .filter_map(|block: &ContentBlock| match &block.content {
                Content::Image(media) | Content::Document(media) => media_part(media),
                _ => None,
            });
        let mut within = Vec::new();
        if self.sending.capabilities.media_within_results {
            within.extend(media)
        } else {
            behind.extend(media)
        }
        let function_response = FunctionResponse {
            id: self.id(&result.id),
            name: self
                .sending
                .names
                .sent(result.name.as_deref().unwrap_or("unknown")),
            response: if result.is_error {
                Response::Error(text)
            } else {
                Response::Output(text)
            },
            parts: within,
        };
        Part {
            function_response: Some(function_response),
            ..Part::default()
        }
    }

    fn id(&self, id: &'a str) -> Cow<'a, str> {
        fitting_id(id, self.sending.capabilities.ids)
    }

    fn tools(&self, ask: &'a ChatRequest) -> Vec<Tools<'a>> {
        if ask.tools.is_empty() {
            return Vec::new();
        }
        let declared = ask.tools.iter().map(|tool| ToolDeclaration {
            name: self.sending.names.sent(&tool.name),
            description: tool.description.as_deref(),
            parameters_json_schema: without_kind(&tool.schema),
        });
        vec![Tools {
            function_declarations: declared.collect(),
        }]
    }

    fn tool_config(&self, ask: &'a ChatRequest) -> Option<ToolConfig<'a>> {
        let (mode, allowed_function_names) = match &ask.tool_choice {
            ToolChoice::Auto => return None,
            ToolChoice::None => ("NONE", None),
            ToolChoice::Any => ("ANY", None),
            ToolChoice::Named(name) => ("ANY", Some([self.sending.names.sent(name)])),
        };
        Some(ToolConfig {
            function_calling_config: CallingConfig {
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
        // refused when the ask was fitted
        Source::Url(_) | Source::File(_) => None,
    }
}

fn generation_config<'a>(
    ask: &'a ChatRequest,
    sending: &EncodeOptions<'_>,
) -> GenerationConfig<'a> {
    let (response_mime_type, response_json_schema) = match &ask.format {
        Format::Text => (None, None),
        Format::JsonObject => (Some("application/json"), None),
        Format::JsonSchema { schema, .. } => (Some("application/json"), Some(without_kind(schema))),
    };
    let sampling = &ask.sampling;
    GenerationConfig {
        max_output_tokens: sending.output_cap,
        temperature: sampling.temperature.as_ref(),
        top_p: sampling.top_p.as_ref(),
        top_k: sampling.top_k.as_ref(),
        presence_penalty: sampling.presence_penalty.as_ref(),
        frequency_penalty: sampling.frequency_penalty.as_ref(),
        seed: sampling.seed.as_ref(),
        stop_sequences: &ask.stop,
        response_mime_type,
        response_json_schema,
        thinking_config: thinking(ask),
    }
}

/// A level for the models that take one and a budget for those before them: the ask was fitted, it holds what the model takes.
fn thinking(ask: &ChatRequest) -> Option<Thinking> {
    let reasoning = &ask.reasoning;
    let is_off = reasoning.is_off() || reasoning.budget == Some(0);
    let is_on =
        !is_off && (reasoning.adaptive || reasoning.budget.is_some() || reasoning.effort.is_some());
    let thinking = Thinking {
        thinking_level: reasoning.effort.and_then(level),
        thinking_budget: reasoning.budget,
        include_thoughts: is_on && reasoning.summary != Some(Summary::Omitted),
    };
    (is_on || thinking.thinking_budget.is_some()).then_some(thinking)
}

fn level(effort: Effort) -> Option<&'static str> {
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
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::conversation::{Capabilities, Origin, ToolNames};

    const MODEL: &str = "gemini-3.8-flash";

    fn opaque(origin: Option<(&str, &str)>, data: &str) -> ProviderState {
        let origin = origin.map(|(dialect, model)| Origin {
            dialect: dialect.to_owned().into(),
            model: model.into(),
        });
        ProviderState {
            origin,
            kind: ProviderStateKind::Signature,
            data: data.into(),
        }
    }

    fn call(id: &str, opaque: Option<ProviderState>) -> Content {
        Content::ToolCall(ToolCall {
            id: id.into(),
            name: "f".into(),
            arguments: String::new(),
            opaque,
        })
    }

    fn thought(text: &str, opaque: Option<ProviderState>) -> Content {
        Content::Reasoning(ReasoningBlock {
            text: text.into(),
            opaque,
        })
    }

    fn result(id: &str, content: Content) -> Content {
        let blocks = vec![Content::Text("ok".into()).into(), content.into()];
        Content::ToolResult(ToolResult {
            id: id.into(),
            name: Some("f".into()),
            blocks,
            is_error: false,
        })
    }

    fn image() -> Content {
        Content::Image(Media {
            mime: "image/png".into(),
            source: Source::Base64("AA".into()),
            name: None,
        })
    }

    /// The parts that one turn becomes.
    fn parts(role: Role, contents: Vec<Content>, takes: Capabilities) -> Value {
        let turns = vec![Turn {
            role,
            blocks: contents.into_iter().map(Into::into).collect(),
        }];
        let ask = ChatRequest {
            turns,
            ..ChatRequest::default()
        };
        let names = ToolNames::default();
        let sending = EncodeOptions {
            model: MODEL,
            capabilities: &takes,
            names: &names,
            output_cap: None,
            output_max: 100,
            output_cap_member: "maxOutputTokens",
            stream_usage_opt_in: false,
        };
        let body: Value = serde_json::from_str(&encode_request(&ask, &sending)).expect("JSON");
        body["contents"][0]["parts"].clone()
    }

    fn signing() -> Capabilities {
        Capabilities {
            signed_calls: true,
            media_within_results: true,
            ..Capabilities::all()
        }
    }

    /// The signatures of the parts that one assistant's turn becomes.
    fn signatures(contents: Vec<Content>, takes: Capabilities) -> Vec<Option<String>> {
        let parts = parts(Role::Assistant, contents, takes);
        let parts = parts.as_array().expect("parts");
        parts
            .iter()
            .map(|part| part["thoughtSignature"].as_str().map(str::to_owned))
            .collect()
    }

    #[test]
    fn e07_a_call_goes_back_with_the_signature_of_this_model_or_says_that_it_is_lost() {
        let lost = || Some(LOST_SIGNATURE.to_owned());
        let own = opaque(Some(("gemini", MODEL)), "own");
        for (opaque, expected) in [
            (Some(own.clone()), Some("own".to_owned())),
            (Some(opaque(None, "unsealed")), Some("unsealed".to_owned())),
            (
                Some(opaque(Some(("gemini", "gemini-3-pro")), "other")),
                lost(),
            ),
            (Some(opaque(Some(("messages", MODEL)), "other")), lost()),
            (None, lost()),
        ] {
            assert_eq!(
                signatures(vec![call("a", opaque), call("b", None)], signing()),
                [expected, None]
            );
        }
        let signed = vec![call("a", Some(own)), call("b", None)];
        assert_eq!(
            signatures(signed, Capabilities::all()),
            [Some("own".to_owned()), None]
        );
        assert_eq!(
            signatures(vec![call("a", None)], Capabilities::all()),
            [None],
            "earlier models insist on none"
        );
    }

    #[test]
    fn thoughts_go_back_only_signed_by_this_model() {
        let own = || Some(opaque(Some(("gemini", MODEL)), "own"));
        let contents = vec![
            thought("hm", own()),
            thought("nobody's", None),
            thought("another's", Some(opaque(Some(("messages", "claude")), "x"))),
            thought("perhaps", Some(opaque(None, "x"))),
            Content::Text("yes".into()),
            thought("", own()),
        ];
        let expected = json!([
            {"thought": true, "text": "hm", "thoughtSignature": "own"},
            {"text": "yes"},
            {"text": "", "thoughtSignature": "own"},
        ]);
        assert_eq!(parts(Role::Assistant, contents, signing()), expected);
    }

    #[test]
    fn images_of_results_stand_within_them_or_behind_all_of_them() {
        let contents = || {
            vec![
                result("a", image()),
                result("b", image()),
                Content::Text("go on".into()),
            ]
        };
        let blob = json!({"inlineData": {"mimeType": "image/png", "data": "AA"}});
        let answer = |id: &str| json!({"functionResponse": {"id": id, "name": "f", "response": {"output": "ok"}}});
        let within = |id: &str| {
            let mut answer = answer(id);
            answer["functionResponse"]["parts"] = json!([blob]);
            answer
        };
        let text = json!({"text": "go on"});
        assert_eq!(
            parts(Role::User, contents(), signing()),
            json!([within("a"), within("b"), text])
        );
        assert_eq!(
            parts(Role::User, contents(), Capabilities::all()),
            json!([answer("a"), answer("b"), blob, blob, text])
        );
    }
}
