//! A response that a client received, read back as a whole, and written again for another request of the same dialect: as JSON or as a
//! stream, whichever way it came. Must never return a response that lacks its end.

use bytes::Bytes;

use crate::conversation::{BlockKind, ChatResponse, Content, OutputEvent, ResponseBuilder};
use crate::dialect::codec::{ResponseMeta, StreamState};
use crate::dialect::name::Dialect;
use crate::dialect::request::Request;
use crate::dialect::response_stream::last_event;
use crate::dialect::wire::framing::{Frames, Framing};
use crate::dialect::wire::sse::parse;
use crate::domain::usage::Usage;

/// Reads a complete response as a client of the dialect received it. `None` if it is incomplete or an error.
pub fn complete_response(
    dialect: Dialect,
    meta: &ResponseMeta,
    streamed: bool,
    bytes: Bytes,
) -> Option<ChatResponse> {
    let mut decoder = dialect.upstream().decoder(meta);
    let mut events = Vec::new();
    if !streamed {
        decoder.decode_unary(&bytes, &mut events).ok()?;
        return Some(built(&events));
    }
    let mut frames = Frames::new(Framing::Sse, bytes.len().saturating_add(1));
    frames.push(bytes).ok()?;
    let mut ended = false;
    while let Some(event) = frames.next_event().or_else(|| frames.rest()) {
        match decoder.event(&parse(&event), &mut events).ok()? {
            StreamState::More => {}
            StreamState::End => ended = true,
            StreamState::Truncated => return None,
        }
    }
    (ended || decoder.is_complete()).then(|| built(&events))
}

fn built(events: &[OutputEvent]) -> ChatResponse {
    let mut builder = ResponseBuilder::default();
    events.iter().for_each(|event| builder.add(event));
    builder.build()
}

/// Writes a stored response for a request, with `comment` directly before the terminal event of a stream. `None` for a dialect that
/// clients do not speak.
pub fn replay(
    request: &Request,
    meta: ResponseMeta,
    response: &ChatResponse,
    usage: &Usage,
    comment: &[u8],
) -> Option<Bytes> {
    let mut encoder = request.dialect.client()?.encoder(request, meta);
    if !request.streamed {
        return Some(encoder.encode_unary(response, usage).into());
    }
    let mut out = Vec::new();
    for (block, content) in (0..).zip(&response.blocks) {
        let (block_kind, text) = match &content.content {
            Content::Text(text) => (BlockKind::Text, text),
            Content::Reasoning(reasoning) => (BlockKind::Reasoning, &reasoning.text),
            _ => return None,
        };
        let text = text.clone();
        encoder.event(&OutputEvent::Open { block, block_kind }, &mut out);
        encoder.event(&OutputEvent::Delta { block, text }, &mut out);
        encoder.event(&OutputEvent::Close { block }, &mut out);
    }
    let mut end = Vec::new();
    encoder.end(&response.stop, usage, &mut end);
    let at = last_event(&end);
    out.extend_from_slice(&end[..at]);
    out.extend_from_slice(comment);
    out.extend_from_slice(&end[at..]);
    Some(out.into())
}

#[cfg(test)]
mod tests;
