//! Thoughts that a client's dialect cannot carry: kept by the ids of the calls that followed them, and put back into the
//! conversation before it is written for the vendor that made them. Must never give one team's to another.

use serde::{Deserialize, Serialize};

use crate::conversation::{
    ChatRequest, Content, ContentBlock, Origin, ProviderState, ProviderStateKind, ReasoningBlock,
    RetainedReasoning, Role, Turn,
};
use crate::dialect::Dialect;
use crate::domain::id::TeamId;
use crate::store::reasoning_memory::ReasoningMemory;

/// The calls of a conversation that are looked up, from its end.
const CALLS_MAX: usize = 1_000;

/// What is kept of one call: the thoughts before it, if it was the first, and what goes with it.
#[derive(Deserialize, Serialize)]
struct StoredCall {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reasoning: Vec<StoredReasoning>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "opaque")]
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

/// Keeps what an answer's calls need in the turns that follow.
pub(crate) fn keep(memory: &ReasoningMemory, team: TeamId, remembered: RetainedReasoning) {
    let mut reasoning: Vec<StoredReasoning> = remembered
        .reasoning
        .into_iter()
        .map(StoredReasoning::from)
        .collect();
    for (id, provider_state) in remembered.calls {
        let kept = StoredCall {
            reasoning: std::mem::take(&mut reasoning),
            provider_state: provider_state.and_then(StoredState::of),
        };
        if kept.reasoning.is_empty() && kept.provider_state.is_none() {
            continue;
        }
        match serde_json::to_vec(&kept) {
            Ok(plain) => memory.store(team, &id, plain),
            Err(error) => tracing::error!("a thought cannot be kept: {error}"),
        }
    }
}

/// Puts back what the client lost of the turns that this upstream's dialect made. Says how many bytes came in.
pub(crate) fn recall(
    memory: &ReasoningMemory,
    team: TeamId,
    ask: &mut ChatRequest,
    upstream: Dialect,
) -> u64 {
    let mut bytes = 0;
    let mut left = CALLS_MAX;
    for turn in ask
        .turns
        .iter_mut()
        .rev()
        .filter(|turn| turn.role == Role::Assistant)
    {
        let calls = turn
            .blocks
            .iter()
            .filter(|block| matches!(block.content, Content::ToolCall(_)))
            .count();
        if calls > left {
            break;
        }
        left -= calls;
        bytes += recall_turn(memory, team, turn, upstream);
    }
    bytes
}

fn recall_turn(memory: &ReasoningMemory, team: TeamId, turn: &mut Turn, upstream: Dialect) -> u64 {
    let mut bytes = 0;
    let mut thoughts: Vec<ReasoningBlock> = Vec::new();
    for block in &mut turn.blocks {
        let Content::ToolCall(call) = &mut block.content else {
            continue;
        };
        let Some(kept) = memory
            .find(team, &call.id)
            .and_then(|plain| serde_json::from_slice::<StoredCall>(&plain).ok())
        else {
            continue;
        };
        thoughts.extend(
            kept.reasoning
                .into_iter()
                .filter_map(|thought| thought.of(upstream)),
        );
        if call.provider_state.is_none() {
            call.provider_state = kept
                .provider_state
                .filter(|provider_state| provider_state.dialect == upstream.as_str())
                .map(ProviderState::from);
            bytes += call
                .provider_state
                .as_ref()
                .map_or(0, |provider_state| provider_state.data.len() as u64);
        }
    }
    let carried = |block: &ContentBlock| matches!(&block.content, Content::Reasoning(reasoned) if reasoned.provider_state.is_some());
    if thoughts.is_empty() || turn.blocks.iter().any(carried) {
        return bytes;
    }
    // what the client echoed of the same thoughts, without what makes them worth anything
    turn.blocks
        .retain(|block| !matches!(block.content, Content::Reasoning(_)));
    for thought in &thoughts {
        bytes += thought.text.len() as u64
            + thought
                .provider_state
                .as_ref()
                .map_or(0, |provider_state| provider_state.data.len() as u64);
    }
    turn.blocks.splice(
        0..0,
        thoughts
            .into_iter()
            .map(|thought| Content::Reasoning(thought).into()),
    );
    bytes
}

impl From<ReasoningBlock> for StoredReasoning {
    fn from(reasoned: ReasoningBlock) -> StoredReasoning {
        StoredReasoning {
            text: reasoned.text,
            provider_state: reasoned.provider_state.and_then(StoredState::of),
        }
    }
}

impl StoredReasoning {
    /// A thought that the dialect made.
    fn of(self, upstream: Dialect) -> Option<ReasoningBlock> {
        let provider_state = self
            .provider_state
            .filter(|provider_state| provider_state.dialect == upstream.as_str())?;
        Some(ReasoningBlock {
            text: self.text,
            provider_state: Some(provider_state.into()),
        })
    }
}

impl StoredState {
    /// Only what is known whose it is.
    fn of(provider_state: ProviderState) -> Option<StoredState> {
        let Origin { dialect, model } = provider_state.origin?;
        let redacted = provider_state.kind == ProviderStateKind::Redacted;
        Some(StoredState {
            dialect: dialect.into_owned(),
            model,
            redacted,
            data: provider_state.data,
        })
    }
}

impl From<StoredState> for ProviderState {
    fn from(kept: StoredState) -> ProviderState {
        let kind = if kept.redacted {
            ProviderStateKind::Redacted
        } else {
            ProviderStateKind::Signature
        };
        ProviderState {
            origin: Some(Origin {
                dialect: kept.dialect.into(),
                model: kept.model,
            }),
            kind,
            data: kept.data,
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

    fn provider_state(dialect: &'static str, data: &str) -> ProviderState {
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

    fn thought(text: &str, provider_state: Option<ProviderState>) -> Content {
        Content::Reasoning(ReasoningBlock {
            text: text.into(),
            provider_state,
        })
    }

    fn ask(blocks: Vec<Content>) -> ChatRequest {
        let blocks = blocks.into_iter().map(Into::into).collect();
        ChatRequest {
            turns: vec![Turn {
                role: Role::Assistant,
                blocks,
            }],
            ..ChatRequest::default()
        }
    }

    fn told(ask: &ChatRequest) -> Vec<String> {
        let told = |block: &ContentBlock| match &block.content {
            Content::Reasoning(reasoned) => {
                format!(
                    "({}) {}",
                    reasoned.text,
                    reasoned
                        .provider_state
                        .as_ref()
                        .map_or("", |provider_state| &provider_state.data)
                )
            }
            Content::ToolCall(call) => format!(
                "{} {}",
                call.id,
                call.provider_state
                    .as_ref()
                    .map_or("", |provider_state| &provider_state.data)
            ),
            Content::Text(text) => text.clone(),
            _ => String::new(),
        };
        ask.turns[0].blocks.iter().map(told).collect()
    }

    #[test]
    fn e07_thoughts_come_back_before_their_calls_to_their_own_vendor_and_team() {
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
            provider_state: Some(provider_state("messages", "c2ln")),
        }];
        let calls = vec![
            ("a".to_owned(), None),
            ("b".to_owned(), Some(provider_state("gemini", "Zw"))),
        ];
        keep(&memory, TeamId(1), RetainedReasoning { reasoning, calls });

        let lost = || {
            ask(vec![
                thought("hm", None),
                Content::Text("so".into()),
                call("a", None),
                call("b", None),
            ])
        };
        let recalled = |mut ask: ChatRequest, team, upstream| {
            let bytes = recall(&memory, TeamId(team), &mut ask, upstream);
            (told(&ask), bytes)
        };
        let owned = |told: [&str; 4]| told.map(str::to_owned).to_vec();
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
        let carried = ask(vec![
            thought("hm", Some(provider_state("messages", "own"))),
            call("a", None),
        ]);
        assert_eq!(
            recalled(carried, 1, Dialect::Messages),
            (vec!["(hm) own".to_owned(), "a ".to_owned()], 0)
        );
        memory.close();
    }
}
