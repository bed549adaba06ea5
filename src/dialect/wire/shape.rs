//! Bounds of a JSON text's shape, counted in one pass over its bytes before anything is decoded: nesting, messages or tools, and
//! objects and arrays in all. A body of a few megabytes could otherwise become gigabytes in memory.

/// Deeper than schemas of tools and far less than a recursive reader bears.
const NESTING_MAX: usize = 256;
/// Objects of a request's arrays, such as messages, items and tools: a vendor's own bound of messages.
const ELEMENTS_MAX: usize = 100_000;
/// Objects and arrays in all: content parts, schemas, arguments.
const CONTAINERS_MAX: usize = 1_000_000;
/// Depth of an element of a top-level array.
const ELEMENT_DEPTH: usize = 3;

/// Bound that a text exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShapeError {
    #[error("nests deeper than {NESTING_MAX} levels")]
    Nesting,
    #[error("has more than {ELEMENTS_MAX} messages, items and tools")]
    Elements,
    #[error("has more than {CONTAINERS_MAX} objects and arrays")]
    Containers,
}

/// Checks the bounds of a text, whether it is valid JSON or not.
pub(crate) fn check(text: &[u8]) -> Result<(), ShapeError> {
    let (mut depth, mut elements, mut containers) = (0_usize, 0, 0);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => at = end_of_string(text, at),
            b'{' | b'[' => {
                depth += 1;
                containers += 1;
                elements += usize::from(depth == ELEMENT_DEPTH);
                if depth > NESTING_MAX {
                    return Err(ShapeError::Nesting);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if elements > ELEMENTS_MAX {
            return Err(ShapeError::Elements);
        }
        if containers > CONTAINERS_MAX {
            return Err(ShapeError::Containers);
        }
    }
    Ok(())
}

/// Position behind the string that begins before `at`.
fn end_of_string(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = memchr::memchr2(b'"', b'\\', &text[at.min(text.len())..]) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(part: &str, count: usize) -> String {
        vec![part; count].join(",")
    }

    #[test]
    fn shape_within_bounds_passes_whatever_its_strings_hold() {
        let text = format!(
            "{{\"a\":\"{}\\\"{}\\\\\"}}",
            "[".repeat(1_000),
            "{".repeat(1_000)
        );
        assert_eq!(check(text.as_bytes()), Ok(()));
        let messages = format!("{{\"messages\":[{}]}}", repeated("{}", ELEMENTS_MAX));
        assert_eq!(check(messages.as_bytes()), Ok(()));
        assert_eq!(check(b"\"\\"), Ok(()));
        assert_eq!(check(b"\"abc"), Ok(()));
    }

    #[test]
    fn nesting_elements_and_containers_have_bounds() {
        let deep = "[".repeat(NESTING_MAX + 1);
        assert_eq!(check(deep.as_bytes()), Err(ShapeError::Nesting));
        let messages = format!("{{\"messages\":[{}]}}", repeated("{}", ELEMENTS_MAX + 1));
        assert_eq!(check(messages.as_bytes()), Err(ShapeError::Elements));
        let parts = repeated("{}", CONTAINERS_MAX);
        let parts = format!("{{\"messages\":[{{\"content\":[{parts}]}}]}}");
        assert_eq!(check(parts.as_bytes()), Err(ShapeError::Containers));
    }
}
