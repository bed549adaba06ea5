//! Answers of an emulated format: the arguments of the gateway's own tool, or a JSON object that the model was told to write. An answer
//! in another form is an error, as it is at vendors that have the format.

use crate::conversation::{AnswerForm, AnswerTool, JsonAnswer, OutputEvent};
use crate::dialect::error::UpstreamError;

/// Code of vendors that have the format.
const CODE: &str = "json_validate_failed";
const MESSAGE: &str = "the model answered with another text than one JSON object; ask more clearly, or use a model that has \
    this answer format";

/// Check of one response; does nothing for an answer in its own form.
pub(super) struct AnswerCheck {
    tool: Option<AnswerTool>,
    object: Option<JsonAnswer>,
}

impl AnswerCheck {
    pub(super) fn of(form: AnswerForm) -> AnswerCheck {
        AnswerCheck {
            tool: (form == AnswerForm::Call).then(AnswerTool::default),
            object: (form != AnswerForm::Own).then(JsonAnswer::default),
        }
    }

    pub(super) fn is_passive(&self) -> bool {
        self.object.is_none()
    }

    /// The event as the client sees it.
    pub(super) fn translate(&mut self, event: OutputEvent) -> Vec<OutputEvent> {
        let events = match &mut self.tool {
            Some(tool) => tool.translate(event),
            None => vec![event],
        };
        let Some(object) = &mut self.object else {
            return events;
        };
        let events = events.into_iter();
        events.flat_map(|event| object.translate(event)).collect()
    }

    /// Fault of the answer, once it has ended.
    pub(super) fn fault(&self) -> Option<UpstreamError> {
        let object = self.object.as_ref()?;
        object.is_other_text().then(|| UpstreamError {
            status: Some(400),
            kind: CODE.to_owned(),
            ..UpstreamError::new(MESSAGE)
        })
    }
}
