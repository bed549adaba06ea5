//! Reads along in a stream of Responses: what each event is for the relay, what the stream used, and where an error of our own
//! would have to go on counting.

use bytes::Bytes;

use crate::dialect::json;
use crate::dialect::output::Delivered;
use crate::dialect::responses::event::{Answered, EventKind, ResponsesEvent, ResponsesUsage};
use crate::dialect::responses::failure;
use crate::dialect::sse::Fields;
use crate::dialect::tee::Kind;
use crate::dialect::{Dialect, UpstreamFault, fault};
use crate::domain::problem::Problem;
use crate::domain::usage::Report;

/// Reads one stream.
#[derive(Clone, Debug, Default)]
pub(in crate::dialect) struct ResponsesTee {
    usage: ResponsesUsage,
    delivered: Delivered,
    stopped: bool,
    /// the answer's id, as the upstream gave it
    id: Option<String>,
    next_sequence: u64,
}

impl ResponsesTee {
    pub(in crate::dialect) fn read(&mut self, fields: &Fields<'_>) -> Kind {
        let name = fields.event.map(EventKind::of).unwrap_or_default();
        let data = fields.data.trim_ascii();
        match data {
            _ if fields.event == Some(b"error") => return Kind::Error(fault::named(Dialect::Responses, data)),
            // chat's end mark, which some who borrow this dialect add
            b"" | b"[DONE]" => return Kind::Head,
            _ => {}
        }
        let Ok(event) = json::read(&ResponsesEvent::default(), data) else {
            return Kind::Error(UpstreamFault::new("the upstream sent an event that is not JSON"));
        };
        let kind = event.kind.unwrap_or(name);
        self.note(&event, kind);
        match kind {
            EventKind::Error if event.answered.error.seen => Kind::Error(event.answered.error.certain_fault(Dialect::Responses)),
            EventKind::Error => Kind::Error(fault::named(Dialect::Responses, data)),
            EventKind::Stop => Kind::Terminal,
            EventKind::Delta => Kind::Content,
            EventKind::ItemDone if event.item.output.has_content => Kind::Content,
            _ => Kind::Head,
        }
    }

    fn note(&mut self, event: &ResponsesEvent, kind: EventKind) {
        self.usage.searched(event.item_searches(kind));
        self.usage.then(event.answered.usage.clone());
        self.stopped |= kind == EventKind::Stop;
        match kind {
            EventKind::Delta => self.delivered.add(event.delta.delivered),
            // a tool's name; its arguments come in deltas
            EventKind::ItemAdded => self.delivered.add(event.item.output.delivered),
            _ => {}
        }
        if let Some(sequence) = event.sequence {
            self.next_sequence = sequence.saturating_add(1);
        }
        if let Some(id) = &event.answered.id {
            self.id = Some(id.clone());
        }
    }

    pub(in crate::dialect) fn report(&self) -> Report {
        self.usage.report()
    }

    pub(in crate::dialect) fn output_is_final(&self) -> bool {
        self.stopped && self.usage.output_said()
    }

    pub(in crate::dialect) fn delivered(&self) -> Delivered {
        self.delivered
    }

    /// A failure within the stream, counted on from the last event.
    pub(in crate::dialect) fn failed(&self, problem: &Problem, request_id: &str) -> Bytes {
        let id = self.id.clone().unwrap_or_else(|| failure::response_id(request_id));
        failure::events(problem, &id, self.next_sequence)
    }
}

/// A whole answer, read.
pub(in crate::dialect) fn whole(body: &[u8]) -> Result<Answered, serde_json::Error> {
    json::read(&Answered::default(), body)
}
