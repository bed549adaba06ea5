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

fn stream(dialect: Dialect) -> ResponseStream {
    let body =
        Bytes::from_static(b"{\"model\":\"m\",\"max_tokens\":9,\"stream\":true,\"messages\":[]}");
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
            matched += usize::from(template.text_of(event).is_some());
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
    }
    matched
}

#[test]
fn repeated_event_is_understood_as_if_it_were_read() {
    let chat = CHAT.map(|sample| (Dialect::Chat, sample));
    let messages = MESSAGES.map(|sample| (Dialect::Messages, sample));
    let mut matched = 0;
    for (dialect, sample) in chat.into_iter().chain(messages) {
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
    let chat = |text: &str, filler: &str| {
        let delta =
            format!("{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}");
        format!("data: {{\"id\":\"c\",\"choices\":[{delta}],\"obfuscation\":\"{filler}\"}}\n\n")
    };
    let messages = |text: &str, _: &str| {
        let delta = format!("{{\"type\":\"text_delta\",\"text\":\"{text}\"}}");
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{delta}}}\n\n"
        )
    };
    let texts = [
        ("a", "x"),
        ("日本", ""),
        (" b\\n", "yyy"),
        ("\\u0041", "zz"),
        ("c", ""),
    ];
    type Event<'e> = &'e dyn Fn(&str, &str) -> String;
    for (dialect, event) in [
        (Dialect::Chat, &chat as Event<'_>),
        (Dialect::Messages, &messages),
    ] {
        let events: Vec<Bytes> = texts
            .iter()
            .map(|(text, filler)| event(text, filler).into())
            .collect();
        assert_eq!(assert_alike(dialect, &events), texts.len() - 1);
    }
}
