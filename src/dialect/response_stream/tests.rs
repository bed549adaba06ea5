//! Comparison of a stream whose repeated events are recognized by the template with one of which every event is read.

use super::*;
use crate::dialect::{dispatch, samples};

const CHAT: [&str; 4] = [
    samples::CHAT_STREAM,
    include_str!("../../../tests/golden/openai/text.sse"),
    include_str!("../../../tests/golden/openai/parallel_tools.sse"),
    // OpenAI's filler, and a vendor that counts as it goes
    concat!(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}],\"obfuscation\":\"xyz\"}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"bc\"},\"finish_reason\":null}],\"obfuscation\":\"\"}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{\"executed_tools\":[{\"type\":\"search\"}],\"content\":\"a\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"text\":\"a\",\"finish_reason\":\"stop\"}]}\n\n",
    ),
];
const MESSAGES: [&str; 3] = [
    samples::MESSAGES_STREAM,
    include_str!("../../../tests/golden/anthropic/text.sse"),
    include_str!("../../../tests/golden/anthropic/thinking_tool.sse"),
];

const RESPONSES: [&str; 2] = [
    include_str!("../../../tests/golden/openai/responses.sse"),
    concat!(
        "data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\",\"sequence_number\":7,\"obfuscation\":\"x\"}\n\n",
        "data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\",\"response\":{\"id\":\"r\"},\"sequence_number\":8}\n\n",
        "data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n",
    ),
];

fn stream(dialect: Dialect) -> ResponseStream {
    let turns = match dialect {
        Dialect::Responses => r#""input":"q""#,
        _ => r#""messages":[]"#,
    };
    let body = format!(r#"{{"model":"m","max_tokens":9,"stream":true,{turns}}}"#).into();
    let request = dispatch::read(dialect, Operation::Conversation, body).expect("a request");
    let options = StreamOptions {
        framing: Framing::Sse,
        usage_rules: UsageRules::EXACT,
        event_bytes_max: 1 << 20,
    };
    ResponseStream::passthrough(&request, options, true)
}

/// Reads the events twice and compares all that the relay sees; returns how many matched the template.
fn assert_alike(dialect: Dialect, events: &[Bytes]) -> usize {
    let (mut compared, mut read) = (stream(dialect), stream(dialect));
    let mut matched = 0;
    for event in events {
        if let StreamMode::Passthrough { template, .. } = &compared.mode {
            matched += usize::from(template.repetition(event).is_some());
        }
        let seen = compared.take(event.clone());
        let expected = read.forward(event, &parse(event));
        let text = String::from_utf8_lossy(event);
        assert_eq!(
            (seen.kind, seen.bytes),
            (expected.kind, expected.bytes),
            "{text}"
        );
        assert_eq!(compared.delivered(), read.delivered(), "{text}");
        assert_eq!(compared.report(), read.report(), "{text}");
        assert_eq!(compared.output_is_final(), read.output_is_final(), "{text}");
        let error = ApiError::defect("broken");
        let ends = [&mut compared, &mut read].map(|stream| stream.error_events(&error, "req_1"));
        assert_eq!(ends[0], ends[1], "{text}");
    }
    matched
}

#[test]
fn repeated_event_is_understood_as_if_it_were_read() {
    let chat = CHAT.map(|sample| (Dialect::Chat, sample));
    let messages = MESSAGES.map(|sample| (Dialect::Messages, sample));
    let responses = RESPONSES.map(|sample| (Dialect::Responses, sample));
    let mut matched = 0;
    for (dialect, sample) in chat.into_iter().chain(messages).chain(responses) {
        let events = samples::events(sample);
        let mut repeated = Vec::new();
        for event in &events {
            // the second of the whole ones matches
            let damaged = samples::damaged(event, 300).map(Bytes::from);
            repeated.extend(damaged.flat_map(|copy| [event.clone(), event.clone(), copy]));
        }
        assert_alike(dialect, &events);
        matched += assert_alike(dialect, &repeated);
    }
    assert!(matched > 5_000, "{matched} matched");
}

#[test]
fn text_deltas_of_a_stream_match_the_one_before() {
    let chat = |text: &str, filler: &str, _: usize| {
        let delta =
            format!("{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}");
        format!("data: {{\"id\":\"c\",\"choices\":[{delta}],\"obfuscation\":\"{filler}\"}}\n\n")
    };
    let messages = |text: &str, _: &str, _: usize| {
        let delta = format!("{{\"type\":\"text_delta\",\"text\":\"{text}\"}}");
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{delta}}}\n\n"
        )
    };
    let responses = |text: &str, filler: &str, number: usize| {
        format!(
            "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"sequence_number\":{number},\
             \"delta\":\"{text}\",\"obfuscation\":\"{filler}\"}}\n\n"
        )
    };
    type Event<'e> = &'e dyn Fn(&str, &str, usize) -> String;
    let dialects: [(Dialect, Event<'_>); 3] = [
        (Dialect::Chat, &chat),
        (Dialect::Messages, &messages),
        (Dialect::Responses, &responses),
    ];
    let texts = [
        ("a", "x"),
        ("日本", ""),
        (" b\\n", "yyy"),
        ("\\u0041", "zz"),
        ("c", ""),
    ];
    for (dialect, event) in dialects {
        let numbered = texts.iter().enumerate();
        let events: Vec<Bytes> = numbered
            .map(|(number, (text, filler))| event(text, filler, 8 + number).into())
            .collect();
        assert_eq!(
            assert_alike(dialect, &events),
            texts.len() - 1,
            "{dialect:?}"
        );
    }
}
