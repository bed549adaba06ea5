//! Test data for this folder: streams as upstreams send them, damaged copies, and readers of decoded events.

use bytes::Bytes;

use crate::conversation::{
    Content, ContentBlock, OutputEvent, ProviderState, ResponseBuilder, StateSealer,
};
use crate::dialect::codec::{ResponseDecoder, ResponseMeta, StreamState};
use crate::dialect::decoded_response::IncompleteResponse;
use crate::dialect::error::UpstreamError;
use crate::dialect::wire::framing::{Frames, Framing};
use crate::dialect::wire::sse::{Splitter, parse};

/// OpenAI with `include_usage`, cached input and reasoning; 日 in the second delta of content.
pub(super) const CHAT_STREAM: &str = concat!(
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-5.1\",\"service_tier\":\"default\",",
    "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo \\u65e5\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",",
    "\"function\":{\"name\":\"f\",\"arguments\":\"{}}}\"}}]},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}],\"usage\":null}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":12,\"total_tokens\":112,",
    "\"prompt_tokens_details\":{\"cached_tokens\":20,\"cache_write_tokens\":10,\"audio_tokens\":1},",
    "\"completion_tokens_details\":{\"reasoning_tokens\":5,\"audio_tokens\":0}}}\n\n",
    "data: [DONE]\n\n",
);

/// Anthropic with thinking, text and a tool call, both cache lifetimes and searches.
pub(super) const MESSAGES_STREAM: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",",
    "\"model\":\"claude-sonnet-5-5\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":30,",
    "\"cache_creation_input_tokens\":100,\"cache_read_input_tokens\":200,\"cache_creation\":{\"ephemeral_5m_input_tokens\":40,",
    "\"ephemeral_1h_input_tokens\":60},\"output_tokens\":1,\"service_tier\":\"standard\"}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hmm\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"c2ln\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\" you\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":1\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":2}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},",
    "\"usage\":{\"output_tokens\":25,\"output_tokens_details\":{\"thinking_tokens\":9},\"server_tool_use\":{\"web_search_requests\":3}}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

/// Events of a stream.
pub(super) fn events(stream: &str) -> Vec<Bytes> {
    events_of(stream.as_bytes())
}

pub(super) fn events_of(stream: &[u8]) -> Vec<Bytes> {
    let mut splitter = Splitter::new(1 << 20);
    splitter
        .push(Bytes::copy_from_slice(stream))
        .expect("a small stream");
    std::iter::from_fn(|| splitter.next_event()).collect()
}

/// Prefixes of a sample (at most about 200), and `count` copies with a few bytes changed, removed or inserted: deterministic.
pub(super) fn damaged(sample: &[u8], count: usize) -> impl Iterator<Item = Vec<u8>> {
    const PIECES: [&[u8]; 10] = [
        b"\"", b"\\", b"{", b"}", b"[", b",", b"\\ud800", b"-1", b"1e999", b"\xff",
    ];
    let prefixes = (0..sample.len())
        .step_by(sample.len() / 200 + 1)
        .map(|end| sample[..end].to_vec());
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = move |bound: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % bound as u64) as usize
    };
    let changed = (0..count).map(move |_| {
        let mut bytes = sample.to_vec();
        for _ in 0..1 + below(4) {
            if bytes.is_empty() {
                break;
            }
            let at = below(bytes.len());
            match below(3) {
                0 => bytes[at] ^= 1 << below(8),
                1 => drop(bytes.drain(at..(at + below(8)).min(bytes.len()))),
                _ => drop(bytes.splice(at..at, PIECES[below(PIECES.len())].iter().copied())),
            }
        }
        bytes
    });
    prefixes.chain(changed)
}

/// Decoded events of a stream; `true` if it is complete.
pub(super) fn heard(
    reader: &mut dyn ResponseDecoder,
    framing: Framing,
    stream: &[u8],
) -> (Vec<OutputEvent>, Result<bool, UpstreamError>) {
    let mut frames = Frames::new(framing, 1 << 20);
    frames
        .push(Bytes::copy_from_slice(stream))
        .expect("a small stream");
    let (mut events, mut ended) = (Vec::new(), false);
    while let Some(event) = frames.next_event() {
        match reader.event(&parse(&event), &mut events) {
            Ok(heard) => ended |= heard == StreamState::End,
            Err(fault) => return (events, Err(fault)),
        }
    }
    (events, Ok(ended || reader.is_complete()))
}

/// The response of events, a line per block and one for its stop. Asserts that each block is opened and closed once.
pub(super) fn story(events: &[OutputEvent]) -> Vec<String> {
    let mut fold = ResponseBuilder::default();
    let mut open: Vec<u32> = Vec::new();
    for event in events {
        match event {
            OutputEvent::Open { block, .. } => open.push(*block),
            OutputEvent::Delta { block, .. } | OutputEvent::State { block, .. } => {
                assert!(open.contains(block), "{events:?}")
            }
            OutputEvent::Close { block } => {
                let at = open
                    .iter()
                    .position(|other| other == block)
                    .unwrap_or_else(|| panic!("{events:?}"));
                open.remove(at);
            }
            OutputEvent::Stop(_) => assert!(open.is_empty(), "{events:?}"),
        }
        fold.add(event);
    }
    let signed = |provider_state: &Option<ProviderState>| {
        provider_state
            .as_ref()
            .map_or(String::new(), |provider_state| {
                format!(" [{}]", provider_state.data)
            })
    };
    let answer = fold.build();
    let line = |block: &ContentBlock| match &block.content {
        Content::Text(text) => format!("text: {text}"),
        Content::Reasoning(thought) => {
            format!(
                "thought: {}{}",
                thought.text,
                signed(&thought.provider_state)
            )
        }
        Content::ToolCall(call) => format!(
            "call {}: {}({}){}",
            call.id,
            call.name,
            call.arguments,
            signed(&call.provider_state)
        ),
        other => format!("{other:?}"),
    };
    answer
        .blocks
        .iter()
        .map(line)
        .chain([format!("{:?}", answer.stop)])
        .collect()
}

/// Head of a response to request `req_1`.
pub(super) fn head(model: &str) -> ResponseMeta {
    ResponseMeta {
        request_id: "req_1".into(),
        model: model.into(),
        created_s: 1,
        input_estimate: 0,
        sealer: StateSealer::new([7; 32]),
    }
}

/// Decodes damaged copies of a stream and of a unary response: none panics, and no prefix of the response is a response.
pub(super) fn survives(
    new: impl Fn() -> Box<dyn ResponseDecoder>,
    framing: Framing,
    stream: &str,
    answer: &str,
) {
    for bytes in damaged(stream.as_bytes(), 1_000) {
        let mut reader = new();
        let _ = heard(&mut *reader, framing, &bytes);
        let _ = (
            reader.report(),
            reader.output_is_final(),
            reader.is_complete(),
        );
    }
    for bytes in damaged(answer.as_bytes(), 1_000) {
        let mut reader = new();
        let _ = reader.decode_unary(&bytes, &mut Vec::new());
        let _ = (reader.report(), reader.output_is_final());
    }
    let answer = answer.trim_end().as_bytes();
    for end in 0..answer.len() {
        let read = new().decode_unary(&answer[..end], &mut Vec::new());
        // such a prefix is not distinguishable from invalid JSON
        let within_a_token =
            std::str::from_utf8(&answer[..end]).is_err() || answer[..end].ends_with(b".");
        assert!(
            read == Err(IncompleteResponse::Truncated)
                || within_a_token && read == Err(IncompleteResponse::NotJson),
            "{end}: {read:?}"
        );
    }
}
