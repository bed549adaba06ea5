//! Anthropic's Messages, both sides: a client's requests and answers, and an upstream's.

mod event;

pub(super) use event::{EventKind, Message, MessagesEvent, MessagesUsage};
