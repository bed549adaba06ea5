//! An upstream's answer as it comes, in pieces that belong to numbered blocks. Blocks may be open side by side (parallel calls
//! in OpenAI's dialect); who must write one at a time orders them.

use crate::conversation::{ProviderState, StopReason};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputEvent {
    /// a block begins; numbers are the reader's own, each used once in an answer
    Open {
        block: u32,
        block_kind: BlockKind,
    },
    /// text of a text block, thoughts of a reasoning block, or a piece of a call's JSON arguments
    Delta {
        block: u32,
        text: String,
    },
    /// what only the vendor can read, of a reasoning block or a call; the last one counts
    State {
        block: u32,
        provider_state: ProviderState,
    },
    Close {
        block: u32,
    },
    /// why the answer ends; more events may follow (a late usage)
    Stop(StopReason),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockKind {
    Text,
    Reasoning,
    /// id and name as the upstream gave them; the id is minted by the reader where there is none
    Call {
        id: String,
        name: String,
    },
}
