//! Vendors that are only reached by a dialect of their own: Gemini, Cohere and Ollama's `/api/chat`. What each of them is sent by
//! clients of both dialects, and that recordings of what they answer reach both as their own, and cost the same however the
//! network cuts them.

use serde_json::{Value, json};

use super::fixture::{
    BOTH, Chat, Dialect, Fixture, Messages, assert_error, assert_refusal, assert_refusal_at,
};
use super::parsed_response::{ParsedResponse, send_and_parse, stop_reason, tool_call_reason};
use crate::harness::client::BodyEnd;
use crate::harness::golden;
use crate::harness::process::{Provider, UPSTREAM_KEY};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

/// A vendor: its preset, a model, how its streams are recorded.
#[derive(Clone, Copy, Debug)]
struct Vendor {
    preset: &'static str,
    folder: &'static str,
    model: &'static str,
    ending: &'static str,
    content_type: &'static str,
}

const SSE: &str = "text/event-stream";
const GEMINI: Vendor = Vendor {
    preset: "gemini",
    folder: "gemini",
    model: "gemini-3.8-flash",
    ending: "sse",
    content_type: SSE,
};
const COHERE: Vendor = Vendor {
    preset: "cohere",
    folder: "cohere",
    model: "command-a-plus-05-2026",
    ending: "sse",
    content_type: SSE,
};
const OLLAMA: Vendor = Vendor {
    preset: "ollama_native",
    folder: "ollama",
    model: "qwen3:8b",
    ending: "ndjson",
    content_type: "application/x-ndjson",
};
const ALL: [Vendor; 3] = [GEMINI, COHERE, OLLAMA];

impl Vendor {
    /// A gateway in front of one account, as provider `v`, at 1 and 5 dollars per million tokens.
    fn fixture(self) -> Fixture {
        self.house_of(&[self.model])
    }

    fn house_of(self, models: &[&str]) -> Fixture {
        let upstream = Upstream::start();
        let provider = Provider::openai("v", &upstream)
            .preset(self.preset)
            .models(models)
            .base_url(&upstream.url());
        Fixture::with_upstream(upstream, |setup| setup.provider(&provider))
    }

    fn recording(self, name: &str, streamed: bool) -> String {
        golden(&format!(
            "{}/{name}.{}",
            self.folder,
            if streamed { self.ending } else { "json" }
        ))
    }

    fn stream<T: AsRef<[u8]>>(self, pieces: impl IntoIterator<Item = T>) -> Script {
        Script::stream(pieces).header("content-type", self.content_type)
    }

    /// A recording, once.
    fn script(self, name: &str, streamed: bool) -> Script {
        let recording = self.recording(name, streamed);
        if streamed {
            self.stream([&recording])
        } else {
            Script::unary(200, &recording)
        }
    }

    /// A recorded stream in every way in which a network can deliver it.
    fn deliveries(self, name: &str) -> Vec<Script> {
        let recording = self.recording(name, true);
        let mut scripts = Vec::new();
        for line_end in ["\n", "\r\n"] {
            let recording = recording.replace('\n', line_end);
            let within_a_letter = recording.find('🦀').expect("a letter of four bytes") + 2;
            let (head, tail) = recording.as_bytes().split_at(within_a_letter);
            scripts.push(self.stream([&recording]));
            scripts.push(self.stream([&recording]).one_byte_per_write());
            scripts.push(self.stream(recording.bytes().map(|byte| [byte])));
            scripts.push(self.stream([head, tail]).pause_ms_between(20));
        }
        scripts
    }

    /// A small good request with more members.
    fn request_body(self, dialect: Dialect, more: Value) -> Value {
        let mut body =
            json!({"model": self.model, "messages": [{"role": "user", "content": "say it"}]});
        if dialect == Messages {
            body["max_tokens"] = json!(500);
        }
        for (name, value) in more.as_object().expect("members") {
            body[name] = value.clone();
        }
        body
    }

    /// Sends a request, checks that it was served, and returns what the vendor was sent and the members that were named.
    #[track_caller]
    fn sent(self, fixture: &Fixture, dialect: Dialect, body: &Value) -> (Value, Option<String>) {
        fixture.upstream.respond_with(self.script("text", false));
        let response = fixture.user().post(dialect.path(), body);
        response.assert_status(200);
        fixture.assert_recorded().assert_ended("ok", &[]);
        (
            fixture.upstream.last_request().json(),
            response
                .header("x-gatekeeper-dropped-params")
                .map(str::to_owned),
        )
    }
}

fn tool() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "number"}}, "required": ["city"]})
}

/// The one tool, as the dialect declares it.
fn tools(dialect: Dialect) -> Value {
    match dialect {
        Chat => {
            json!([{"type": "function", "function": {"name": "weather", "description": "d", "parameters": tool()}}])
        }
        Messages => json!([{"name": "weather", "description": "d", "input_schema": tool()}]),
    }
}

/// A conversation that goes on after two calls: their results, the second first, of which one failed.
fn after_calls(vendor: Vendor, dialect: Dialect, calls: &ParsedResponse) -> Value {
    let (first, second) = (&calls.calls[0], &calls.calls[1]);
    let user = json!({"role": "user", "content": "say it"});
    let messages = match dialect {
        Chat => {
            let call = |call: &super::parsed_response::Call| json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}});
            let result =
                |id: &str, text: &str| json!({"role": "tool", "tool_call_id": id, "content": text});
            let assistant = json!({"role": "assistant", "content": null, "tool_calls": [call(first), call(second)]});
            json!([
                user,
                assistant,
                result(&second.id, "rain"),
                result(&first.id, "sun")
            ])
        }
        Messages => {
            let call = |call: &super::parsed_response::Call| json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.json()});
            let result = |id: &str, text: &str| json!({"type": "tool_result", "tool_use_id": id, "content": text});
            let mut failed = result(&second.id, "rain");
            failed["is_error"] = json!(true);
            let results = json!({"role": "user", "content": [failed, result(&first.id, "sun")]});
            json!([user, {"role": "assistant", "content": [call(first), call(second)]}, results])
        }
    };
    vendor.request_body(
        dialect,
        json!({"messages": messages, "tools": tools(dialect)}),
    )
}

/// A recording of text, to clients of one dialect, whole and in every delivery of its stream: the same each time.
fn speaks(vendor: Vendor, dialect: Dialect, tokens: (u64, u64, u64), thoughts: &str) {
    let fixture = vendor.fixture();
    let expected = ParsedResponse {
        thoughts: thoughts.into(),
        text: "Hello 日本 🦀".into(),
        calls: vec![],
        end: stop_reason(dialect).into(),
        tokens,
    };
    let whole = [
        vendor.script("text", false),
        vendor.script("text", false).chunked().one_byte_per_write(),
    ];
    let streamed = vendor.deliveries("text");
    let body = vendor.request_body(dialect, json!({}));
    for (script, is_stream) in whole
        .into_iter()
        .map(|script| (script, false))
        .chain(streamed.into_iter().map(|s| (s, true)))
    {
        assert_eq!(
            send_and_parse(&fixture, dialect, body.clone(), is_stream, script),
            expected
        );
        let row = fixture.assert_recorded();
        // at one rate for all input, what a cache served costs as much as the rest
        row.assert_ended("ok", &[]).assert_usage(tokens.0, tokens.2);
        assert_eq!(
            row.0["usage"]["cached_tokens"].as_u64().unwrap_or(0),
            tokens.1,
            "{}",
            row.0
        );
    }
}

const GEMINI_THOUGHT: &str = "**Greeting**\n\nThe user wants a greeting.";
const OTHER_THOUGHT: &str = "A greeting is due.";

#[test]
fn t01_chat_client_on_gemini_gets_text_and_usage() {
    speaks(GEMINI, Chat, (14, 4, 25), GEMINI_THOUGHT);
}

#[test]
fn t01_chat_client_on_cohere_gets_text_and_usage() {
    speaks(COHERE, Chat, (10, 0, 25), OTHER_THOUGHT);
}

#[test]
fn t01_chat_client_on_native_ollama_gets_text_and_usage() {
    speaks(OLLAMA, Chat, (14, 0, 30), OTHER_THOUGHT);
}

#[test]
fn t02_messages_client_on_gemini_gets_text_and_usage() {
    speaks(GEMINI, Messages, (14, 4, 25), GEMINI_THOUGHT);
}

#[test]
fn t02_messages_client_on_cohere_gets_text_and_usage() {
    speaks(COHERE, Messages, (10, 0, 25), OTHER_THOUGHT);
}

#[test]
fn t02_messages_client_on_native_ollama_gets_text_and_usage() {
    speaks(OLLAMA, Messages, (14, 0, 30), OTHER_THOUGHT);
}

/// Two calls in one answer, to both dialects, whole and streamed; returns what the last client was parsed.
fn calls(
    vendor: Vendor,
    fixture: &Fixture,
    dialect: Dialect,
    tokens: (u64, u64, u64),
) -> ParsedResponse {
    let body = vendor.request_body(dialect, json!({"tools": tools(dialect)}));
    let mut request = Vec::new();
    for streamed in [false, true] {
        let scripts = if streamed {
            vendor.deliveries("tool")
        } else {
            vec![vendor.script("tool", false)]
        };
        for script in scripts {
            let parsed = send_and_parse(fixture, dialect, body.clone(), streamed, script);
            assert_eq!(
                (parsed.text.as_str(), parsed.end.as_str(), parsed.tokens),
                ("", tool_call_reason(dialect), tokens)
            );
            let arguments: Vec<Value> = parsed
                .calls
                .iter()
                .map(super::parsed_response::Call::json)
                .collect();
            assert_eq!(
                arguments,
                [
                    json!({"city": "Zürich 🦀", "days": 2}),
                    json!({"city": "Bern", "days": 1.0})
                ]
            );
            assert!(
                parsed
                    .calls
                    .iter()
                    .all(|call| call.name == "weather" && !call.id.is_empty()),
                "{parsed:?}"
            );
            assert_ne!(parsed.calls[0].id, parsed.calls[1].id);
            fixture
                .assert_recorded()
                .assert_ended("ok", &[])
                .assert_usage(tokens.0, tokens.2);
            request.push(parsed);
        }
    }
    request.pop().expect("a response")
}

#[test]
fn u02_gemini_tool_calls_get_ids_and_results_map_to_names() {
    for dialect in BOTH {
        let fixture = GEMINI.fixture();
        let parsed = calls(GEMINI, &fixture, dialect, (40, 0, 64));
        let (body, _) = GEMINI.sent(&fixture, dialect, &after_calls(GEMINI, dialect, &parsed));
        let contents = body["contents"].as_array().expect("contents");
        let roles: Vec<&Value> = contents.iter().map(|content| &content["role"]).collect();
        assert_eq!(roles, [&json!("user"), &json!("model"), &json!("user")]);
        let [first, second] = [&parsed.calls[0], &parsed.calls[1]];
        let call = |part: &Value| part["functionCall"].clone();
        assert_eq!(
            call(&contents[1]["parts"][0]),
            json!({"id": first.id, "name": "weather", "args": first.json()})
        );
        assert_eq!(
            call(&contents[1]["parts"][1]),
            json!({"id": second.id, "name": "weather", "args": second.json()})
        );
        let signature = contents[1]["parts"][0]["thoughtSignature"].as_str();
        assert!(
            signature.is_some_and(|signature| !signature.is_empty()),
            "the first call of a turn is signed: {body}"
        );
        assert_eq!(
            contents[1]["parts"][1].get("thoughtSignature"),
            None,
            "and only the first"
        );
        let failed = if dialect == Chat { "output" } else { "error" };
        let results = json!([
            {"functionResponse": {"id": first.id, "name": "weather", "response": {"output": "sun"}}},
            {"functionResponse": {"id": second.id, "name": "weather", "response": {failed: "rain"}}},
        ]);
        assert_eq!(contents[2]["parts"], results);
    }
}

#[test]
fn u07_ollama_tool_arguments_are_objects_in_both_directions() {
    for dialect in BOTH {
        let fixture = OLLAMA.fixture();
        let parsed = calls(OLLAMA, &fixture, dialect, (169, 0, 41));
        let (body, _) = OLLAMA.sent(&fixture, dialect, &after_calls(OLLAMA, dialect, &parsed));
        let messages = &body["messages"];
        let function = |call: &super::parsed_response::Call| json!({"function": {"name": "weather", "arguments": call.json()}});
        assert_eq!(
            messages[1]["tool_calls"],
            json!([function(&parsed.calls[0]), function(&parsed.calls[1])])
        );
        let failed = if dialect == Chat {
            "rain"
        } else {
            "Error: rain"
        };
        assert_eq!(
            messages[2],
            json!({"role": "tool", "tool_name": "weather", "content": "sun"})
        );
        assert_eq!(
            messages[3],
            json!({"role": "tool", "tool_name": "weather", "content": failed})
        );
        assert_eq!(
            body["stream"],
            json!(false),
            "it streams unless it is told not to"
        );
        assert_eq!(body["tools"][0]["function"]["parameters"], tool());
    }
}

#[test]
fn u08_cohere_tool_plan_round_trips_as_reasoning() {
    for dialect in BOTH {
        let fixture = COHERE.fixture();
        let parsed = calls(COHERE, &fixture, dialect, (31, 0, 40));
        assert_eq!(
            parsed.thoughts,
            "I will look up the weather in Zürich and in Bern."
        );
        assert_eq!(
            parsed.calls[0].id, "weather_5q3v0k8ywx2h",
            "the vendor's own id"
        );
        let mut body = after_calls(COHERE, dialect, &parsed);
        if dialect == Chat {
            body["messages"][1]["content"] = json!("Looking it up.");
        }
        let (body, _) = COHERE.sent(&fixture, dialect, &body);
        let messages = &body["messages"];
        let call = |call: &super::parsed_response::Call| json!({"id": call.id, "type": "function", "function": {"name": "weather", "arguments": call.arguments}});
        assert_eq!(
            messages[1]["tool_calls"],
            json!([call(&parsed.calls[0]), call(&parsed.calls[1])])
        );
        assert_eq!(
            messages[1].get("tool_plan"),
            (dialect == Chat).then_some(&json!("Looking it up."))
        );
        assert_eq!(messages[1].get("content"), None);
        let failed = if dialect == Chat {
            "rain"
        } else {
            "Error: rain"
        };
        assert_eq!(
            messages[2],
            json!({"role": "tool", "tool_call_id": parsed.calls[0].id, "content": "sun"})
        );
        assert_eq!(
            messages[3],
            json!({"role": "tool", "tool_call_id": parsed.calls[1].id, "content": failed})
        );
    }
}

#[test]
fn u10_gemini_tool_schema_is_complete_without_dialect_uri() {
    let fixture = GEMINI.fixture();
    let schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
        "$defs": {"place": {"type": "string", "minLength": 1}},
        "properties": {"city": {"$ref": "#/$defs/place"}, "days": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
        "required": ["city"], "additionalProperties": false});
    let mut kept = schema.clone();
    kept.as_object_mut().expect("an object").remove("$schema");
    for dialect in BOTH {
        let mut tools = tools(dialect);
        match dialect {
            Chat => tools[0]["function"]["parameters"] = schema.clone(),
            Messages => tools[0]["input_schema"] = schema.clone(),
        }
        let (body, named) = GEMINI.sent(
            &fixture,
            dialect,
            &GEMINI.request_body(dialect, json!({"tools": tools})),
        );
        let declared = &body["tools"][0]["functionDeclarations"][0];
        assert_eq!(declared["parametersJsonSchema"], kept);
        assert_eq!((declared.get("parameters"), named), (None, None));
    }
}

#[test]
fn tool_choice_is_encoded_per_vendor() {
    let two = || {
        let mut tools = tools(Chat);
        let mut other = tools[0].clone();
        other["function"]["name"] = json!("other");
        tools.as_array_mut().expect("tools").push(other);
        tools
    };
    let choices = [
        json!("none"),
        json!("required"),
        json!({"type": "function", "function": {"name": "other"}}),
    ];
    let fixture = GEMINI.fixture();
    for (choice, config) in choices.iter().zip([
        json!({"mode": "NONE"}),
        json!({"mode": "ANY"}),
        json!({"mode": "ANY", "allowedFunctionNames": ["other"]}),
    ]) {
        let (body, _) = GEMINI.sent(
            &fixture,
            Chat,
            &GEMINI.request_body(Chat, json!({"tools": two(), "tool_choice": choice})),
        );
        assert_eq!(body["toolConfig"]["functionCallingConfig"], config);
    }
    let fixture = COHERE.fixture();
    for (choice, (word, offered)) in
        choices
            .iter()
            .zip([("NONE", 2), ("REQUIRED", 2), ("REQUIRED", 1)])
    {
        let (body, _) = COHERE.sent(
            &fixture,
            Chat,
            &COHERE.request_body(Chat, json!({"tools": two(), "tool_choice": choice})),
        );
        assert_eq!(
            (&body["tool_choice"], body["tools"].as_array().map(Vec::len)),
            (&json!(word), Some(offered))
        );
    }
    let fixture = OLLAMA.fixture();
    for (choice, (offered, dropped)) in choices.iter().zip([
        (None, None),
        (Some(2), Some("tool_choice")),
        (Some(2), Some("tool_choice")),
    ]) {
        let (body, named) = OLLAMA.sent(
            &fixture,
            Chat,
            &OLLAMA.request_body(Chat, json!({"tools": two(), "tool_choice": choice})),
        );
        assert_eq!(
            (body["tools"].as_array().map(Vec::len), named.as_deref()),
            (offered, dropped)
        );
    }
}

#[test]
fn r05_gemini_reasoning_options_follow_model_generation() {
    let thinking = |budget: u64| json!({"thinking": {"type": "enabled", "budget_tokens": budget}, "max_tokens": 9_000});
    let fixture = GEMINI.house_of(&["gemini-3.8-flash", "gemini-2.5-flash", "gemini-2.0-flash"]);
    let asks = |model: &'static str, dialect: Dialect, more: Value| {
        let (body, named) = GEMINI.sent(
            &fixture,
            dialect,
            &Vendor { model, ..GEMINI }.request_body(dialect, more),
        );
        (
            body["generationConfig"].get("thinkingConfig").cloned(),
            named,
        )
    };
    let config = |level: &str| {
        (
            Some(json!({"thinkingLevel": level, "includeThoughts": true})),
            None,
        )
    };
    assert_eq!(
        asks("gemini-3.8-flash", Messages, thinking(8_192)),
        config("MEDIUM")
    );
    assert_eq!(
        asks(
            "gemini-3.8-flash",
            Chat,
            json!({"reasoning_effort": "xhigh"})
        ),
        config("HIGH")
    );
    let config = |budget: u64| {
        (
            Some(json!({"thinkingBudget": budget, "includeThoughts": true})),
            None,
        )
    };
    assert_eq!(
        asks("gemini-2.5-flash", Messages, thinking(2_000)),
        config(2_000)
    );
    assert_eq!(
        asks(
            "gemini-2.5-flash",
            Chat,
            json!({"reasoning_effort": "high"})
        ),
        config(16_384)
    );
    let off = (Some(json!({"thinkingBudget": 0})), None);
    assert_eq!(
        asks(
            "gemini-2.5-flash",
            Chat,
            json!({"reasoning_effort": "none"})
        ),
        off
    );
    assert_eq!(asks("gemini-2.5-flash", Chat, json!({})), (None, None));
    let dropped = Some("reasoning_effort".to_owned());
    assert_eq!(
        asks(
            "gemini-2.0-flash",
            Chat,
            json!({"reasoning_effort": "high"})
        ),
        (None, dropped)
    );
}

#[test]
fn r05_cohere_and_ollama_reasoning_can_be_set_and_disabled() {
    let fixture = COHERE.fixture();
    for (effort, thinking) in [
        ("none", json!({"type": "disabled"})),
        ("low", json!({"type": "enabled", "token_budget": 2_048})),
    ] {
        let (body, _) = COHERE.sent(
            &fixture,
            Chat,
            &COHERE.request_body(Chat, json!({"reasoning_effort": effort})),
        );
        assert_eq!(body["thinking"], thinking);
    }
    let fixture = OLLAMA.house_of(&["qwen3:8b", "gpt-oss:20b", "llama3.2"]);
    for (model, effort, think, dropped) in [
        ("qwen3:8b", "none", Some(json!(false)), None),
        ("qwen3:8b", "low", Some(json!(true)), None),
        ("gpt-oss:20b", "low", Some(json!("low")), None),
        ("llama3.2", "low", None, Some("reasoning_effort")),
    ] {
        let body =
            Vendor { model, ..OLLAMA }.request_body(Chat, json!({"reasoning_effort": effort}));
        let (body, named) = OLLAMA.sent(&fixture, Chat, &body);
        assert_eq!(
            (body.get("think"), named.as_deref()),
            (think.as_ref(), dropped),
            "{model} {effort}"
        );
    }
}

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A request with an image, by its bytes or by a URL.
fn with_image(vendor: Vendor, dialect: Dialect, url: Option<&str>) -> Value {
    let image = match (dialect, url) {
        (Chat, url) => {
            let url = url.map_or_else(|| format!("data:image/png;base64,{PNG}"), str::to_owned);
            json!({"type": "image_url", "image_url": {"url": url}})
        }
        (Messages, Some(url)) => json!({"type": "image", "source": {"type": "url", "url": url}}),
        (Messages, None) => {
            json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}})
        }
    };
    vendor.request_body(dialect, json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, image]}]}))
}

#[test]
fn m01_inline_image_is_encoded_per_vendor() {
    for dialect in BOTH {
        let (body, _) = GEMINI.sent(
            &GEMINI.fixture(),
            dialect,
            &with_image(GEMINI, dialect, None),
        );
        let image = json!({"inlineData": {"mimeType": "image/png", "data": PNG}});
        assert_eq!(
            body["contents"],
            json!([{"role": "user", "parts": [{"text": "look"}, image]}])
        );
        let (body, _) = COHERE.sent(
            &COHERE.fixture(),
            dialect,
            &with_image(COHERE, dialect, None),
        );
        let image = json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}});
        assert_eq!(
            body["messages"],
            json!([{"role": "user", "content": [{"type": "text", "text": "look"}, image]}])
        );
        let (body, _) = OLLAMA.sent(
            &OLLAMA.fixture(),
            dialect,
            &with_image(OLLAMA, dialect, None),
        );
        assert_eq!(
            body["messages"],
            json!([{"role": "user", "content": "look", "images": [PNG]}])
        );
    }
}

#[test]
fn m03_image_url_without_fetching_is_refused() {
    for vendor in [GEMINI, OLLAMA] {
        for dialect in BOTH {
            let fixture = vendor.fixture();
            let body = with_image(vendor, dialect, Some("https://example.com/a.png"));
            let response = fixture.user().post(dialect.path(), &body);
            let message =
                assert_refusal_at(dialect, &response, 400, "invalid_request_error", "messages");
            assert!(
                message.contains(vendor.model) && message.contains("base64"),
                "{message}"
            );
            fixture.assert_no_call();
        }
    }
}

#[test]
fn m04_pdf_is_sent_to_gemini_and_refused_elsewhere() {
    let pdf = json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"}});
    let asks = |vendor: Vendor| {
        vendor.request_body(
            Messages,
            json!({"messages": [{"role": "user", "content": [pdf.clone()]}]}),
        )
    };
    let (body, _) = GEMINI.sent(&GEMINI.fixture(), Messages, &asks(GEMINI));
    let part = json!({"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0xLjQK"}});
    assert_eq!(body["contents"][0]["parts"], json!([part]));
    for vendor in [COHERE, OLLAMA] {
        let fixture = vendor.fixture();
        let response = fixture.user().post(Messages.path(), &asks(vendor));
        let message = assert_refusal(Messages, &response, 400, "invalid_request_error");
        assert!(message.contains("documents"), "{message}");
        fixture.assert_no_call();
    }
}

#[test]
fn m05_response_schema_is_encoded_per_vendor() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}});
    let asks = |vendor: Vendor, format: &Value| {
        let (body, named) = vendor.sent(
            &vendor.fixture(),
            Chat,
            &vendor.request_body(Chat, json!({"response_format": format})),
        );
        assert_eq!(named, None);
        body
    };
    let config = asks(GEMINI, &format)["generationConfig"].clone();
    assert_eq!(
        (&config["responseMimeType"], &config["responseJsonSchema"]),
        (&json!("application/json"), &schema)
    );
    assert_eq!(
        asks(COHERE, &format)["response_format"],
        json!({"type": "json_object", "json_schema": schema})
    );
    assert_eq!(asks(OLLAMA, &format)["format"], schema);
    let object = json!({"type": "json_object"});
    assert_eq!(
        asks(GEMINI, &object)["generationConfig"]["responseMimeType"],
        json!("application/json")
    );
    assert_eq!(asks(COHERE, &object)["response_format"], object);
    assert_eq!(asks(OLLAMA, &object)["format"], json!("json"));
}

#[test]
fn sampling_options_are_encoded_per_vendor() {
    let more = json!({"temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["a", "b"], "max_completion_tokens": 50,
        "user": "u", "presence_penalty": 0.1, "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "say it"}]});
    let (body, named) = GEMINI.sent(
        &GEMINI.fixture(),
        Chat,
        &GEMINI.request_body(Chat, more.clone()),
    );
    assert_eq!(
        body["systemInstruction"],
        json!({"parts": [{"text": "be brief"}]})
    );
    assert_eq!(
        body["generationConfig"],
        json!({"maxOutputTokens": 50, "temperature": 0.5, "topP": 0.9, "seed": 7, "stopSequences": ["a", "b"]})
    );
    assert_eq!(named.as_deref(), Some("presence_penalty, user"));
    let (body, named) = COHERE.sent(
        &COHERE.fixture(),
        Chat,
        &COHERE.request_body(Chat, more.clone()),
    );
    let expected = json!({"model": COHERE.model, "stream": false, "max_tokens": 50, "temperature": 0.5, "p": 0.9, "seed": 7,
        "stop_sequences": ["a", "b"], "presence_penalty": 0.1,
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "say it"}]});
    assert_eq!((body, named.as_deref()), (expected, Some("user")));
    let (body, named) = OLLAMA.sent(&OLLAMA.fixture(), Chat, &OLLAMA.request_body(Chat, more));
    let options = json!({"num_predict": 50, "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["a", "b"], "presence_penalty": 0.1});
    assert_eq!(
        (&body["options"], named.as_deref()),
        (&options, Some("user"))
    );
}

#[test]
fn vendor_path_and_credential_header_are_its_own() {
    for (vendor, whole, streamed, header, value) in [
        (
            GEMINI,
            "/models/gemini-3.8-flash:generateContent",
            "/models/gemini-3.8-flash:streamGenerateContent?alt=sse",
            "x-goog-api-key",
            UPSTREAM_KEY.to_owned(),
        ),
        (
            COHERE,
            "/v2/chat",
            "/v2/chat",
            "authorization",
            format!("Bearer {UPSTREAM_KEY}"),
        ),
        (
            OLLAMA,
            "/api/chat",
            "/api/chat",
            "authorization",
            format!("Bearer {UPSTREAM_KEY}"),
        ),
    ] {
        let fixture = vendor.fixture();
        for (is_stream, target) in [(false, whole), (true, streamed)] {
            send_and_parse(
                &fixture,
                Chat,
                vendor.request_body(Chat, json!({})),
                is_stream,
                vendor.script("text", is_stream),
            );
            fixture.assert_recorded().assert_ended("ok", &[]);
            let request = fixture.upstream.last_request();
            assert_eq!(
                (request.target(), request.header(header)),
                (target, Some(value.as_str()))
            );
            assert!(header == "authorization" || request.header("authorization").is_none());
        }
    }
}

#[test]
fn e31_multiple_choices_unsupported_are_refused() {
    for vendor in ALL {
        let fixture = vendor.fixture();
        let response = fixture
            .user()
            .post(Chat.path(), &vendor.request_body(Chat, json!({"n": 3})));
        assert_refusal_at(Chat, &response, 400, "invalid_request_error", "n");
        fixture.assert_no_call();
    }
}

#[test]
fn e32_stop_sequences_over_vendor_limit_are_refused() {
    for vendor in [GEMINI, COHERE] {
        let fixture = vendor.fixture();
        let body = vendor.request_body(
            Messages,
            json!({"stop_sequences": ["a", "b", "c", "d", "e", "f"]}),
        );
        let message = assert_refusal(
            Messages,
            &fixture.user().post(Messages.path(), &body),
            400,
            "invalid_request_error",
        );
        assert!(message.contains("at most 5"), "{message}");
        fixture.assert_no_call();
    }
}

#[test]
fn c04_cohere_billed_units_are_charged() {
    // the recording says that the model saw 74 and wrote 28
    let fixture = COHERE.fixture();
    for streamed in [false, true] {
        send_and_parse(
            &fixture,
            Chat,
            COHERE.request_body(Chat, json!({})),
            streamed,
            COHERE.script("text", streamed),
        );
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 25);
    }
}

#[test]
fn c07_gemini_serving_tier_sets_price() {
    let fixture = {
        let upstream = Upstream::start();
        let provider = Provider::openai("v", &upstream)
            .preset("gemini")
            .models(&["gemini-3.8-flash"]);
        let provider = provider.base_url(&upstream.url()).priced_by("sheet");
        Fixture::with_upstream(upstream, |setup| setup.provider(&provider))
    };
    let mut costs = Vec::new();
    for (asked, served) in [
        ("flex", Some("flex")),
        ("flex", Some("standard")),
        ("flex", None),
        ("priority", Some("priority")),
    ] {
        let script = GEMINI.script("text", false);
        fixture
            .upstream
            .respond_with(served.into_iter().fold(script, |script, tier| {
                script.header("x-gemini-service-tier", tier)
            }));
        fixture
            .user()
            .post(
                Chat.path(),
                &GEMINI.request_body(Chat, json!({"service_tier": asked})),
            )
            .assert_status(200);
        assert_eq!(
            fixture.upstream.last_request().json()["serviceTier"],
            json!(asked)
        );
        costs.push(fixture.assert_recorded().assert_ended("ok", &[]).cost());
    }
    assert!(
        costs[0] < costs[1] && costs[1] == costs[2] && costs[2] < costs[3],
        "{costs:?}"
    );
}

#[test]
fn c05_ollama_missing_counts_are_estimated() {
    for dialect in BOTH {
        let fixture = OLLAMA.fixture();
        let parsed = send_and_parse(
            &fixture,
            dialect,
            OLLAMA.request_body(dialect, json!({})),
            true,
            OLLAMA.script("unmetered", true),
        );
        assert_eq!(parsed.text, "Hello 日本 🦀");
        let row = fixture.assert_recorded();
        row.assert_ended("ok", &["estimated"]);
        assert!(
            row.input() > 0 && row.output() > 0 && row.cost() > 0,
            "{}",
            row.0
        );
    }
}

#[test]
fn x02_gemini_retry_delay_becomes_retry_after() {
    for (dialect, word) in [
        (Chat, "rate_limit_exceeded"),
        (Messages, "rate_limit_exceeded"),
    ] {
        let fixture = GEMINI.fixture();
        fixture
            .upstream
            .respond_with(Script::unary(429, golden("gemini/limit.json")));
        let response = fixture
            .user()
            .post(dialect.path(), &GEMINI.request_body(dialect, json!({})));
        let message = assert_refusal(dialect, &response, 429, word);
        assert!(
            message.starts_with("You exceeded your current quota"),
            "{message}"
        );
        assert_eq!(response.header("retry-after"), Some("7"));
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[]);
    }
}

#[test]
fn x07_ollama_error_line_is_in_band_error() {
    for dialect in BOTH {
        let fixture = OLLAMA.fixture();
        let recording = OLLAMA.recording("failed", true);
        fixture.upstream.respond_with(
            OLLAMA
                .stream(recording.split_inclusive('\n'))
                .pause_ms_between(50),
        );
        let stream = fixture.user().open_stream(
            dialect.path(),
            &OLLAMA.request_body(dialect, json!({"stream": true})),
        );
        let (events, end) = stream.read_events();
        assert_eq!(end, BodyEnd::Clean);
        assert_eq!(
            events
                .iter()
                .filter_map(|event| event.delta())
                .collect::<String>(),
            "Hello "
        );
        let last = events.last().expect("events");
        assert_error(dialect, &last.json(), "upstream_error");
        assert!(
            last.json()["error"]["message"]
                .as_str()
                .is_some_and(|text| text.contains("unexpected EOF")),
            "{last:?}"
        );
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"]);
    }
}

#[test]
fn failed_vendor_response_is_in_band_error() {
    for (vendor, recording, word) in [
        (GEMINI, "malformed", "MALFORMED_FUNCTION_CALL"),
        (COHERE, "failed", "the model crashed"),
    ] {
        let fixture = vendor.fixture();
        let recording = vendor.recording(recording, true);
        fixture.upstream.respond_with(
            vendor
                .stream(recording.split_inclusive("\n\n"))
                .pause_ms_between(20),
        );
        let (events, _) = fixture
            .user()
            .open_stream(
                Messages.path(),
                &vendor.request_body(Messages, json!({"stream": true})),
            )
            .read_events();
        let last = events.last().expect("events");
        assert_error(Messages, &last.json(), "upstream_error");
        assert!(
            last.json()["error"]["message"]
                .as_str()
                .is_some_and(|text| text.contains(word)),
            "{last:?}"
        );
        fixture.assert_recorded();
    }
}

#[test]
fn vendor_stream_without_end_is_truncated() {
    for vendor in ALL {
        for dialect in BOTH {
            let fixture = vendor.fixture();
            let recording = vendor.recording("text", true);
            let pieces: Vec<&str> = recording
                .split_inclusive(if vendor.ending == "sse" { "\n\n" } else { "\n" })
                .collect();
            fixture
                .upstream
                .respond_with(vendor.stream(&pieces[..pieces.len() - 1]));
            let (events, _) = fixture
                .user()
                .open_stream(
                    dialect.path(),
                    &vendor.request_body(dialect, json!({"stream": true})),
                )
                .read_events();
            let last = events.last().expect("events");
            assert_error(dialect, &last.json(), "upstream_error");
            assert!(
                events.iter().all(|event| !dialect.is_terminal(event)),
                "{events:?}"
            );
            let row = fixture.assert_recorded();
            assert_eq!(row.0["status"], json!("truncated"), "{}", row.0);
            assert!(row.cost() > 0, "{}", row.0);
        }
    }
}

#[test]
fn gemini_blocked_prompt_is_content_filter() {
    for (dialect, end) in [(Chat, "content_filter"), (Messages, "refusal")] {
        let fixture = GEMINI.fixture();
        for streamed in [false, true] {
            let parsed = send_and_parse(
                &fixture,
                dialect,
                GEMINI.request_body(dialect, json!({})),
                streamed,
                GEMINI.script("blocked", streamed),
            );
            assert_eq!(
                parsed,
                ParsedResponse {
                    end: end.into(),
                    tokens: (9, 0, 0),
                    ..ParsedResponse::default()
                }
            );
            fixture
                .assert_recorded()
                .assert_ended("ok", &[])
                .assert_usage(9, 0);
        }
    }
}

#[test]
fn ollama_output_cap_reached_reports_length() {
    let fixture = OLLAMA.fixture();
    for (dialect, end) in [(Chat, "length"), (Messages, "max_tokens")] {
        let parsed = send_and_parse(
            &fixture,
            dialect,
            OLLAMA.request_body(dialect, json!({})),
            false,
            OLLAMA.script("length", false),
        );
        assert_eq!(parsed.end, end);
        fixture.assert_recorded().assert_ended("ok", &[]);
    }
}

#[test]
fn x13_vendor_rejected_credential_returns_502() {
    for (vendor, status, body) in [
        (GEMINI, 400, "gemini/key.json"),
        (COHERE, 401, "cohere/key.json"),
        (COHERE, 498, "cohere/key.json"),
    ] {
        for dialect in BOTH {
            let fixture = vendor.fixture();
            fixture
                .upstream
                .respond_with(Script::unary(status, golden(body)));
            let response = fixture
                .user()
                .post(dialect.path(), &vendor.request_body(dialect, json!({})));
            let message = assert_refusal(dialect, &response, 502, "upstream_error");
            assert!(
                message.contains("the gateway's own credential"),
                "{message}"
            );
            fixture
                .assert_recorded()
                .assert_ended("upstream_error", &[]);
        }
    }
}

#[test]
fn vendor_rejection_is_reported_in_client_dialect() {
    for dialect in BOTH {
        let fixture = COHERE.fixture();
        fixture
            .upstream
            .respond_with(Script::unary(429, golden("cohere/limit.json")));
        let response = fixture
            .user()
            .post(dialect.path(), &COHERE.request_body(dialect, json!({})));
        assert_eq!(
            assert_refusal(dialect, &response, 429, "rate_limit_exceeded"),
            "Please wait and try again later"
        );
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[]);
        let fixture = OLLAMA.fixture();
        fixture
            .upstream
            .respond_with(Script::unary(404, golden("ollama/unknown.json")));
        let response = fixture
            .user()
            .post(dialect.path(), &OLLAMA.request_body(dialect, json!({})));
        assert_refusal(dialect, &response, 502, "upstream_error");
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[]);
    }
}
