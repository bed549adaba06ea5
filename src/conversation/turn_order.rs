//! Brings the turns of an ask into the one order that every vendor takes: no two turns of one role in a row, and after calls
//! of tools one user turn that begins with all their results, in the order of the calls. A result that is missing gets an
//! error in its place; one that nobody asked for becomes text. Nothing else moves (it would break the vendor's cache of the beginning).

use crate::conversation::{ChatRequest, Content, ContentBlock, Role, ToolResult, Turn};

/// What stands where the client gave no result.
const MISSING: &str = "The tool was not run: no result was given.";

impl ChatRequest {
    /// Orders the turns, and fills in the names of the tools that results belong to.
    pub fn order_turns(&mut self) {
        let mut ordering = TurnOrderer::default();
        for turn in std::mem::take(&mut self.turns) {
            match turn.role {
                Role::Assistant => ordering.assistant(turn),
                Role::User => ordering.user(turn),
                Role::System => ordering.system(turn),
            }
        }
        ordering.close();
        self.turns = ordering.ordered;
    }

    /// Joins turns of one role that follow each other.
    pub fn join_turns(&mut self) {
        let mut joined: Vec<Turn> = Vec::with_capacity(self.turns.len());
        for turn in std::mem::take(&mut self.turns) {
            match joined.last_mut() {
                Some(before) if before.role == turn.role => before.blocks.extend(turn.blocks),
                _ => joined.push(turn),
            }
        }
        self.turns = joined;
    }
}

#[derive(Default)]
struct TurnOrderer {
    ordered: Vec<Turn>,
    /// the calls of the last assistant turn: what each was, and its result
    calls: Vec<Call>,
    /// what the user said beside the results
    rest: Vec<ContentBlock>,
    /// system turns that came before the results were whole
    systems: Vec<Turn>,
}

struct Call {
    id: String,
    name: String,
    result: Option<ContentBlock>,
}

impl TurnOrderer {
    fn assistant(&mut self, turn: Turn) {
        let called = turn.blocks.iter().filter_map(|block| match &block.content {
            Content::ToolCall(call) => Some(Call {
                id: call.id.clone(),
                name: call.name.clone(),
                result: None,
            }),
            _ => None,
        });
        let called: Vec<Call> = called.collect();
        let unanswered = self.rest.is_empty()
            && self.systems.is_empty()
            && self.calls.iter().all(|call| call.result.is_none());
        match self.ordered.last_mut() {
            Some(before) if before.role == Role::Assistant && unanswered => {
                before.blocks.extend(turn.blocks)
            }
            _ => {
                self.close();
                self.ordered.push(turn);
            }
        }
        self.calls.extend(called);
    }

    fn user(&mut self, turn: Turn) {
        for block in turn.blocks {
            self.user_block(block);
        }
        if self.calls.is_empty() && !self.rest.is_empty() {
            let blocks = std::mem::take(&mut self.rest);
            match self.ordered.last_mut() {
                Some(before) if before.role == Role::User => before.blocks.extend(blocks),
                _ => self.ordered.push(Turn {
                    role: Role::User,
                    blocks,
                }),
            }
        }
    }

    fn user_block(&mut self, mut block: ContentBlock) {
        let Content::ToolResult(result) = &mut block.content else {
            return self.rest.push(block);
        };
        match self
            .calls
            .iter_mut()
            .find(|call| call.id == result.id && call.result.is_none())
        {
            Some(call) => {
                result.name.get_or_insert_with(|| call.name.clone());
                call.result = Some(block);
            }
            // it answers no call of the turn before: only its content is left
            None => self.rest.append(&mut result.blocks),
        }
    }

    fn system(&mut self, turn: Turn) {
        if self.calls.iter().any(|call| call.result.is_none()) {
            return self.systems.push(turn);
        }
        self.close();
        self.ordered.push(turn);
    }

    /// Ends what the last assistant turn began.
    fn close(&mut self) {
        let results = self
            .calls
            .drain(..)
            .map(|call| call.result.unwrap_or_else(|| missing(&call.id, &call.name)));
        let mut blocks: Vec<ContentBlock> = results.collect();
        blocks.append(&mut self.rest);
        if !blocks.is_empty() {
            self.ordered.push(Turn {
                role: Role::User,
                blocks,
            });
        }
        self.ordered.append(&mut self.systems);
    }
}

fn missing(id: &str, name: &str) -> ContentBlock {
    let blocks = vec![Content::Text(MISSING.to_owned()).into()];
    Content::ToolResult(ToolResult {
        id: id.to_owned(),
        name: Some(name.to_owned()),
        blocks,
        is_error: true,
    })
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::ToolCall;

    fn text(role: Role, text: &str) -> Turn {
        Turn {
            role,
            blocks: vec![Content::Text(text.into()).into()],
        }
    }

    fn call(id: &str) -> Turn {
        let call = ToolCall {
            id: id.into(),
            name: format!("tool_{id}"),
            arguments: String::new(),
            provider_state: None,
        };
        Turn {
            role: Role::Assistant,
            blocks: vec![Content::ToolCall(call).into()],
        }
    }

    fn result(id: &str) -> Turn {
        let blocks = vec![Content::Text(format!("of {id}")).into()];
        let result = ToolResult {
            id: id.into(),
            name: None,
            blocks,
            is_error: false,
        };
        Turn {
            role: Role::User,
            blocks: vec![Content::ToolResult(result).into()],
        }
    }

    /// One line per turn: its role, and its blocks.
    fn ordered(turns: Vec<Turn>) -> Vec<String> {
        let mut ask = ChatRequest {
            turns,
            ..ChatRequest::default()
        };
        ask.order_turns();
        let block = |block: &ContentBlock| match &block.content {
            Content::Text(text) => text.clone(),
            Content::ToolCall(call) => format!("call {}", call.id),
            Content::ToolResult(result) => {
                format!(
                    "{} {}{}",
                    result.name.as_deref().unwrap_or("?"),
                    result.text(),
                    if result.is_error { "!" } else { "" }
                )
            }
            _ => "?".to_owned(),
        };
        let line = |turn: &Turn| {
            let blocks: Vec<String> = turn.blocks.iter().map(block).collect();
            format!("{:?}: {}", turn.role, blocks.join(" | "))
        };
        ask.turns.iter().map(line).collect()
    }

    #[test]
    fn e05_results_of_a_turn_are_one_user_turn_in_the_order_of_the_calls_before_any_text() {
        let turns = vec![
            text(Role::User, "go"),
            call("a"),
            call("b"),
            text(Role::User, "and"),
            result("b"),
            result("a"),
            text(Role::User, "now"),
        ];
        assert_eq!(
            ordered(turns),
            [
                "User: go",
                "Assistant: call a | call b",
                "User: tool_a of a | tool_b of b | and | now"
            ]
        );
    }

    #[test]
    fn a_missing_result_is_an_error_and_one_that_nobody_asked_for_is_text() {
        let turns = vec![
            call("a"),
            call("b"),
            result("b"),
            result("c"),
            text(Role::Assistant, "so"),
            call("d"),
        ];
        assert_eq!(
            ordered(turns),
            [
                "Assistant: call a | call b".to_owned(),
                format!("User: tool_a {MISSING}! | tool_b of b | of c"),
                "Assistant: so | call d".to_owned(),
                format!("User: tool_d {MISSING}!"),
            ]
        );
    }

    #[test]
    fn a_system_turn_keeps_its_place_but_never_between_a_call_and_its_result() {
        let turns = vec![
            text(Role::System, "first"),
            text(Role::User, "go"),
            text(Role::System, "later"),
            call("a"),
            text(Role::System, "between"),
            result("a"),
            text(Role::System, "last"),
        ];
        assert_eq!(
            ordered(turns),
            [
                "System: first",
                "User: go",
                "System: later",
                "Assistant: call a",
                "User: tool_a of a",
                "System: between",
                "System: last"
            ]
        );
    }
}
