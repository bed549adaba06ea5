//! Tests of `encode_response`.

use serde_json::Value;

use super::*;
use crate::conversation::{Origin, ProviderStateKind, ResponseBuilder, StateSealer};
use crate::dialect::wire::sse;
use crate::dialect::{Dialect, Operation, read, samples};

const TOOLS: &str = r#""tools":[{"type":"function","name":"f","parameters":{}},{"type":"custom","name":"patch"},
    {"type":"namespace","name":"agents","tools":[{"type":"function","name":"close"}]},{"type":"tool_search","execution":"client"}]"#;

fn writer(more: &str) -> ResponsesEncoder {
    let body = format!("{{\"model\":\"m\",\"input\":\"hi\",\n{TOOLS}{more}}}");
    let request =
        read(Dialect::Responses, Operation::Conversation, body.into()).expect("a request");
    let sealer = StateSealer::new([0; 32]);
    let head = ResponseMeta {
        request_id: "req_7".into(),
        model: "m-1".into(),
        created_s: 1_790_000_000,
        input_estimate: 0,
        sealer,
    };
    ResponsesEncoder::new(&request, head)
}

fn opened(block: u32, block_kind: BlockKind) -> OutputEvent {
    OutputEvent::Open { block, block_kind }
}

fn call(block: u32, id: &str, name: &str) -> OutputEvent {
    opened(
        block,
        BlockKind::Call {
            id: id.into(),
            name: name.into(),
        },
    )
}

fn delta(block: u32, text: &str) -> OutputEvent {
    OutputEvent::Delta {
        block,
        text: text.into(),
    }
}

fn close(block: u32) -> OutputEvent {
    OutputEvent::Close { block }
}

fn signature(block: u32) -> OutputEvent {
    let origin = Some(Origin {
        dialect: "messages".into(),
        model: "claude".into(),
    });
    OutputEvent::State {
        block,
        provider_state: ProviderState {
            origin,
            kind: ProviderStateKind::Signature,
            data: "sig".into(),
        },
    }
}

fn usage() -> Usage {
    Usage {
        uncached_in: 5,
        cache_read: 20,
        cache_write_5m: 3,
        out_total: 9,
        reasoning: 4,
        ..Usage::default()
    }
}

/// Events of a stream, whose names equal their types and whose numbers are consecutive.
fn streamed(
    writer: &mut ResponsesEncoder,
    events: &[OutputEvent],
    stop: &StopReason,
) -> Vec<Value> {
    let mut out = Vec::new();
    events
        .iter()
        .for_each(|event| writer.event(event, &mut out));
    writer.end(stop, &usage(), &mut out);
    let sent = samples::events(std::str::from_utf8(&out).expect("UTF-8"));
    let read = |(number, event): (usize, &Bytes)| {
        let fields = sse::parse(event);
        let json: Value = serde_json::from_slice(&fields.data).expect("JSON on one line");
        assert_eq!(json["type"].as_str().map(str::as_bytes), fields.event);
        assert_eq!(json["sequence_number"], number as u64, "{json}");
        json
    };
    sent.iter().enumerate().map(read).collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["type"].as_str()?.strip_prefix("response."))
        .collect()
}

#[test]
fn t03_text_is_sent_in_the_full_sequence_of_events() {
    let events = [
        opened(0, BlockKind::Text),
        delta(0, "Grüße"),
        delta(0, "!"),
        close(0),
        OutputEvent::Stop(StopReason::End),
    ];
    let sent = streamed(&mut writer(""), &events, &StopReason::End);
    assert_eq!(
        kinds(&sent),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
    );
    assert_eq!(
        (&sent[0]["response"]["status"], &sent[0]["response"]["id"]),
        (&"in_progress".into(), &"resp_7".into())
    );
    assert_eq!(
        (&sent[6]["text"], &sent[6]["item_id"]),
        (&"Grüße!".into(), &sent[2]["item"]["id"])
    );
    let last = &sent[9]["response"];
    assert_eq!(last["output"][0], sent[8]["item"]);
    assert_eq!(last["output"][0]["content"][0]["text"], "Grüße!");
    assert_eq!(
        last["usage"],
        serde_json::json!({"input_tokens": 28, "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 3},
            "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 37})
    );
}

#[test]
fn r06_reasoning_is_a_summary_and_a_sealed_state() {
    let events = [
        opened(0, BlockKind::Reasoning),
        delta(0, "h"),
        delta(0, "m"),
        signature(0),
        close(0),
    ];
    let sent = streamed(&mut writer(""), &events, &StopReason::End);
    assert_eq!(
        kinds(&sent)[2..9],
        [
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
        ]
    );
    let item = &sent[8]["item"];
    assert_eq!(item["summary"][0]["text"], "hm");
    let provider_state =
        StateSealer::new([0; 32]).open(item["encrypted_content"].as_str().expect("a seal"));
    assert_eq!(
        (
            provider_state.origin.map(|origin| origin.model),
            provider_state.data.as_str()
        ),
        (Some("claude".into()), "sig")
    );
    // hidden reasoning has no text but a sealed state
    let sent = streamed(
        &mut writer(""),
        &[opened(0, BlockKind::Reasoning), signature(0), close(0)],
        &StopReason::End,
    );
    assert_eq!(
        kinds(&sent)[2..4],
        ["output_item.added", "output_item.done"]
    );
    assert_eq!(sent[3]["item"]["summary"], serde_json::json!([]));
}

#[test]
fn e27_calls_have_the_form_of_the_declared_tools() {
    let events = [
        call(0, "c1", "agents__close"),
        call(1, "c2", "patch"),
        delta(0, "{\"a\":"),
        delta(1, "{\"input\":\"*** \\\"x"),
        delta(0, "1}"),
        delta(1, "\\\"\\n\"}"),
        close(0),
        close(1),
        call(2, "c3", "tool_search"),
        delta(2, "{\"query\":\n\"q\"}"),
        close(2),
        call(3, "c4", "f"),
        close(3),
    ];
    let sent = streamed(&mut writer(""), &events, &StopReason::Tool);
    let items = sent.last().expect("the end")["response"]["output"].clone();
    assert_eq!(
        items,
        serde_json::json!([
            {"type": "function_call", "id": "fc_7_0", "status": "completed", "arguments": "{\"a\":1}", "call_id": "c1",
             "name": "close", "namespace": "agents"},
            {"type": "custom_tool_call", "id": "ctc_7_1", "status": "completed", "call_id": "c2", "input": "*** \"x\"\n", "name": "patch"},
            {"type": "tool_search_call", "id": "tsc_7_2", "status": "completed", "call_id": "c3", "execution": "client",
             "arguments": {"query": "q"}},
            {"type": "function_call", "id": "fc_7_3", "status": "completed", "arguments": "{}", "call_id": "c4", "name": "f"},
        ])
    );
    let of = |kind: &str| {
        sent.iter()
            .filter(|event| event["type"] == kind)
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of("response.custom_tool_call_input.delta")[0]["delta"],
        "*** \"x\"\n"
    );
    assert_eq!(
        of("response.function_call_arguments.done")[0]["name"],
        "close"
    );
    let added = of("response.output_item.added");
    assert_eq!(
        (&added[0]["item"]["arguments"], &added[1]["item"]["input"]),
        (&"".into(), &"".into())
    );
}

#[test]
fn truncated_answer_is_incomplete_with_its_reason() {
    for (stop, reason) in [
        (StopReason::Length, "max_output_tokens"),
        (StopReason::ContextWindow, "max_output_tokens"),
        (StopReason::Filtered, "content_filter"),
    ] {
        let sent = streamed(
            &mut writer(""),
            &[opened(0, BlockKind::Text), delta(0, "Ei")],
            &stop,
        );
        let last = sent.last().expect("the end");
        assert_eq!(
            (&last["type"], &last["response"]["status"]),
            (&"response.incomplete".into(), &"incomplete".into())
        );
        assert_eq!(last["response"]["incomplete_details"]["reason"], reason);
        assert_eq!(last["response"]["output"][0]["status"], "incomplete");
    }
}

#[test]
fn empty_block_is_no_item() {
    let sent = streamed(
        &mut writer(""),
        &[
            opened(0, BlockKind::Text),
            opened(1, BlockKind::Reasoning),
            close(0),
        ],
        &StopReason::End,
    );
    assert_eq!(kinds(&sent), ["created", "in_progress", "completed"]);
    assert_eq!(
        kinds(&streamed(&mut writer(""), &[], &StopReason::End)),
        ["created", "in_progress", "completed"]
    );
}

#[test]
fn unary_response_equals_the_last_event() {
    let events = [
        opened(0, BlockKind::Reasoning),
        delta(0, "hm"),
        signature(0),
        close(0),
        opened(1, BlockKind::Text),
        delta(1, "so"),
        close(1),
        call(2, "c1", "patch"),
        delta(2, "no JSON"),
        close(2),
    ];
    let mut fold = ResponseBuilder::default();
    events.iter().for_each(|event| fold.add(event));
    let mut writer = writer(r#","temperature":0.70,"tool_choice":"auto","reasoning":null"#);
    let whole: Value =
        serde_json::from_str(&writer.encode_unary(&fold.build(), &usage())).expect("JSON");
    let sent = streamed(&mut writer, &events, &StopReason::Tool);
    assert_eq!(whole, sent.last().expect("the end")["response"]);
    assert_eq!(
        whole["output"][2]["input"], "no JSON",
        "what the model wrote is not lost"
    );
    assert_eq!(
        (&whole["tools"][1]["name"], &whole["temperature"]),
        (&"patch".into(), &serde_json::json!(0.7))
    );
    assert_eq!(
        (&whole["store"], &whole["reasoning"]["effort"]),
        (&false.into(), &Value::Null)
    );
}
