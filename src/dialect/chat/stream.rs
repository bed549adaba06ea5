//! Streams of the chat dialect: usage so far, and the tap on a stream that is passed through.

use bytes::Bytes;

use crate::dialect::chat::chunk::{Chunk, ChunkHead, choice_error};
use crate::dialect::chat::error;
use crate::dialect::chat::usage::ChatUsage;
use crate::dialect::error::{KindField, UpstreamError, read_error_event};
use crate::dialect::tap::{EventKind, PassthroughTap};
use crate::dialect::text_counter::DeliveredText;
use crate::dialect::wire::json;
use crate::dialect::wire::sse::Fields;
use crate::dialect::wire::template::{Repetition, VariableParts};
use crate::domain::api_error::ApiError;
use crate::domain::usage::ReportedUsage;

/// Tap on one chat stream.
#[derive(Clone, Debug)]
pub(super) struct ChatTap {
    hide_usage_chunk: bool,
    usage: StreamedUsage,
    delivered: DeliveredText,
    variable_parts: Option<VariableParts>,
}

impl ChatTap {
    pub(super) fn new(hide_usage_chunk: bool) -> ChatTap {
        ChatTap {
            hide_usage_chunk,
            usage: StreamedUsage::default(),
            delivered: DeliveredText::default(),
            variable_parts: None,
        }
    }

    fn kind(&self, chunk: Chunk) -> EventKind {
        let is_usage_chunk = chunk.head.has_usage && chunk.choices == 0;
        if chunk.head.error.seen {
            EventKind::Error(chunk.head.error.error_or_default(KindField::Code))
        } else if chunk.choice_failed {
            EventKind::Error(choice_error())
        } else if chunk.output.has_content {
            EventKind::Content
        } else if is_usage_chunk && self.hide_usage_chunk {
            EventKind::Hidden
        } else {
            EventKind::Head
        }
    }
}

impl PassthroughTap for ChatTap {
    fn read(&mut self, event: &Fields<'_>) -> EventKind {
        let data = event.data.trim_ascii();
        match data {
            _ if event.event == Some(b"error") => {
                self.usage.ended = true;
                return EventKind::Error(read_error_event(data, KindField::Code));
            }
            b"" => return EventKind::Head,
            b"[DONE]" if self.usage.ended => return EventKind::Terminal,
            b"[DONE]" => return EventKind::Truncated,
            _ => {}
        }
        let Ok(mut chunk) = json::read(&Chunk::default(), data) else {
            return EventKind::Error(UpstreamError::event_not_json());
        };
        self.variable_parts = chunk.variable_parts();
        let has_text = chunk.output.delivered.text_bytes > 0;
        self.usage.then(&mut chunk.head, chunk.stopped, has_text);
        self.delivered.add(chunk.output.delivered);
        self.kind(chunk)
    }

    fn variable_parts(&self) -> Option<VariableParts> {
        self.variable_parts
    }

    fn repeat(&mut self, event: &Repetition<'_>) {
        self.delivered.count(&event.text);
    }

    fn read_trailing_usage(&mut self, event: &Fields<'_>) -> EventKind {
        let delivered = self.delivered;
        let kind = self.read(event);
        self.delivered = delivered;
        kind
    }

    fn report(&self) -> ReportedUsage {
        self.usage.report()
    }

    fn output_is_final(&self) -> bool {
        self.usage.output_is_final
    }

    fn delivered(&self) -> DeliveredText {
        self.delivered
    }

    fn error_events(&self, error: &ApiError, _request_id: &str) -> Bytes {
        error::error_event(error)
    }
}

/// Usage of a stream. An output count is final only if it comes with the end or after it.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamedUsage {
    usage: ChatUsage,
    /// a finish reason or an error was read
    pub(super) ended: bool,
    pub(super) output_is_final: bool,
}

impl StreamedUsage {
    /// Takes the usage of the next chunk. `stopped`: one of its choices ended; `has_text`: one continues.
    pub(super) fn then(&mut self, head: &mut ChunkHead, stopped: bool, has_text: bool) {
        self.ended |= stopped || head.error.seen;
        let later = std::mem::take(&mut head.usage);
        if later.output_is_reported() {
            self.output_is_final = self.ended;
        } else if has_text {
            self.output_is_final = false;
        }
        self.usage.then(later);
    }

    pub(super) fn report(&self) -> ReportedUsage {
        self.usage.report()
    }
}

#[cfg(test)]
mod tests;
