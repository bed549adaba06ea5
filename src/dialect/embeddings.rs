//! How many prompts an embeddings request has. Takes the value of `input`, answers a count, or nothing where it is no text, no
//! tokens and no array of either: what else stands there (an image's address) might be bounded by nothing.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A text or one array of tokens is one prompt; an array of texts or of token arrays has one in each place.
pub(super) fn prompts(input: &str) -> Option<u64> {
    match input.as_bytes().first()? {
        b'"' => Some(1),
        b'[' => serde_json::Deserializer::from_str(input)
            .deserialize_seq(Prompts)
            .ok(),
        _ => None,
    }
}

struct Prompts;

impl<'de> Visitor<'de> for Prompts {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("texts or tokens")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<u64, A::Error> {
        let (mut prompts, mut tokens) = (0, 0);
        while let Some(item) = items.next_element::<&'de RawValue>()? {
            match item.get().as_bytes() {
                [b'"', ..] => prompts += 1,
                [b'[', inner @ .., b']'] if are_tokens(inner) => prompts += 1,
                token if are_tokens(token) => tokens += 1,
                _ => return Err(A::Error::custom("neither a text nor tokens")),
            }
        }
        match (prompts, tokens) {
            (0, 1..) => Ok(1),
            (1.., 0) => Ok(prompts),
            _ => Err(A::Error::custom("nothing, or a mixture")),
        }
    }
}

/// Whole numbers and what separates them.
fn are_tokens(json: &[u8]) -> bool {
    !json.is_empty()
        && json
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b',' || byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_counted_and_what_is_none_is_refused() {
        for (input, expected) in [
            (r#""hello""#, Some(1)),
            (r#""""#, Some(1)),
            (r#"["a", "b" ,"\ud83d"]"#, Some(3)),
            ("[1, 2,3]", Some(1)),
            ("[[1, 2],[3]]", Some(2)),
            ("[]", None),
            ("[[]]", None),
            (r#"["a",1]"#, None),
            (r#"[[1],"a",[2]]"#, Some(3)),
            ("[1.5]", None),
            ("[-1]", None),
            (r#"[["a"]]"#, None),
            ("[[[1]]]", None),
            (
                r#"[{"type":"image_url","image_url":{"url":"https://x.y"}}]"#,
                None,
            ),
            (r#"{"text":"a"}"#, None),
            ("null", None),
            ("7", None),
        ] {
            assert_eq!(prompts(input), expected, "{input}");
        }
    }
}
