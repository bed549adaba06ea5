//! Answer formats that a model lacks: a schema of any object, a tool that the model must call, or an instruction; refused where none
//! of them gives the answer that was asked for.

use super::CapabilityFilter;
use crate::conversation::{
    ANSWER_TOOL, AnswerForm, Content, Format, RawJson, Role, Tool, ToolChoice, Turn, raw,
};
use crate::domain::api_error::ApiError;

/// Descriptions in place of an answer format that the model does not have.
const ANSWER_DESCRIPTION: &str =
    "Gives the answer to the user. Always call it, once, with the whole answer.";
const JSON_INSTRUCTION: &str = "Answer with one JSON object and nothing else.";

impl CapabilityFilter<'_> {
    /// A format that the model lacks is emulated, or refused: an answer in another format is not the one asked for.
    pub(super) fn format(&mut self) -> Result<(), ApiError> {
        let capabilities = self.capabilities;
        let is_supported = match &self.request.format {
            Format::Text => true,
            Format::JsonObject => capabilities.json_object,
            Format::JsonSchema { .. } => capabilities.json_schema,
        };
        if is_supported {
            return Ok(());
        }
        match std::mem::take(&mut self.request.format) {
            // a schema of any object is equivalent
            Format::JsonObject if capabilities.json_schema && capabilities.open_schemas => {
                self.request.format = Format::JsonSchema {
                    name: "object".to_owned(),
                    description: None,
                    schema: raw(r#"{"type":"object"}"#.to_owned()).unwrap_or_default(),
                    strict: None,
                };
                return Ok(());
            }
            // any text can hold JSON, if the model is told to
            Format::JsonObject => {
                self.instruct(JSON_INSTRUCTION.to_owned());
                self.request.answer_form = AnswerForm::Instructed;
            }
            Format::JsonSchema { schema, .. } if self.can_force_answer(&schema) => {
                self.force_answer(schema);
            }
            Format::JsonSchema { .. } | Format::Text => {
                let reason = "cannot answer by a JSON schema in this request; ask for a JSON object, or use another model";
                return Err(self.refusal(reason, self.field_names.format));
            }
        }
        self.request.drop_param(self.field_names.format);
        Ok(())
    }

    /// The model can be told to call one tool, and the client has none that it might have called instead. Arguments are objects.
    fn can_force_answer(&self, schema: &RawJson) -> bool {
        let capabilities = self.capabilities;
        let is_object = serde_json::from_str::<serde_json::Value>(schema.as_str())
            .is_ok_and(|schema| schema["type"] == "object");
        capabilities.tools
            && capabilities.tool_choice_forced
            && self.request.tools.is_empty()
            && is_object
    }

    /// The schema becomes the arguments of a tool that the model must call.
    fn force_answer(&mut self, schema: RawJson) {
        self.request.tools = vec![Tool {
            name: ANSWER_TOOL.to_owned(),
            description: Some(ANSWER_DESCRIPTION.to_owned()),
            schema,
            strict: None,
            cache: None,
        }];
        // of one tool, and taken by models that refuse a name
        self.request.tool_choice = ToolChoice::Any;
        self.request.answer_form = AnswerForm::Call;
    }

    /// Adds an instruction after the system turns at the beginning.
    fn instruct(&mut self, text: String) {
        let turns = &mut self.request.turns;
        let heads = turns.iter().take_while(|turn| turn.role == Role::System);
        let at = heads.count();
        let blocks = vec![Content::Text(text).into()];
        let role = Role::System;
        turns.insert(at, Turn { role, blocks });
    }
}
