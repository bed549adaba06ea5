//! Orders the turns of a request as all vendors accept them: no two turns of one role in a row, and
//! after tool calls one user turn that begins with all results, in call order. A missing result
//! becomes an error, a result without a call becomes text. Must never move anything else: that
//! would invalidate the vendor's prompt cache.

use crate::conversation::{ChatRequest, Content, ContentBlock, Role, ToolResult, Turn};

/// Text in place of a missing tool result.
const MISSING_RESULT: &str = "The tool was not run: no result was given.";

impl ChatRequest {
    /// Orders the turns and completes the tool names of results.
    pub fn order_turns(&mut self) {
        let mut orderer = TurnOrderer::default();
        for turn in std::mem::take(&mut self.turns) {
            match turn.role {
                Role::Assistant => orderer.assistant(turn),
                Role::User => orderer.user(turn),
                Role::System => orderer.system(turn),
            }
        }
        orderer.close();
        self.turns = orderer.ordered;
    }

    /// Joins successive turns of one role.
    pub fn join_turns(&mut self) {
        let mut joined: Vec<Turn> = Vec::with_capacity(self.turns.len());
        for turn in std::mem::take(&mut self.turns) {
            match joined.last_mut() {
                Some(previous) if previous.role == turn.role => previous.blocks.extend(turn.blocks),
                _ => joined.push(turn),
            }
        }
        self.turns = joined;
    }
}

#[derive(Default)]
struct TurnOrderer {
    ordered: Vec<Turn>,
    /// calls of the last assistant turn, with their results
    calls: Vec<PendingCall>,
    /// user content besides the results
    rest: Vec<ContentBlock>,
    /// system turns before the results were complete
    systems: Vec<Turn>,
}

struct PendingCall {
    id: String,
    name: String,
    result: Option<ContentBlock>,
}

impl TurnOrderer {
    fn assistant(&mut self, turn: Turn) {
        let calls = turn.blocks.iter().filter_map(|block| match &block.content {
            Content::ToolCall(call) => Some(PendingCall {
                id: call.id.clone(),
                name: call.name.clone(),
                result: None,
            }),
            _ => None,
        });
        let calls: Vec<PendingCall> = calls.collect();
        let has_no_user_input = self.rest.is_empty()
            && self.systems.is_empty()
            && self.calls.iter().all(|call| call.result.is_none());
        match self.ordered.last_mut() {
            Some(previous) if previous.role == Role::Assistant && has_no_user_input => {
                previous.blocks.extend(turn.blocks)
            }
            _ => {
                self.close();
                self.ordered.push(turn);
            }
        }
        self.calls.extend(calls);
    }

    fn user(&mut self, turn: Turn) {
        for block in turn.blocks {
            self.user_block(block);
        }
        if self.calls.is_empty() && !self.rest.is_empty() {
            let blocks = std::mem::take(&mut self.rest);
            match self.ordered.last_mut() {
                Some(previous) if previous.role == Role::User => previous.blocks.extend(blocks),
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
            // no call in the previous turn: only the content is kept
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

    /// Adds the user turn with the results of the last assistant turn.
    fn close(&mut self) {
        let results = self.calls.drain(..).map(|call| {
            call.result
                .unwrap_or_else(|| missing_result(&call.id, &call.name))
        });
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

fn missing_result(id: &str, name: &str) -> ContentBlock {
    let blocks = vec![Content::Text(MISSING_RESULT.to_owned()).into()];
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

    /// One line for each ordered turn: role and blocks.
    fn ordered(turns: Vec<Turn>) -> Vec<String> {
        let mut request = ChatRequest {
            turns,
            ..ChatRequest::default()
        };
        request.order_turns();
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
        request.turns.iter().map(line).collect()
    }

    #[test]
    fn e05_tool_results_are_one_user_turn_in_call_order_before_text() {
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
    fn missing_tool_result_is_an_error_and_unexpected_result_is_text() {
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
                format!("User: tool_a {MISSING_RESULT}! | tool_b of b | of c"),
                "Assistant: so | call d".to_owned(),
                format!("User: tool_d {MISSING_RESULT}!"),
            ]
        );
    }

    #[test]
    fn system_turn_keeps_its_position_except_between_call_and_result() {
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
