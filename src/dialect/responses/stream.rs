//! Tap on a stream of the Responses dialect that is passed through. The gateway's own error continues the numbers of its events.

use bytes::Bytes;

use crate::dialect::error::{KindField, UpstreamError, read_error_event};
use crate::dialect::responses::error;
use crate::dialect::responses::event::{ResponsesEvent, ResponsesEventKind};
use crate::dialect::responses::usage::ResponsesUsage;
use crate::dialect::tap::{EventKind, PassthroughTap};
use crate::dialect::text_counter::DeliveredText;
use crate::dialect::wire::json;
use crate::dialect::wire::sse::Fields;
use crate::dialect::wire::template::{Repetition, VariableParts};
use crate::domain::api_error::ApiError;
use crate::domain::usage::ReportedUsage;

/// Tap on one Responses stream.
#[derive(Clone, Debug, Default)]
pub(super) struct ResponsesTap {
    usage: ResponsesUsage,
    delivered: DeliveredText,
    output_is_final: bool,
    /// id of the response, from the upstream
    id: Option<String>,
    next_sequence: u64,
    variable_parts: Option<VariableParts>,
}

impl ResponsesTap {
    fn note(&mut self, event: &ResponsesEvent, kind: ResponsesEventKind) {
        if kind == ResponsesEventKind::ItemDone {
            self.usage.tools.items.add(&event.item.tools);
        }
        // earlier events carry the response as of then
        let is_last = matches!(kind, ResponsesEventKind::Stop | ResponsesEventKind::Error);
        self.output_is_final |= is_last && event.answered.usage.output_is_reported();
        self.usage.then(event.answered.usage.clone());
        match kind {
            ResponsesEventKind::Delta => self.delivered.add(event.delta.delivered),
            // the name of a tool; its arguments come in deltas
            ResponsesEventKind::ItemAdded => self.delivered.add(event.item.output.delivered),
            _ => {}
        }
        // the gateway's own error takes the number of the upstream's
        if let Some(sequence) = event.sequence.filter(|_| kind != ResponsesEventKind::Error) {
            self.next_sequence = sequence.saturating_add(1);
        }
        if let Some(id) = &event.answered.id {
            self.id = Some(id.clone());
        }
    }
}

impl PassthroughTap for ResponsesTap {
    fn read(&mut self, event: &Fields<'_>) -> EventKind {
        let name = event.event.map(ResponsesEventKind::of).unwrap_or_default();
        let data = event.data.trim_ascii();
        match data {
            _ if event.event == Some(b"error") => {
                return EventKind::Error(read_error_event(data, KindField::Code));
            }
            // the terminal event of chat, which some vendors that borrow this dialect add
            b"" | b"[DONE]" => return EventKind::Head,
            _ => {}
        }
        let Ok(event) = json::read(&ResponsesEvent::default(), data) else {
            return EventKind::Error(UpstreamError::event_not_json());
        };
        let kind = event.kind.unwrap_or(name);
        self.note(&event, kind);
        self.variable_parts = event.variable_parts(kind);
        match kind {
            ResponsesEventKind::Error if event.answered.error.seen => {
                EventKind::Error(event.answered.error.error_or_default(KindField::Code))
            }
            ResponsesEventKind::Error => EventKind::Error(read_error_event(data, KindField::Code)),
            ResponsesEventKind::Stop => EventKind::Terminal,
            ResponsesEventKind::Delta => EventKind::Content,
            ResponsesEventKind::ItemDone if event.item.output.has_content => EventKind::Content,
            _ => EventKind::Head,
        }
    }

    fn variable_parts(&self) -> Option<VariableParts> {
        self.variable_parts
    }

    fn repeat(&mut self, event: &Repetition<'_>) {
        self.delivered.count(&event.text);
        if let Some(sequence) = event.number {
            self.next_sequence = sequence.saturating_add(1);
        }
    }

    /// Numbers and text of events for the client continue without the event.
    fn read_trailing_usage(&mut self, event: &Fields<'_>) -> EventKind {
        let (delivered, id, next_sequence) = (self.delivered, self.id.clone(), self.next_sequence);
        let kind = self.read(event);
        (self.delivered, self.id, self.next_sequence) = (delivered, id, next_sequence);
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
        let id = self
            .id
            .clone()
            .unwrap_or_else(|| error::response_id(request_id));
        error::error_events(error, &id, self.next_sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::samples;
    use crate::dialect::wire::sse;
    use crate::domain::usage::Usage;

    const STREAM: &str = include_str!("../../../tests/golden/openai/responses.sse");
    const FAILED: &str = include_str!("../../../tests/golden/openai/responses-failed.sse");

    /// Reads a stream: one letter per event, and the tap.
    fn read(stream: &str) -> (String, ResponsesTap) {
        let mut tap = ResponsesTap::default();
        let letter = |event: &bytes::Bytes| match tap.read(&sse::parse(event)) {
            EventKind::Head => 'h',
            EventKind::Content => 'c',
            EventKind::Terminal => 't',
            EventKind::Hidden => '-',
            EventKind::Error(_) | EventKind::Truncated => 'e',
        };
        (samples::events(stream).iter().map(letter).collect(), tap)
    }

    #[test]
    fn p07_stream_usage_is_that_of_the_last_event() {
        let (kinds, tap) = read(STREAM);
        assert_eq!(kinds, "hhhhcchhchhcchhchhcchchcchct");
        let usage = Usage {
            uncached_in: 200,
            cache_read: 1_500,
            cache_write_other: 300,
            out_total: 120,
            reasoning: 64,
            service_tier: Some("default".into()),
            ..Usage::default()
        };
        assert_eq!(
            (tap.report(), tap.output_is_final()),
            (ReportedUsage::Complete(usage), true)
        );
        // the deltas and the names of the calls, each once
        let said = "**Grübelt**\n\nüber KrebseEin 🦀 läuft.spawn_agentmulti_agent_v1{\"message\":\"hör zu\"}apply_patch*** Begin Patch\n*** End Patch";
        assert_eq!(tap.delivered().text_bytes, said.len() as u64);
    }

    #[test]
    fn error_events_continue_the_numbers_of_the_stream() {
        let events = samples::events(FAILED);
        let mut tap = ResponsesTap::default();
        let (last, before) = events.split_last().expect("events");
        before.iter().for_each(|event| {
            assert!(!matches!(tap.read(&sse::parse(event)), EventKind::Error(_)))
        });
        let events_sent = tap.error_events(&ApiError::invalid("so \"it\" is"), "req_1");
        let numbers = ["\"sequence_number\":5", "\"sequence_number\":6"];
        for (event, (name, number)) in
            samples::events(std::str::from_utf8(&events_sent).expect("UTF-8"))
                .iter()
                .zip([("error", numbers[0]), ("response.failed", numbers[1])])
        {
            let fields = sse::parse(event);
            let data = String::from_utf8_lossy(&fields.data).into_owned();
            assert_eq!(fields.event, Some(name.as_bytes()));
            assert!(
                data.contains(number) && data.contains(r#""message":"so \"it\" is""#),
                "{data}"
            );
            assert!(
                name == "error" || data.contains(r#""id":"resp_0a51""#),
                "{data}"
            );
        }
        let EventKind::Error(error) = tap.read(&sse::parse(last)) else {
            panic!("no error")
        };
        assert_eq!(
            (error.status, error.kind.as_str()),
            (Some(500), "server_error")
        );
        assert_eq!(
            error.message,
            "The server had an error while processing your request."
        );
    }

    #[test]
    fn output_count_is_final_in_the_last_event_only_and_trailing_usage_moves_no_number() {
        let event = |kind: &str, usage: &str| {
            let usage = format!(r#""usage":{{"input_tokens":7{usage}}}"#);
            format!(
                r#"data: {{"type":"response.{kind}","sequence_number":9,"response":{{"id":"resp_b",{usage}}}}}"#
            ) + "\n\n"
        };
        let counted = r#","output_tokens":3"#;
        for (events, is_final) in [
            (
                event("in_progress", counted) + &event("completed", ""),
                false,
            ),
            (
                event("in_progress", "") + &event("completed", counted),
                true,
            ),
            (event("failed", counted), true),
            (event("failed", ""), false),
        ] {
            assert_eq!(read(&events).1.output_is_final(), is_final, "{events}");
        }
        let (_, mut tap) = read(
            "data: {\"type\":\"response.output_text.delta\",\"delta\":\"so\",\"sequence_number\":4}\n\n",
        );
        let before = (
            tap.error_events(&ApiError::invalid("no"), "req_1"),
            tap.delivered(),
        );
        tap.read_trailing_usage(&sse::parse(event("completed", counted).as_bytes()));
        assert_eq!(
            (
                tap.error_events(&ApiError::invalid("no"), "req_1"),
                tap.delivered()
            ),
            before
        );
        assert!(tap.output_is_final());
    }

    #[test]
    fn error_of_either_shape_is_an_error_and_incomplete_is_terminal() {
        for (event, kind) in [
            (
                "event: error\ndata: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"m\",\"param\":null,\"sequence_number\":3}",
                'e',
            ),
            (
                "data: {\"type\":\"error\",\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"m\"}}",
                'e',
            ),
            ("data: {\"type\":\"response.failed\"}", 'e'),
            ("data: not JSON", 'e'),
            (
                "data: {\"type\":\"response.incomplete\",\"response\":{\"incomplete_details\":{\"reason\":\"max_output_tokens\"}}}",
                't',
            ),
            ("data: [DONE]", 'h'),
            (": ping", 'h'),
        ] {
            assert_eq!(read(&format!("{event}\n\n")).0, kind.to_string(), "{event}");
        }
    }

    #[test]
    fn damaged_stream_never_panics() {
        for stream in samples::damaged(STREAM.as_bytes(), 500) {
            let mut tap = ResponsesTap::default();
            for event in samples::events_of(&stream) {
                tap.read(&sse::parse(&event));
            }
            tap.report();
        }
    }
}
