//! Tap on a stream of the Messages dialect that is passed through.

use bytes::Bytes;

use crate::dialect::error::{KindField, UpstreamError, read_error_event};
use crate::dialect::messages::error;
use crate::dialect::messages::event::{MessagesEvent, MessagesEventKind};
use crate::dialect::messages::usage::MessagesUsage;
use crate::dialect::tap::{EventKind, PassthroughTap};
use crate::dialect::text_counter::DeliveredText;
use crate::dialect::wire::json;
use crate::dialect::wire::sse::Fields;
use crate::dialect::wire::template::{Repetition, VariableParts};
use crate::domain::api_error::ApiError;
use crate::domain::usage::ReportedUsage;

/// Tap on one messages stream.
#[derive(Clone, Debug, Default)]
pub(super) struct MessagesTap {
    usage: MessagesUsage,
    output_is_final: bool,
    delivered: DeliveredText,
    /// a stop reason was read
    stopped: bool,
    variable_parts: Option<VariableParts>,
}

impl MessagesTap {
    fn count(&mut self, event: &mut MessagesEvent) {
        self.stopped |= event.stopped;
        self.usage.then(std::mem::take(&mut event.usage));
        self.output_is_final |= self.stopped && event.has_final_usage;
        match event.metrics.take() {
            // the model's own final count is known: Bedrock's fill the gaps
            Some(metrics) if self.output_is_final => self.usage.or(metrics),
            Some(metrics) => {
                self.output_is_final = metrics.output_is_reported();
                self.usage.then(metrics);
            }
            None => {}
        }
        self.delivered.add(event.block.output.delivered);
    }
}

impl PassthroughTap for MessagesTap {
    fn read(&mut self, event: &Fields<'_>) -> EventKind {
        let name = event.event.map(MessagesEventKind::of).unwrap_or_default();
        let data = event.data.trim_ascii();
        match data {
            _ if name == MessagesEventKind::Error => {
                return EventKind::Error(read_error_event(data, KindField::Type));
            }
            b"" if name == MessagesEventKind::Stop => return EventKind::Terminal,
            // OpenAI's terminal event, which some vendors that borrow this dialect add
            b"" | b"[DONE]" => return EventKind::Head,
            _ => {}
        }
        let Ok(mut event) = json::read(&MessagesEvent::default(), data) else {
            return EventKind::Error(UpstreamError::event_not_json());
        };
        self.variable_parts = event.variable_parts();
        self.count(&mut event);
        let kind = event.kind.unwrap_or(name);
        if kind == MessagesEventKind::Error || event.error.seen {
            return EventKind::Error(event.error.error_or_default(KindField::Type));
        }
        match kind {
            MessagesEventKind::Stop => EventKind::Terminal,
            _ if event.block.output.has_content => EventKind::Content,
            _ => EventKind::Head,
        }
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
        self.output_is_final
    }

    fn delivered(&self) -> DeliveredText {
        self.delivered
    }

    fn error_events(&self, error: &ApiError, request_id: &str) -> Bytes {
        error::error_event(error, request_id)
    }
}

#[cfg(test)]
mod tests;
