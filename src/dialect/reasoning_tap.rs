//! Reasoning before calls in a response that is passed through, for models that want it back: read beside the tap, so that a client
//! that drops it can be helped later.

use crate::conversation::{
    Content, Origin, OutputEvent, ProviderState, ProviderStateKind, ResponseBuilder,
    RetainedReasoning,
};
use crate::dialect::codec::ResponseDecoder;
use crate::dialect::wire::sse::Fields;

pub(super) struct ReasoningTap {
    decoder: Box<dyn ResponseDecoder>,
    builder: ResponseBuilder,
    origin: Origin,
    events: Vec<OutputEvent>,
}

impl ReasoningTap {
    pub(super) fn new(decoder: Box<dyn ResponseDecoder>, origin: Origin) -> ReasoningTap {
        ReasoningTap {
            decoder,
            builder: ResponseBuilder::reasoning_only(),
            origin,
            events: Vec::new(),
        }
    }

    pub(super) fn read(&mut self, fields: &Fields<'_>) {
        // errors are the tap's to find
        let _state = self.decoder.event(fields, &mut self.events);
        self.take_events();
    }

    pub(super) fn read_unary(&mut self, body: &[u8]) {
        let _flaw = self.decoder.decode_unary(body, &mut self.events);
        self.take_events();
    }

    fn take_events(&mut self) {
        for event in self.events.drain(..) {
            self.builder.add(&event);
        }
    }

    /// Reasoning and the calls after it. The text itself is all that the vendor wants back, so the state is empty.
    pub(super) fn retained(&self) -> Option<RetainedReasoning> {
        let mut response = self.builder.clone().build();
        for block in &mut response.blocks {
            if let Content::Reasoning(reasoning) = &mut block.content {
                reasoning
                    .provider_state
                    .get_or_insert_with(|| ProviderState {
                        origin: Some(self.origin.clone()),
                        kind: ProviderStateKind::Signature,
                        data: String::new(),
                    });
            }
        }
        response.retained_reasoning()
    }
}
