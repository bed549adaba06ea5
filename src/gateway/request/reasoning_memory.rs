//! Reasoning that a client's dialect cannot carry: stored under the ids of the tool calls that followed it, and restored into
//! the conversation before it is encoded for the vendor that produced it. Must never cross from one team to another.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::conversation::{
    ChatRequest, Content, ContentBlock, Origin, ProviderState, ProviderStateKind, ReasoningBlock,
    RetainedReasoning, Role, StateSealer, Turn,
};
use crate::dialect::Dialect;
use crate::domain::id::TeamId;
use crate::store::reasoning_memory::ReasoningMemory;

/// Tool calls of a conversation that are looked up, from its end.
const CALLS_MAX: usize = 1_000;

/// Stored with one tool call: its provider state, and the reasoning before it if it was the first call of its turn.
#[derive(Deserialize, Serialize)]
struct StoredCall {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reasoning: Vec<StoredReasoning>,
    #[serde(default, rename = "opaque", skip_serializing_if = "Option::is_none")]
    provider_state: Option<StoredState>,
}

#[derive(Deserialize, Serialize)]
struct StoredReasoning {
    text: String,
    #[serde(rename = "opaque")]
    provider_state: Option<StoredState>,
}

#[derive(Deserialize, Serialize)]
struct StoredState {
    dialect: String,
    model: String,
    redacted: bool,
    data: String,
}

/// State of vendors between turns: sealed into the conversation where the client's dialect carries it, else in the memory.
pub(in crate::gateway) struct ReasoningStore {
    pub sealer: StateSealer,
    pub memory: Option<Arc<ReasoningMemory>>,
}

impl ReasoningStore {
    /// Stores what the tool calls of a response need in later turns.
    pub fn keep(&self, team: TeamId, retained: RetainedReasoning) {
        if let Some(memory) = &self.memory {
            keep(memory, team, retained);
        }
    }

    /// Text of the reasoning that a model of this dialect's vendor wrote before a call.
    pub fn text_before(&self, team: TeamId, call: &str, upstream: Dialect) -> Option<String> {
        let stored = stored_call(self.memory.as_ref()?, team, call)?;
        let blocks = stored.reasoning.into_iter();
        let texts: Vec<String> = blocks
            .filter_map(|block| Some(block.of(upstream)?.text))
            .collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    /// Restores what the client lost of the turns that this dialect's vendor produced. Returns the bytes added.
    pub fn recall(&self, team: TeamId, chat: &mut ChatRequest, upstream: Dialect) -> u64 {
        let memory = self.memory.as_ref();
        memory.map_or(0, |memory| recall(memory, team, chat, upstream))
    }
}

fn stored_call(memory: &ReasoningMemory, team: TeamId, id: &str) -> Option<StoredCall> {
    let plain = memory.find(team, id)?;
    serde_json::from_slice(&plain).ok()
}

fn keep(memory: &ReasoningMemory, team: TeamId, retained: RetainedReasoning) {
    let blocks = retained.reasoning.into_iter();
    let mut reasoning: Vec<StoredReasoning> = blocks.map(StoredReasoning::from).collect();
    for (id, state) in retained.calls {
        let stored = StoredCall {
            reasoning: std::mem::take(&mut reasoning),
            provider_state: state.and_then(StoredState::of),
        };
        if stored.reasoning.is_empty() && stored.provider_state.is_none() {
            continue;
        }
        match serde_json::to_vec(&stored) {
            Ok(plain) => memory.store(team, &id, plain),
            Err(error) => tracing::error!(error = %error, "reasoning not stored"),
        }
    }
}

fn recall(
    memory: &ReasoningMemory,
    team: TeamId,
    chat: &mut ChatRequest,
    upstream: Dialect,
) -> u64 {
    let is_call = |block: &&ContentBlock| matches!(block.content, Content::ToolCall(_));
    let (mut bytes, mut left) = (0, CALLS_MAX);
    let turns = chat.turns.iter_mut().rev();
    for turn in turns.filter(|turn| turn.role == Role::Assistant) {
        let calls = turn.blocks.iter().filter(is_call).count();
        if calls > left {
            break;
        }
        left -= calls;
        bytes += recall_turn(memory, team, turn, upstream);
    }
    bytes
}

/// Reasoning and call states of one turn, as far as they are stored. Returns the bytes of the states added to calls.
fn recall_calls(
    memory: &ReasoningMemory,
    team: TeamId,
    turn: &mut Turn,
    upstream: Dialect,
) -> (Vec<ReasoningBlock>, u64) {
    let (mut reasoning, mut bytes) = (Vec::new(), 0);
    for block in &mut turn.blocks {
        let Content::ToolCall(call) = &mut block.content else {
            continue;
        };
        let Some(stored) = stored_call(memory, team, &call.id) else {
            continue;
        };
        let blocks = stored.reasoning.into_iter();
        reasoning.extend(blocks.filter_map(|block| block.of(upstream)));
        if call.provider_state.is_none() {
            let is_own = |state: &StoredState| state.dialect == upstream.as_str();
            call.provider_state = stored.provider_state.filter(is_own).map(Into::into);
            bytes += state_bytes(call.provider_state.as_ref());
        }
    }
    (reasoning, bytes)
}

fn recall_turn(memory: &ReasoningMemory, team: TeamId, turn: &mut Turn, upstream: Dialect) -> u64 {
    let (reasoning, mut bytes) = recall_calls(memory, team, turn, upstream);
    let is_carried = |block: &ContentBlock| matches!(&block.content, Content::Reasoning(reasoning) if reasoning.provider_state.is_some());
    if reasoning.is_empty() || turn.blocks.iter().any(is_carried) {
        return bytes;
    }
    // the client's echo of the same reasoning lacks the provider state, so the vendor would not accept it
    turn.blocks
        .retain(|block| !matches!(block.content, Content::Reasoning(_)));
    for block in &reasoning {
        bytes += block.text.len() as u64 + state_bytes(block.provider_state.as_ref());
    }
    let blocks = reasoning.into_iter();
    turn.blocks
        .splice(0..0, blocks.map(|block| Content::Reasoning(block).into()));
    bytes
}

fn state_bytes(state: Option<&ProviderState>) -> u64 {
    state.map_or(0, |state| state.data.len() as u64)
}

impl From<ReasoningBlock> for StoredReasoning {
    fn from(block: ReasoningBlock) -> StoredReasoning {
        StoredReasoning {
            text: block.text,
            provider_state: block.provider_state.and_then(StoredState::of),
        }
    }
}

impl StoredReasoning {
    /// The block if the dialect's vendor produced it.
    fn of(self, upstream: Dialect) -> Option<ReasoningBlock> {
        let opaque = self
            .provider_state
            .filter(|opaque| opaque.dialect == upstream.as_str())?;
        Some(ReasoningBlock {
            text: self.text,
            provider_state: Some(opaque.into()),
        })
    }
}

impl StoredState {
    /// Provider state of known origin.
    fn of(state: ProviderState) -> Option<StoredState> {
        let Origin { dialect, model } = state.origin?;
        let redacted = state.kind == ProviderStateKind::Redacted;
        Some(StoredState {
            dialect: dialect.into_owned(),
            model,
            redacted,
            data: state.data,
        })
    }
}

impl From<StoredState> for ProviderState {
    fn from(stored: StoredState) -> ProviderState {
        let kind = if stored.redacted {
            ProviderStateKind::Redacted
        } else {
            ProviderStateKind::Signature
        };
        ProviderState {
            origin: Some(Origin {
                dialect: stored.dialect.into(),
                model: stored.model,
            }),
            kind,
            data: stored.data,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::conversation::ToolCall;
    use crate::domain::clock::ManualClock;
    use crate::domain::secret::Secret;
    use crate::domain::time::Time;
    use crate::store::disk::FolderDisk;
    use crate::store::reasoning_memory::Bounds;
    use crate::store::seal::SealKey;

    fn state(dialect: &'static str, data: &str) -> ProviderState {
        let origin = Origin {
            dialect: dialect.into(),
            model: "m".into(),
        };
        ProviderState {
            origin: Some(origin),
            kind: ProviderStateKind::Signature,
            data: data.into(),
        }
    }

    fn call(id: &str, provider_state: Option<ProviderState>) -> Content {
        Content::ToolCall(ToolCall {
            id: id.into(),
            name: "f".into(),
            arguments: "{}".into(),
            provider_state,
        })
    }

    fn reasoning_content(text: &str, provider_state: Option<ProviderState>) -> Content {
        Content::Reasoning(ReasoningBlock {
            text: text.into(),
            provider_state,
        })
    }

    fn request(blocks: Vec<Content>) -> ChatRequest {
        let blocks = blocks.into_iter().map(Into::into).collect();
        ChatRequest {
            turns: vec![Turn {
                role: Role::Assistant,
                blocks,
            }],
            ..ChatRequest::default()
        }
    }

    fn summary(chat: &ChatRequest) -> Vec<String> {
        let line = |block: &ContentBlock| match &block.content {
            Content::Reasoning(reasoned) => {
                format!(
                    "({}) {}",
                    reasoned.text,
                    reasoned
                        .provider_state
                        .as_ref()
                        .map_or("", |opaque| &opaque.data)
                )
            }
            Content::ToolCall(call) => format!(
                "{} {}",
                call.id,
                call.provider_state
                    .as_ref()
                    .map_or("", |opaque| &opaque.data)
            ),
            Content::Text(text) => text.clone(),
            _ => String::new(),
        };
        chat.turns[0].blocks.iter().map(line).collect()
    }

    #[test]
    fn e07_reasoning_is_restored_before_its_call_for_its_own_vendor_and_team() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Arc::new(FolderDisk::lock(folder.path()).expect("the folder is free"));
        let key = SealKey::of_secret(&Secret::new("k".repeat(32)));
        let bounds = Bounds {
            entries_max: 10,
            bytes_max: 1 << 20,
            keep_ms: 1_000,
        };
        let memory = ReasoningMemory::open(
            disk,
            Arc::new(Time::new(Arc::new(ManualClock::at_ms(1)))),
            &key,
            bounds,
        );
        let reasoning = vec![ReasoningBlock {
            text: "hm".into(),
            provider_state: Some(state("messages", "c2ln")),
        }];
        let calls = vec![
            ("a".to_owned(), None),
            ("b".to_owned(), Some(state("gemini", "Zw"))),
        ];
        keep(&memory, TeamId(1), RetainedReasoning { reasoning, calls });

        let lost = || {
            request(vec![
                reasoning_content("hm", None),
                Content::Text("so".into()),
                call("a", None),
                call("b", None),
            ])
        };
        let recalled = |mut chat: ChatRequest, team, upstream| {
            let bytes = recall(&memory, TeamId(team), &mut chat, upstream);
            (summary(&chat), bytes)
        };
        let owned = |lines: [&str; 4]| lines.map(str::to_owned).to_vec();
        assert_eq!(
            recalled(lost(), 1, Dialect::Messages),
            (owned(["(hm) c2ln", "so", "a ", "b "]), 6)
        );
        assert_eq!(
            recalled(lost(), 1, Dialect::Gemini),
            (owned(["(hm) ", "so", "a ", "b Zw"]), 2)
        );
        for (team, upstream) in [(2, Dialect::Messages), (1, Dialect::Converse)] {
            assert_eq!(
                recalled(lost(), team, upstream),
                (owned(["(hm) ", "so", "a ", "b "]), 0)
            );
        }
        let carried = request(vec![
            reasoning_content("hm", Some(state("messages", "own"))),
            call("a", None),
        ]);
        assert_eq!(
            recalled(carried, 1, Dialect::Messages),
            (vec!["(hm) own".to_owned(), "a ".to_owned()], 0)
        );
        memory.close();
    }
}
