//! Reads along in a stream of Responses: what each event is for the relay, what the stream used, and where an error of our own
//! would have to go on counting.

use bytes::Bytes;

use crate::dialect::output::DeliveredText;
use crate::dialect::responses::event::{
    ResponseBody, ResponsesEvent, ResponsesEventKind, ResponsesUsage,
};
use crate::dialect::responses::failure;
use crate::dialect::tee::EventKind;
use crate::dialect::wire::json;
use crate::dialect::wire::sse::Fields;
use crate::dialect::{Dialect, UpstreamError, fault};
use crate::domain::api_error::ApiError;
use crate::domain::usage::ReportedUsage;

/// Reads one stream.
#[derive(Clone, Debug, Default)]
pub(in crate::dialect) struct ResponsesTap {
    usage: ResponsesUsage,
    delivered: DeliveredText,
    output_is_final: bool,
    /// the answer's id, as the upstream gave it
    id: Option<String>,
    next_sequence: u64,
}

impl ResponsesTap {
    pub(in crate::dialect) fn read(&mut self, fields: &Fields<'_>) -> EventKind {
        let name = fields.event.map(ResponsesEventKind::of).unwrap_or_default();
        let data = fields.data.trim_ascii();
        match data {
            _ if fields.event == Some(b"error") => {
                return EventKind::Error(fault::named(Dialect::Responses, data));
            }
            // chat's end mark, which some who borrow this dialect add
            b"" | b"[DONE]" => return EventKind::Head,
            _ => {}
        }
        let Ok(event) = json::read(&ResponsesEvent::default(), data) else {
            return EventKind::Error(UpstreamError::unreadable(
                "the upstream sent an event that is not JSON",
            ));
        };
        let kind = event.kind.unwrap_or(name);
        self.note(&event, kind);
        match kind {
            ResponsesEventKind::Error if event.answered.error.seen => {
                EventKind::Error(event.answered.error.certain_fault(Dialect::Responses))
            }
            ResponsesEventKind::Error => EventKind::Error(fault::named(Dialect::Responses, data)),
            ResponsesEventKind::Stop => EventKind::Terminal,
            ResponsesEventKind::Delta => EventKind::Content,
            ResponsesEventKind::ItemDone if event.item.output.has_content => EventKind::Content,
            _ => EventKind::Head,
        }
    }

    /// Reads an event that the client does not get to see, for its usage alone: what the client is told counts on without it.
    pub(in crate::dialect) fn read_trailing_usage(&mut self, fields: &Fields<'_>) -> EventKind {
        let (delivered, id, next_sequence) = (self.delivered, self.id.clone(), self.next_sequence);
        let kind = self.read(fields);
        (self.delivered, self.id, self.next_sequence) = (delivered, id, next_sequence);
        kind
    }

    fn note(&mut self, event: &ResponsesEvent, kind: ResponsesEventKind) {
        self.usage.searched(event.item_searches(kind));
        // the events before the last bring the answer as it stands then
        let is_last = matches!(kind, ResponsesEventKind::Stop | ResponsesEventKind::Error);
        self.output_is_final |= is_last && event.answered.usage.output_said();
        self.usage.then(event.answered.usage.clone());
        match kind {
            ResponsesEventKind::Delta => self.delivered.add(event.delta.delivered),
            // a tool's name; its arguments come in deltas
            ResponsesEventKind::ItemAdded => self.delivered.add(event.item.output.delivered),
            _ => {}
        }
        // an error is told in our own words, in the place of the upstream's
        if let Some(sequence) = event.sequence.filter(|_| kind != ResponsesEventKind::Error) {
            self.next_sequence = sequence.saturating_add(1);
        }
        if let Some(id) = &event.answered.id {
            self.id = Some(id.clone());
        }
    }

    pub(in crate::dialect) fn report(&self) -> ReportedUsage {
        self.usage.report()
    }

    pub(in crate::dialect) fn output_is_final(&self) -> bool {
        self.output_is_final
    }

    pub(in crate::dialect) fn delivered(&self) -> DeliveredText {
        self.delivered
    }

    /// A failure within the stream, counted on from the last event.
    pub(in crate::dialect) fn failed(&self, problem: &ApiError, request_id: &str) -> Bytes {
        let id = self
            .id
            .clone()
            .unwrap_or_else(|| failure::response_id(request_id));
        failure::events(problem, &id, self.next_sequence)
    }
}

/// A whole answer, read.
pub(in crate::dialect) fn whole(body: &[u8]) -> Result<ResponseBody, serde_json::Error> {
    json::read(&ResponseBody::default(), body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::samples;
    use crate::dialect::wire::sse;
    use crate::domain::usage::Usage;

    const STREAM: &str = include_str!("../../../tests/golden/openai/responses.sse");
    const FAILED: &str = include_str!("../../../tests/golden/openai/responses-failed.sse");

    /// One letter per event, and the tee.
    fn read(stream: &str) -> (String, ResponsesTap) {
        let mut tee = ResponsesTap::default();
        let letter = |event: &bytes::Bytes| match tee.read(&sse::parse(event)) {
            EventKind::Head => 'h',
            EventKind::Content => 'c',
            EventKind::Terminal => 't',
            EventKind::Hidden => '-',
            EventKind::Error(_) | EventKind::Truncated => 'e',
        };
        (samples::events(stream).iter().map(letter).collect(), tee)
    }

    #[test]
    fn p07_a_stream_is_read_and_its_usage_is_that_of_the_last_event() {
        let (kinds, tee) = read(STREAM);
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
            (tee.report(), tee.output_is_final()),
            (ReportedUsage::Complete(usage), true)
        );
        // the deltas and the names of the calls, each once
        let said = "**Grübelt**\n\nüber KrebseEin 🦀 läuft.spawn_agentmulti_agent_v1{\"message\":\"hör zu\"}apply_patch*** Begin Patch\n*** End Patch";
        assert_eq!(tee.delivered().text_bytes, said.len() as u64);
    }

    #[test]
    fn a_failure_goes_on_counting_where_the_stream_stood() {
        let events = samples::events(FAILED);
        let mut tee = ResponsesTap::default();
        let (last, before) = events.split_last().expect("events");
        before.iter().for_each(|event| {
            assert!(!matches!(tee.read(&sse::parse(event)), EventKind::Error(_)))
        });
        let told = tee.failed(&ApiError::invalid("so \"it\" is"), "req_1");
        let numbers = ["\"sequence_number\":5", "\"sequence_number\":6"];
        for (event, (name, number)) in samples::events(std::str::from_utf8(&told).expect("UTF-8"))
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
        let EventKind::Error(fault) = tee.read(&sse::parse(last)) else {
            panic!("no error")
        };
        assert_eq!(
            (fault.status, fault.kind.as_str()),
            (Some(500), "server_error")
        );
        assert_eq!(
            fault.message,
            "The server had an error while processing your request."
        );
    }

    #[test]
    fn a_count_is_the_last_word_in_the_last_event_only_and_what_is_overheard_moves_nothing() {
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
        let (_, mut tee) = read(
            "data: {\"type\":\"response.output_text.delta\",\"delta\":\"so\",\"sequence_number\":4}\n\n",
        );
        let before = (
            tee.failed(&ApiError::invalid("no"), "req_1"),
            tee.delivered(),
        );
        tee.read_trailing_usage(&sse::parse(event("completed", counted).as_bytes()));
        assert_eq!(
            (
                tee.failed(&ApiError::invalid("no"), "req_1"),
                tee.delivered()
            ),
            before
        );
        assert!(tee.output_is_final());
    }

    #[test]
    fn errors_of_both_shapes_are_errors_and_incomplete_is_whole() {
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
    fn nothing_that_an_upstream_sends_stops_the_reading() {
        for stream in samples::damaged(STREAM.as_bytes(), 500) {
            let mut tee = ResponsesTap::default();
            for event in samples::events_of(&stream) {
                tee.read(&sse::parse(&event));
            }
            tee.report();
        }
    }
}
