//! Events and bodies of Converse through the decoder, among them damaged ones. Frames are decoded
//! elsewhere.

use super::*;
use crate::conversation::{ChatResponse, Content, ReasoningBlock, ResponseBuilder, StateSealer};
use crate::dialect::samples;
use crate::dialect::wire::eventstream::FrameSplitter;
use crate::dialect::wire::eventstream::event_frame;
use crate::dialect::wire::sse;
use crate::domain::usage::Usage;

fn decoder() -> ConverseDecoder {
    ConverseDecoder::new(&ResponseMeta {
        request_id: "req_1".into(),
        model: "anthropic.claude-opus-5".into(),
        created_s: 1,
        input_estimate: 0,
        sealer: StateSealer::new([7; 32]),
    })
}

const USAGE: &str = r#"{"usage":{"inputTokens":11,"outputTokens":5,"totalTokens":16},"metrics":{"latencyMs":9},"p":"abc"}"#;

/// Reasoning, text and two calls, with AWS's padding.
const STREAM: [(&str, &str); 17] = [
    ("messageStart", r#"{"p":"ab","role":"assistant"}"#),
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}},"p":"abcd"}"#,
    ),
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"c2ln"}}}"#,
    ),
    ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":1,"delta":{"text":"Hello"},"p":"a"}"#,
    ),
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":1,"delta":{"text":" \u65e5"}}"#,
    ),
    ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
    (
        "contentBlockStart",
        r#"{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"t1","name":"f"}}}"#,
    ),
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":""}}}"#,
    ),
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"b\":1.0,"}}}"#,
    ),
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"\"a\":2}"}}}"#,
    ),
    ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
    (
        "contentBlockStart",
        r#"{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"t2","name":"g"}}}"#,
    ),
    ("contentBlockStop", r#"{"contentBlockIndex":3}"#),
    ("messageStop", r#"{"stopReason":"tool_use"}"#),
    ("aNewKindOfEvent", r#"[1]"#),
    ("metadata", USAGE),
];

/// Response, last stream state and usage.
fn decode(
    events: &[(&str, &str)],
) -> Result<(ChatResponse, StreamState, ReportedUsage), UpstreamError> {
    let (mut decoder, mut output, mut state) = (decoder(), Vec::new(), StreamState::More);
    for (name, data) in events {
        assert_eq!(state, StreamState::More, "no event follows the end");
        let fields = Fields {
            event: Some(name.as_bytes()),
            data: data.as_bytes().into(),
            only_comment: false,
        };
        state = decoder.event(&fields, &mut output)?;
    }
    assert!(!decoder.is_complete());
    Ok((response(&output), state, decoder.report()))
}

fn response(events: &[OutputEvent]) -> ChatResponse {
    let mut builder = ResponseBuilder::default();
    let mut open: Vec<u32> = Vec::new();
    for event in events {
        match event {
            OutputEvent::Open { block, .. } => open.push(*block),
            OutputEvent::Delta { block, .. } | OutputEvent::State { block, .. } => {
                assert!(open.contains(block), "{event:?}")
            }
            OutputEvent::Close { block } => open.retain(|open| open != block),
            OutputEvent::Stop(_) => assert!(open.is_empty(), "{open:?} at the stop"),
        }
        builder.add(event);
    }
    builder.build()
}

/// One line for each block.
fn lines(response: &ChatResponse) -> Vec<String> {
    let line = |content: &Content| match content {
        Content::Text(text) => format!("text {text}"),
        Content::Reasoning(ReasoningBlock {
            text,
            provider_state,
        }) => {
            let provider_state = provider_state
                .as_ref()
                .map(|provider_state| format!("{:?} {}", provider_state.kind, provider_state.data));
            format!("reasoning {text} {}", provider_state.unwrap_or_default())
        }
        Content::ToolCall(call) => format!("call {} {} {}", call.id, call.name, call.arguments),
        _ => "?".to_owned(),
    };
    response
        .blocks
        .iter()
        .map(|block| line(&block.content))
        .collect()
}

fn used(uncached_in: u64, out_total: u64) -> ReportedUsage {
    ReportedUsage::Complete(Usage {
        uncached_in,
        out_total,
        ..Usage::default()
    })
}

const LINES: [&str; 4] = [
    "reasoning hm Signature c2ln",
    "text Hello 日",
    "call t1 f {\"b\":1.0,\"a\":2}",
    "call t2 g ",
];

#[test]
fn c03_converse_stream_is_complete_with_metadata_after_stop() {
    let (response, state, report) = decode(&STREAM).expect("a response");
    assert_eq!(lines(&response), LINES);
    assert_eq!(
        (response.stop, state, report),
        (StopReason::Tool, StreamState::End, used(11, 5))
    );
    let origin = match &response.blocks[0].content {
        Content::Reasoning(reasoning) => reasoning
            .provider_state
            .as_ref()
            .and_then(|provider_state| provider_state.origin.clone()),
        _ => None,
    };
    let expected = Origin {
        dialect: "converse".into(),
        model: "anthropic.claude-opus-5".into(),
    };
    assert_eq!(origin, Some(expected));
    for cut in 0..STREAM.len() {
        let (_, state, _) = decode(&STREAM[..cut]).expect("a prefix");
        assert_eq!(state, StreamState::More, "cut before {cut}");
    }
    // usage without a stop does not complete a response
    assert_eq!(
        decode(&[STREAM[0], STREAM[4], STREAM[16]])
            .expect("a prefix")
            .1,
        StreamState::More
    );
}

#[test]
fn converse_kind_change_opens_new_block_and_hosted_tools_are_hidden() {
    let (response, ..) = decode(&[
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"cmVk"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"citation":{"title":"t"}}}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"s","name":"x","type":"server_tool_use"}}}"#,
        ),
        ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{}"}}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
        ("contentBlockStart", r#"{"contentBlockIndex":2,"start":{"toolResult":{"toolUseId":"s"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"toolResult":[{"text":"found"}]}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":9,"delta":{"toolUse":{"input":"of nothing"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":3,"delta":{"text":"b"}}"#),
        ("messageStop", r#"{"stopReason":"end_turn"}"#),
    ])
    .expect("a response");
    assert_eq!(
        lines(&response),
        ["reasoning  Redacted cmVk", "text a", "text b"]
    );
    assert_eq!(response.stop, StopReason::End);
}

#[test]
fn converse_stop_reasons_map_to_canonical_or_failure() {
    for (event, expected) in [
        (r#"{"stopReason":"end_turn"}"#, StopReason::End),
        (r#"{"stopReason":"max_tokens"}"#, StopReason::Length),
        (
            r#"{"stopReason":"stop_sequence","additionalModelResponseFields":{"stop_sequence":"END"}}"#,
            StopReason::Sequence(Some("END".into())),
        ),
        (
            r#"{"stopReason":"stop_sequence","additionalModelResponseFields":null}"#,
            StopReason::Sequence(None),
        ),
        (
            r#"{"stopReason":"guardrail_intervened"}"#,
            StopReason::Filtered,
        ),
        (r#"{"stopReason":"content_filtered"}"#, StopReason::Filtered),
        (
            r#"{"stopReason":"model_context_window_exceeded"}"#,
            StopReason::ContextWindow,
        ),
        (r#"{"stopReason":"something new"}"#, StopReason::End),
    ] {
        assert_eq!(
            decode(&[("messageStop", event)]).expect("a stop").0.stop,
            expected,
            "{event}"
        );
    }
    for reason in ["malformed_model_output", "malformed_tool_use"] {
        let fault = decode(&[("messageStop", &format!(r#"{{"stopReason":"{reason}"}}"#))])
            .expect_err("a failure");
        assert!(fault.message.contains(reason), "{fault:?}");
    }
    let (mut failed, mut output) = (decoder(), Vec::new());
    let mut decode_event = |name: &str, data: &'static str| {
        let event = Fields {
            event: Some(name.as_bytes()),
            data: data.as_bytes().into(),
            only_comment: false,
        };
        failed.event(&event, &mut output)
    };
    decode_event("messageStop", r#"{"stopReason":"malformed_tool_use"}"#).expect_err("a failure");
    assert_eq!(
        decode_event("metadata", USAGE),
        Ok(StreamState::End),
        "no event follows"
    );
    assert_eq!(
        (failed.report(), failed.output_is_final()),
        (used(11, 5), true)
    );
}

#[test]
fn e15_converse_exception_and_malformed_event_are_errors() {
    let error = r#"{"error":{"message":"slow down","status":429,"type":"throttlingException"},"type":"error"}"#;
    let fault = decode(&[STREAM[0], ("error", error)]).expect_err("a failure");
    let expected = UpstreamError {
        status: Some(429),
        kind: "throttlingException".into(),
        ..UpstreamError::new("slow down")
    };
    assert_eq!(fault, expected);
    for (name, data) in [
        ("contentBlockDelta", "{"),
        ("messageStop", "{}"),
        ("metadata", "<html>"),
        ("contentBlockStart", "7"),
    ] {
        assert_eq!(decode(&[(name, data)]).expect_err(name), malformed_event());
    }
}

const UNARY: &str = r#"{"metrics":{"latencyMs":9},"output":{"message":{"role":"assistant","content":[
    {"reasoningContent":{"reasoningText":{"text":"hm","signature":"c2ln"}}},
    {"citationsContent":{"content":[{"text":"Hello"},{"text":" \u65e5"}],"citations":[{"title":"t"}]}},
    {"toolUse":{"toolUseId":"t1","name":"f","input":{"b":1.0,"a":2}}},
    {"toolUse":{"toolUseId":"t2","name":"g","input":{}}},
    {"toolUse":{"toolUseId":"s","name":"x","type":"server_tool_use","input":{}}},{"toolResult":{"toolUseId":"s","content":[]}}
    ]}},"stopReason":"tool_use","usage":{"inputTokens":11,"outputTokens":5,"totalTokens":16}}"#;

fn decode_unary(body: &[u8]) -> Result<(ChatResponse, ReportedUsage), IncompleteResponse> {
    let (mut decoder, mut output) = (decoder(), Vec::new());
    decoder.decode_unary(body, &mut output)?;
    assert!(decoder.output_is_final() || decoder.report() != used(11, 5));
    Ok((response(&output), decoder.report()))
}

#[test]
fn t01_converse_unary_response_is_decoded() {
    let (response, report) = decode_unary(UNARY.as_bytes()).expect("a response");
    let mut expected = LINES.map(str::to_owned);
    expected[3].push_str("{}");
    assert_eq!(lines(&response), expected);
    assert_eq!((response.stop, report), (StopReason::Tool, used(11, 5)));
    for end in 0..UNARY.len() {
        assert!(decode_unary(&UNARY.as_bytes()[..end]).is_err(), "{end}");
    }
    for body in [
        r#"{"message":"no"}"#,
        r#"{"Output":{"__type":"x"},"Version":"1.0"}"#,
        "[]",
        "<html>",
    ] {
        assert!(decode_unary(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn converse_damaged_response_never_panics() {
    let synthetic: Vec<u8> = STREAM
        .iter()
        .flat_map(|(name, data)| event_frame(name, data))
        .collect();
    let recorded: [&[u8]; 3] = [
        include_bytes!("../../../../tests/golden/bedrock/tools.bin"),
        include_bytes!("../../../../tests/golden/bedrock/thinking.bin"),
        include_bytes!("../../../../tests/golden/bedrock/failed.bin"),
    ];
    for stream in [&synthetic[..]].into_iter().chain(recorded) {
        for damaged in samples::damaged(stream, 500) {
            let mut splitter = FrameSplitter::new(100_000);
            let _ = splitter.push(&damaged);
            let (mut decoder, mut output) = (decoder(), Vec::new());
            while let Some(event) = splitter.next_event() {
                let _ = decoder.event(&sse::parse(&event), &mut output);
            }
        }
    }
    for (name, data) in STREAM {
        for damaged in samples::damaged(data.as_bytes(), 200) {
            let (mut decoder, mut output) = (decoder(), Vec::new());
            let fields = Fields {
                event: Some(name.as_bytes()),
                data: damaged.into(),
                only_comment: false,
            };
            let _ = decoder.event(&fields, &mut output);
        }
    }
    for damaged in samples::damaged(UNARY.as_bytes(), 1_000) {
        let _ = decoder().decode_unary(&damaged, &mut Vec::new());
    }
}
