//! Identity of a conversation, for routes with affinity: what the client names for the vendor's prompt cache, else the first message of
//! the user, which every later turn repeats. Only a hash leaves this file.

use std::hash::{BuildHasher, Hasher};

use serde_json::value::RawValue;

use crate::dialect::{Dialect, Request};

/// Members that hold the turns, by dialect.
const TURNS: [&str; 2] = ["messages", "input"];

#[derive(serde::Deserialize)]
struct Turn<'a> {
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// Hash of the conversation that a request continues.
pub(super) fn hash(request: &Request) -> u64 {
    let named = request.member("prompt_cache_key");
    let user = request
        .user
        .as_deref()
        .filter(|_| request.dialect == Dialect::Messages);
    let text = named.or(user).or_else(|| first_turn(request));
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    hasher.write(text.unwrap_or_default().as_bytes());
    hasher.finish()
}

/// JSON of the first content that is the user's: instructions are the same for many conversations.
fn first_turn(request: &Request) -> Option<&str> {
    let turns = TURNS.iter().find_map(|member| request.member(member))?;
    let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(turns) else {
        return Some(turns);
    };
    let content = list.iter().find_map(|turn| {
        let turn: Turn<'_> = serde_json::from_str(turn.get()).ok()?;
        let is_user = turn.role.is_some_and(|role| role.get() == "\"user\"");
        turn.content.map(RawValue::get).filter(|_| is_user)
    });
    content.or(Some(turns))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::dialect::{self, Operation};

    fn of(dialect: Dialect, body: &str) -> u64 {
        let body = Bytes::from(body.to_owned());
        hash(&dialect::read(dialect, Operation::Conversation, body).expect("a request"))
    }

    #[test]
    fn later_turns_of_a_conversation_have_its_hash() {
        let first = r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"one"}]}"#;
        let later = r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"one"},
            {"role":"assistant","content":"a"},{"role":"user","content":"two"}]}"#;
        let other = first.replace("one", "three");
        assert_eq!(of(Dialect::Chat, first), of(Dialect::Chat, later));
        assert_ne!(of(Dialect::Chat, first), of(Dialect::Chat, &other));
        let keyed = |text: &str| {
            format!(
                r#"{{"model":"m","prompt_cache_key":"k","messages":[{{"role":"user","content":"{text}"}}]}}"#
            )
        };
        assert_eq!(
            of(Dialect::Chat, &keyed("one")),
            of(Dialect::Chat, &keyed("two"))
        );
    }
}
