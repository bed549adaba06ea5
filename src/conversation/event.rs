//! Output events: increments of an upstream's response, each of a numbered block. Several blocks
//! can be open at once (parallel calls in OpenAI's dialect); an encoder whose dialect allows one at
//! a time must order them.

use crate::conversation::{ProviderState, StopReason};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputEvent {
    /// a block begins; the decoder assigns its number, unique in a response
    Open {
        block: u32,
        block_kind: BlockKind,
    },
    /// part of a text, of a reasoning text, or of a call's JSON arguments
    Delta {
        block: u32,
        text: String,
    },
    /// provider state of a reasoning block or a call; the last one counts
    State {
        block: u32,
        provider_state: ProviderState,
    },
    Close {
        block: u32,
    },
    /// the response ends; late usage can follow
    Stop(StopReason),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockKind {
    Text,
    Reasoning,
    /// id and name from the upstream; the decoder generates a missing id
    Call {
        id: String,
        name: String,
    },
}
