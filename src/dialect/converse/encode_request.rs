//! A neutral ask as the body of a Converse request: the model's name stands in the address, whether to stream in the path. Must never
//! send a blank text, two turns of one role in a row, or thoughts that the model itself did not have: each is a 400.

use std::borrow::Cow;

use serde::Serialize;

use crate::conversation::{
    ChatRequest, Content, ContentBlock, Format, ProviderState, ProviderStateKind, RawJson,
    ReasoningBlock, Role, ToolCall, ToolResult, Turn, fitting_id,
};
use crate::dialect::Dialect;
use crate::dialect::answer::written;
use crate::dialect::converse::additional::Additional;
use crate::dialect::converse::media::{Document, DocumentNames, Image};
use crate::dialect::converse::tools::{CachePoint, ToolConfig, tool_config};
use crate::dialect::converse::{Maker, plain_id};
use crate::dialect::hub::EncodeOptions;
use crate::dialect::messages::closed_schema;

/// What a result says that says nothing: no text may be blank.
const SILENT: &str = "(no output)";
/// What a conversation begins with that has no user's turn at its beginning: Converse insists on one.
const OPENING: &str = "Begin.";
/// What a turn says that is a document alone: Converse insists on words beside it.
const ATTACHED: &str = "(attached)";

/// Writes an ask that was fitted.
pub(in crate::dialect) fn encode_request(ask: &ChatRequest, sending: &EncodeOptions<'_>) -> String {
    let mut writer = Writer {
        ask,
        sending,
        maker: Maker::of(sending.model),
        documents: DocumentNames::default(),
    };
    let messages = writer.messages();
    let may_think = messages
        .iter()
        .rev()
        .find(|message| message.role == "assistant")
        .is_none_or(may_think);
    let sampling = &ask.sampling;
    let is_claude = writer.maker == Maker::Claude;
    let effort = ask
        .reasoning
        .effort
        .filter(|_| is_claude && ask.reasoning.adaptive);
    written(&Body {
        messages,
        system: writer.system(),
        inference_config: InferenceConfig {
            max_tokens: ask.output_cap.or(sending.output_cap),
            temperature: sampling.temperature.as_ref(),
            top_p: sampling.top_p.as_ref(),
            stop_sequences: &ask.stop,
        }
        .said(),
        tool_config: tool_config(ask, sending, writer.maker),
        additional_model_request_fields: Additional::of(ask, writer.maker, may_think).said(),
        // which of the texts was met is Claude's to say
        additional_model_response_field_paths: if is_claude && !ask.stop.is_empty() {
            &["/stop_sequence"]
        } else {
            &[]
        },
        service_tier: ask.service_tier.as_deref().and_then(service_tier),
        output_config: OutputConfig {
            text_format: text_format(&ask.format, writer.maker),
            effort: effort.map(|effort| effort.as_str()),
        }
        .said(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_config: Option<InferenceConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_request_fields: Option<Additional<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    additional_model_response_field_paths: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<ServiceTier<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Part<'a>>,
}

/// A block: an object whose one member says what it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Part<'a> {
    Text(Cow<'a, str>),
    Image(Image<'a>),
    Document(Document<'a>),
    ToolUse(ToolUse<'a>),
    ToolResult(ToolResultPart<'a>),
    ReasoningContent(Thought<'a>),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'a> {
    tool_use_id: Cow<'a, str>,
    name: &'a str,
    input: RawJson,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolResultPart<'a> {
    tool_use_id: Cow<'a, str>,
    content: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Thought<'a> {
    ReasoningText { text: &'a str, signature: &'a str },
    RedactedContent(&'a str),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
}

impl InferenceConfig<'_> {
    fn said(self) -> Option<Self> {
        let says = self.max_tokens.is_some()
            || self.temperature.is_some()
            || self.top_p.is_some()
            || !self.stop_sequences.is_empty();
        says.then_some(self)
    }
}

#[derive(Serialize)]
struct ServiceTier<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text_format: Option<TextFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
}

impl OutputConfig<'_> {
    fn said(self) -> Option<Self> {
        (self.text_format.is_some() || self.effort.is_some()).then_some(self)
    }
}

#[derive(Serialize)]
struct TextFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    structure: Structure<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Structure<'a> {
    json_schema: JsonSchema<'a>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    /// JSON as a text
    schema: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

struct Writer<'a> {
    ask: &'a ChatRequest,
    sending: &'a EncodeOptions<'a>,
    maker: Maker,
    documents: DocumentNames,
}

impl<'a> Writer<'a> {
    /// The system turns at the beginning.
    fn system(&mut self) -> Vec<Part<'a>> {
        let turns = self
            .ask
            .turns
            .iter()
            .take_while(|turn| turn.role == Role::System);
        let mut parts = Vec::new();
        turns.for_each(|turn| self.push_blocks(&turn.blocks, &mut parts));
        parts
    }

    /// The other turns; those of one role that follow each other, which blank texts may have left, are one.
    fn messages(&mut self) -> Vec<Message<'a>> {
        let turns = self
            .ask
            .turns
            .iter()
            .skip_while(|turn| turn.role == Role::System);
        let mut messages: Vec<Message<'a>> = Vec::new();
        for turn in turns {
            let (role, mut content) = (role(turn), Vec::new());
            self.push_blocks(&turn.blocks, &mut content);
            match messages.last_mut() {
                _ if content.is_empty() => {}
                Some(before) if before.role == role => before.content.append(&mut content),
                _ => messages.push(Message { role, content }),
            }
        }
        if messages
            .first()
            .is_none_or(|message| message.role != "user")
        {
            messages.insert(
                0,
                Message {
                    role: "user",
                    content: vec![text(OPENING)],
                },
            );
        }
        messages.iter_mut().for_each(name_documents);
        if let Some(Part::Text(text)) = messages
            .last_mut()
            .filter(|last| last.role == "assistant")
            .and_then(|last| last.content.last_mut())
        {
            // the beginning of an answer must not end in white space
            *text = Cow::Owned(text.trim_end().to_owned());
        }
        messages
    }

    fn push_blocks(&mut self, blocks: &'a [ContentBlock], parts: &mut Vec<Part<'a>>) {
        for block in blocks {
            let before = parts.len();
            self.push_block(block, parts);
            let takes_hint = parts.len() > before && self.sending.capabilities.cache_hints;
            if let Some(cache) = block.cache.filter(|_| takes_hint) {
                parts.push(Part::CachePoint(CachePoint::of(cache)));
            }
        }
    }

    fn push_block(&mut self, block: &'a ContentBlock, parts: &mut Vec<Part<'a>>) {
        match &block.content {
            Content::Text(text) if text.trim().is_empty() => {}
            Content::Text(text) => parts.push(Part::Text(Cow::Borrowed(text))),
            Content::Image(media) => parts.extend(Image::of(media).map(Part::Image)),
            Content::Document(media) => {
                parts.extend(self.documents.document(media).map(Part::Document))
            }
            Content::Reasoning(reasoned) => {
                parts.extend(self.thought(reasoned).map(Part::ReasoningContent))
            }
            Content::ToolCall(call) if self.ask.tools.is_empty() => {
                parts.push(Part::Text(told_call(call).into()))
            }
            Content::ToolCall(call) => parts.push(Part::ToolUse(self.call(call))),
            Content::ToolResult(result) if self.ask.tools.is_empty() => {
                self.push_told(result, parts)
            }
            Content::ToolResult(result) => {
                let result = self.result(result);
                parts.push(Part::ToolResult(result));
            }
        }
    }

    fn call(&self, call: &'a ToolCall) -> ToolUse<'a> {
        let tool_use_id = fitting_id(&call.id, self.sending.capabilities.ids);
        ToolUse {
            tool_use_id,
            name: self.sending.names.sent(&call.name),
            input: call.object_raw(),
        }
    }

    fn result(&mut self, result: &'a ToolResult) -> ToolResultPart<'a> {
        let mut content = Vec::new();
        for block in &result.blocks {
            self.push_block(block, &mut content);
        }
        if content.is_empty() {
            content.push(text(SILENT));
        }
        let tool_use_id = fitting_id(&result.id, self.sending.capabilities.ids);
        ToolResultPart {
            tool_use_id,
            content,
            status: result.is_error.then_some("error"),
        }
    }

    /// A result where no tool is declared: Converse takes calls and results only beside the declarations.
    fn push_told(&mut self, result: &'a ToolResult, parts: &mut Vec<Part<'a>>) {
        let name = result.name.as_deref().unwrap_or("a tool");
        let verb = if result.is_error {
            "failed"
        } else {
            "returned"
        };
        parts.push(Part::Text(format!("[{name} {verb}:]").into()));
        for block in &result.blocks {
            self.push_block(block, parts);
        }
    }

    fn thought(&self, reasoned: &'a ReasoningBlock) -> Option<Thought<'a>> {
        let opaque = reasoned
            .opaque
            .as_ref()
            .filter(|opaque| self.is_own(opaque))?;
        Some(match opaque.kind {
            ProviderStateKind::Signature if reasoned.text.trim().is_empty() => return None,
            ProviderStateKind::Signature => Thought::ReasoningText {
                text: &reasoned.text,
                signature: &opaque.data,
            },
            ProviderStateKind::Redacted => Thought::RedactedContent(&opaque.data),
        })
    }

    /// Only what this model made, in whichever region.
    fn is_own(&self, opaque: &ProviderState) -> bool {
        opaque.origin.as_ref().is_some_and(|origin| {
            origin.dialect == Dialect::Converse.as_str()
                && plain_id(&origin.model) == plain_id(self.sending.model)
        })
    }
}

fn text(text: &str) -> Part<'_> {
    Part::Text(Cow::Borrowed(text))
}

fn name_documents(message: &mut Message<'_>) {
    let has = |is: fn(&Part<'_>) -> bool| message.content.iter().any(is);
    if has(|part| matches!(part, Part::Document(_))) && !has(|part| matches!(part, Part::Text(_))) {
        message.content.push(text(ATTACHED));
    }
}

/// Whether a model with a thinking budget may think: a turn of calls that is still going on must begin with its thoughts.
fn may_think(last: &Message<'_>) -> bool {
    let has_calls = last
        .content
        .iter()
        .any(|part| matches!(part, Part::ToolUse(_)));
    !has_calls || matches!(last.content.first(), Some(Part::ReasoningContent(_)))
}

fn role(turn: &Turn) -> &'static str {
    match turn.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn told_call(call: &ToolCall) -> String {
    format!("[{} called with {}]", call.name, call.object())
}

/// The usual tier needs no word.
fn service_tier(tier: &str) -> Option<ServiceTier<'_>> {
    (!matches!(tier, "auto" | "standard" | "standard_only")).then_some(ServiceTier { kind: tier })
}

fn text_format(format: &Format, maker: Maker) -> Option<TextFormat<'_>> {
    let Format::JsonSchema {
        name,
        description,
        schema,
        ..
    } = format
    else {
        return None;
    };
    let schema = match maker {
        Maker::Claude => Cow::Owned(closed_schema(schema).as_str().to_owned()),
        _ => Cow::Borrowed(schema.as_str()),
    };
    let json_schema = JsonSchema {
        schema,
        name,
        description: description.as_deref(),
    };
    Some(TextFormat {
        kind: "json_schema",
        structure: Structure { json_schema },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::conversation::{
        Capabilities, Effort, Origin, ReasoningStyle, StateSealer, SystemTurns, ToolNames,
    };
    use crate::dialect::hub::{decode_request, words};

    const CLAUDE: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";

    const TAKES: Capabilities = Capabilities {
        tool_choice_none: false,
        parallel_switch: false,
        system_turns: SystemTurns::First,
        reasoning: ReasoningStyle::Budget {
            min: 1_024,
            max: 60_000,
        },
        ..Capabilities::all()
    };

    fn envelope() -> StateSealer {
        StateSealer::new([7; 32])
    }

    /// What a chat request becomes.
    fn sent_as(model: &str, takes: &Capabilities, body: &Value) -> Value {
        let request =
            crate::dialect::read(Dialect::Chat, body.to_string().into()).expect("a request");
        let mut ask = decode_request(&request, &envelope()).expect("an ask");
        ask.fit(takes, words(Dialect::Chat), "b/m").expect("a fit");
        let names = ToolNames::of(&ask, takes.names);
        let sending = EncodeOptions {
            model,
            capabilities: takes,
            names: &names,
            output_cap: None,
            output_max: 1_000,
            output_cap_member: "max_tokens",
            stream_usage_opt_in: false,
        };
        serde_json::from_str(&encode_request(&ask, &sending)).expect("JSON")
    }

    fn sent(messages: Value, more: Value) -> Value {
        let mut body = json!({"model": "m", "messages": messages});
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        sent_as(CLAUDE, &TAKES, &body)
    }

    fn tool(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name, "description": "", "parameters": {"properties": {}}}})
    }

    fn called(ids: &[&str]) -> Value {
        let call = |id: &&str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"x\":1.0}"}});
        json!({"role": "assistant", "content": null, "tool_calls": ids.iter().map(call).collect::<Vec<_>>()})
    }

    fn result(id: &str, text: &str) -> Value {
        json!({"role": "tool", "tool_call_id": id, "content": text})
    }

    #[test]
    fn t01_text_system_sampling_and_stops_have_their_places() {
        let messages = json!([
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "yes?"},
            {"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "go"}]},
        ]);
        let more = json!({"max_tokens": 50, "temperature": 0.5, "top_k": 7, "stop": ["END"], "service_tier": "flex"});
        let expected = json!({
            "messages": [
                {"role": "user", "content": [{"text": "hi"}]},
                {"role": "assistant", "content": [{"text": "yes?"}]},
                {"role": "user", "content": [{"text": "go"}]},
            ],
            "system": [{"text": "be brief"}],
            "inferenceConfig": {"maxTokens": 50, "temperature": 0.5, "stopSequences": ["END"]},
            "additionalModelRequestFields": {"top_k": 7},
            "additionalModelResponseFieldPaths": ["/stop_sequence"],
            "serviceTier": {"type": "flex"},
        });
        assert_eq!(sent(messages, more), expected);
        let least = json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]});
        assert_eq!(
            sent(
                json!([{"role": "user", "content": "hi"}]),
                json!({"service_tier": "auto"})
            ),
            least
        );
    }

    #[test]
    fn a_conversation_begins_with_the_user_and_an_answers_beginning_ends_in_no_space() {
        let messages = json!([{"role": "assistant", "content": "hello"}, {"role": "user", "content": " "}, {"role": "assistant", "content": "I am \n"}]);
        let body = sent(messages, json!({}));
        let expected = json!([
            {"role": "user", "content": [{"text": OPENING}]},
            {"role": "assistant", "content": [{"text": "hello"}, {"text": "I am"}]},
        ]);
        assert_eq!(body["messages"], expected);
    }

    #[test]
    fn u03_results_of_a_turn_are_one_user_message_in_the_order_of_the_calls() {
        let messages = json!([
            {"role": "user", "content": "go"},
            called(&["a", "b", "c"]),
            result("c", "of c"),
            result("a", ""),
            result("b", "of b"),
            {"role": "user", "content": "now"},
        ]);
        let body = sent(messages, json!({"tools": [tool("f")]}));
        let use_of =
            |id: &str| json!({"toolUse": {"toolUseId": id, "name": "f", "input": {"x": 1.0}}});
        let result = |id: &str, text: &str| json!({"toolResult": {"toolUseId": id, "content": [{"text": text}]}});
        assert_eq!(
            body["messages"],
            json!([
                {"role": "user", "content": [{"text": "go"}]},
                {"role": "assistant", "content": [use_of("a"), use_of("b"), use_of("c")]},
                {"role": "user", "content": [result("a", SILENT), result("b", "of b"), result("c", "of c"), {"text": "now"}]},
            ])
        );
        let spec = json!({"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}}});
        assert_eq!(body["toolConfig"], json!({"tools": [spec]}));
    }

    #[test]
    fn u06_where_no_tool_may_be_called_none_is_declared_and_what_was_called_is_told() {
        let messages =
            json!([{"role": "user", "content": "go"}, called(&["a"]), result("a", "done")]);
        let body = sent(
            messages,
            json!({"tools": [tool("f")], "tool_choice": "none"}),
        );
        assert_eq!(body.get("toolConfig"), None);
        assert_eq!(
            body["messages"],
            json!([
                {"role": "user", "content": [{"text": "go"}]},
                {"role": "assistant", "content": [{"text": "[f called with {\"x\":1.0}]"}]},
                {"role": "user", "content": [{"text": "[f returned:]"}, {"text": "done"}]},
            ])
        );
    }

    #[test]
    fn u05_a_tool_can_be_forced() {
        let choice = |choice: Value| {
            let body = sent(
                json!([{"role": "user", "content": "go"}]),
                json!({"tools": [tool("f")], "tool_choice": choice}),
            );
            body["toolConfig"].get("toolChoice").cloned()
        };
        assert_eq!(choice(json!("auto")), None);
        assert_eq!(choice(json!("required")), Some(json!({"any": {}})));
        assert_eq!(
            choice(json!({"type": "function", "function": {"name": "f"}})),
            Some(json!({"tool": {"name": "f"}}))
        );
    }

    #[test]
    fn m02_images_and_documents_go_as_bytes_with_their_format() {
        let part = |part: Value| {
            sent(json!([{"role": "user", "content": [part]}]), json!({}))["messages"][0]["content"]
                [0]
            .clone()
        };
        let image = |url: &str| part(json!({"type": "image_url", "image_url": {"url": url}}));
        assert_eq!(
            image("data:image/webp;base64,UklGRg=="),
            json!({"image": {"format": "webp", "source": {"bytes": "UklGRg=="}}})
        );
        assert_eq!(
            image("data:image/jpg;base64,AA==")["image"]["format"],
            "jpeg"
        );
        let file = |name: &str, data: &str| {
            part(json!({"type": "file", "file": {"filename": name, "file_data": data}}))
        };
        assert_eq!(
            file("Plan_2 (final).pdf", "data:application/pdf;base64,JVBERg=="),
            json!({"document": {"format": "pdf", "name": "Plan 2 (final) pdf", "source": {"bytes": "JVBERg=="}}})
        );
        let alone = json!([{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}}]}]);
        assert_eq!(
            sent(alone, json!({}))["messages"][0]["content"][1],
            json!({"text": ATTACHED})
        );
    }

    #[test]
    fn m05_a_schema_is_a_text_and_closed_for_claude() {
        let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "go"}], "response_format": format});
        let schema = |model: &str| {
            let body = sent_as(model, &TAKES, &body);
            assert_eq!(body["outputConfig"]["textFormat"]["type"], "json_schema");
            let json_schema = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"].clone();
            assert_eq!(json_schema["name"], "n");
            json_schema["schema"].as_str().expect("a text").to_owned()
        };
        assert_eq!(
            schema(CLAUDE),
            r#"{"additionalProperties":false,"type":"object"}"#
        );
        assert_eq!(schema("qwen.qwen3-32b-v1:0"), r#"{"type":"object"}"#);
    }

    #[test]
    fn r01_thinking_is_asked_for_in_the_makers_words() {
        let asked = json!({"model": "m", "messages": [{"role": "user", "content": "go"}], "reasoning_effort": "high", "max_tokens": 2000, "top_k": 3});
        let fields = |model: &str, reasoning| {
            let body = sent_as(model, &Capabilities { reasoning, ..TAKES }, &asked);
            (
                body["additionalModelRequestFields"].clone(),
                body["outputConfig"].clone(),
            )
        };
        let words = ReasoningStyle::Effort(&Effort::ALL);
        let top_k = json!(3);
        assert_eq!(
            fields(CLAUDE, TAKES.reasoning).0,
            json!({"thinking": {"type": "enabled", "budget_tokens": 1999}, "top_k": top_k})
        );
        assert_eq!(
            fields(
                "anthropic.claude-opus-5",
                ReasoningStyle::Adaptive(&Effort::ALL)
            ),
            (
                json!({"thinking": {"type": "adaptive"}, "top_k": top_k}),
                json!({"effort": "high"})
            )
        );
        assert_eq!(
            fields("amazon.nova-2-lite-v1:0", words).0,
            json!({"inferenceConfig": {"topK": top_k}, "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}})
        );
        assert_eq!(
            fields("openai.gpt-oss-20b-1:0", words).0,
            json!({"reasoning_effort": "high"})
        );
        assert_eq!(
            fields("cohere.command-r-v1:0", ReasoningStyle::None).0,
            json!({"k": top_k})
        );
    }

    #[test]
    fn e08_only_the_models_own_thoughts_go_back_and_a_budget_needs_them() {
        let thought = |dialect: Dialect, model: &str, kind| {
            let origin = Origin {
                dialect: dialect.as_str().into(),
                model: model.to_owned(),
            };
            let opaque = ProviderState {
                origin: Some(origin),
                kind,
                data: "c2ln".into(),
            };
            Content::Reasoning(ReasoningBlock {
                text: "hm".into(),
                opaque: Some(opaque),
            })
        };
        let call = || {
            Content::ToolCall(ToolCall {
                id: "a".into(),
                name: "f".into(),
                arguments: String::new(),
                opaque: None,
            })
        };
        let written = |thought: Content| {
            let request = json!({"model": "m", "tools": [tool("f")], "messages": [{"role": "user", "content": "go"}, called(&["a"]), result("a", "r")]});
            let request =
                crate::dialect::read(Dialect::Chat, request.to_string().into()).expect("a request");
            let mut ask = decode_request(&request, &envelope()).expect("an ask");
            ask.turns[1].blocks = vec![thought.into(), call().into()];
            ask.reasoning.budget = Some(2_000);
            let names = ToolNames::default();
            let sending = EncodeOptions {
                model: CLAUDE,
                capabilities: &TAKES,
                names: &names,
                output_cap: None,
                output_max: 1_000,
                output_cap_member: "max_tokens",
                stream_usage_opt_in: false,
            };
            let body: Value = serde_json::from_str(&encode_request(&ask, &sending)).expect("JSON");
            (
                body["messages"][1]["content"][0].clone(),
                body["additionalModelRequestFields"].is_object(),
            )
        };
        let signed =
            json!({"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}});
        let elsewhere = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
        assert_eq!(
            written(thought(
                Dialect::Converse,
                elsewhere,
                ProviderStateKind::Signature
            )),
            (signed, true)
        );
        let redacted = json!({"reasoningContent": {"redactedContent": "c2ln"}});
        assert_eq!(
            written(thought(
                Dialect::Converse,
                CLAUDE,
                ProviderStateKind::Redacted
            )),
            (redacted, true)
        );
        for (dialect, model) in [
            (Dialect::Converse, "anthropic.claude-opus-5"),
            (Dialect::Gemini, CLAUDE),
        ] {
            let (first, thinks) = written(thought(dialect, model, ProviderStateKind::Signature));
            assert!(first.get("toolUse").is_some() && !thinks, "{first}");
        }
    }

    #[test]
    fn e24_cache_marks_stand_behind_what_they_mark_where_the_model_has_them() {
        let hinted = |ttl: &str| json!({"type": "text", "text": "t", "cache_control": {"type": "ephemeral", "ttl": ttl}});
        let mut tool = tool("f");
        tool["cache_control"] = json!({"type": "ephemeral"});
        let body = json!({"model": "m", "tools": [tool], "messages": [
            {"role": "system", "content": [hinted("1h")]}, {"role": "user", "content": [hinted("5m"), {"type": "text", "text": "u"}]}]});
        let sent = sent_as(CLAUDE, &TAKES, &body);
        let (mark, hour) = (
            json!({"cachePoint": {"type": "default"}}),
            json!({"cachePoint": {"type": "default", "ttl": "1h"}}),
        );
        assert_eq!(sent["system"], json!([{"text": "t"}, hour]));
        assert_eq!(
            sent["messages"][0]["content"],
            json!([{"text": "t"}, mark, {"text": "u"}])
        );
        assert_eq!(sent["toolConfig"]["tools"][1], mark);
        let nova = sent_as("amazon.nova-pro-v1:0", &TAKES, &body);
        assert_eq!(
            (
                nova["toolConfig"]["tools"].as_array().map(Vec::len),
                &nova["system"][1]
            ),
            (Some(1), &hour)
        );
        let none = sent_as(
            CLAUDE,
            &Capabilities {
                cache_hints: false,
                ..TAKES
            },
            &body,
        );
        assert!(!none.to_string().contains("cachePoint"), "{none}");
    }
}
