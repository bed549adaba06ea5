//! Media in a body: base64 strings above a size are replaced by the SHA-256 of their bytes, in every dialect. All other bytes stay.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use ring::digest::{SHA256, digest};

use crate::domain::image_type::image_type;

const ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// Letters of a data URL before its payload.
const DATA_URL_HEAD_MAX: usize = 200;
/// Letters that are decoded to recognize a type.
const SNIFFED_LETTERS: usize = 32;

/// Replaces media of more than `bytes_max` bytes; returns the body and their number.
pub(super) fn replace_media(body: &[u8], bytes_max: usize) -> (Vec<u8>, u32) {
    let letters_min = bytes_max / 3 * 4;
    let (mut replaced, mut count) = (Vec::new(), 0);
    let (mut copied, mut at) = (0, 0);
    while let Some(start) = find_quote(body, at) {
        let Some(end) = end_of_string(body, start) else {
            break;
        };
        at = end + 1;
        if end - start <= letters_min {
            continue;
        }
        if let Some(media) = Media::of(&body[start..end]).filter(|media| media.bytes > bytes_max) {
            replaced.extend(&body[copied..start]);
            replaced.extend(media.to_string().into_bytes());
            copied = end;
            count += 1;
        }
    }
    replaced.extend(&body[copied..]);
    (replaced, count)
}

/// Position after the next quote.
fn find_quote(body: &[u8], from: usize) -> Option<usize> {
    let rest = body.get(from..)?;
    let quote = rest.iter().position(|byte| *byte == b'"')?;
    Some(from + quote + 1)
}

/// Position of the quote that ends the string.
fn end_of_string(body: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let stop = body[at..]
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\'))?;
        at += stop;
        if body[at] == b'"' {
            return Some(at);
        }
        at += 2;
        if at > body.len() {
            return None;
        }
    }
}

/// Type, size and hash of media.
struct Media {
    kind: String,
    bytes: usize,
    sha256: String,
}

impl Media {
    /// `None` for a string that is neither a data URL nor base64 of a known type.
    fn of(string: &[u8]) -> Option<Media> {
        let (kind, payload) = match data_url(string) {
            Some((kind, payload)) => (kind.to_owned(), payload),
            None => (bare_kind(string)?.to_owned(), string),
        };
        // an encoder of JSON may escape the slash
        let letters: Vec<u8> = payload.iter().copied().filter(|b| *b != b'\\').collect();
        let bytes = ANY_PADDING.decode(letters).ok()?;
        let sha256 = digest(&SHA256, &bytes);
        Some(Media {
            kind,
            bytes: bytes.len(),
            sha256: sha256.as_ref().iter().map(|b| format!("{b:02x}")).collect(),
        })
    }
}

impl std::fmt::Display for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Media {
            kind,
            bytes,
            sha256,
        } = self;
        write!(f, "sha256:{sha256} ({bytes} bytes of {kind}, not captured)")
    }
}

/// Type and payload of a data URL in base64.
fn data_url(string: &[u8]) -> Option<(&str, &[u8])> {
    let rest = string.strip_prefix(b"data:")?;
    let head = &rest[..rest.len().min(DATA_URL_HEAD_MAX)];
    let comma = head.iter().position(|byte| *byte == b',')?;
    let head = std::str::from_utf8(&head[..comma]).ok()?;
    let kind = head.strip_suffix(";base64")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/+-.;=".contains(c);
    let kind = if kind.chars().all(is_plain) {
        kind
    } else {
        "data"
    };
    Some((kind, &rest[comma + 1..]))
}

/// Type of base64 without a head, by its first bytes.
fn bare_kind(string: &[u8]) -> Option<&'static str> {
    let letters: Vec<u8> = string
        .iter()
        .copied()
        .filter(|b| *b != b'\\')
        .take(SNIFFED_LETTERS)
        .collect();
    let bytes = general_purpose::STANDARD.decode(letters).ok()?;
    image_type(&bytes).or(match bytes.as_slice() {
        [b'%', b'P', b'D', b'F', ..] => Some("application/pdf"),
        [b'R', b'I', b'F', b'F', ..] => Some("audio/wav"),
        [b'I', b'D', b'3', ..] | [0xff, 0xfb | 0xf3, ..] => Some("audio/mpeg"),
        [b'O', b'g', b'g', b'S', ..] => Some("audio/ogg"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(bytes: usize) -> String {
        let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
        image.resize(bytes, 7);
        general_purpose::STANDARD.encode(image)
    }

    fn replaced(body: &str) -> (String, u32) {
        let (bytes, count) = replace_media(body.as_bytes(), 64);
        (String::from_utf8(bytes).expect("text"), count)
    }

    #[test]
    fn media_above_the_size_is_replaced_by_its_hash_in_each_dialect() {
        let large = png(200);
        for body in [
            format!(
                r#"{{"image_url":{{"url":"data:image/png;base64,{large}"}},"text":"a \"quote\""}}"#
            ),
            format!(
                r#"{{"source":{{"media_type":"image/png","data":"{large}"}},"text":"a \"quote\""}}"#
            ),
            format!(
                r#"{{"b64_json":"{}","text":"a \"quote\""}}"#,
                large.replace('/', "\\/")
            ),
        ] {
            let (text, count) = replaced(&body);
            assert_eq!(count, 1, "{text}");
            assert!(
                text.contains("(200 bytes of image/png, not captured)"),
                "{text}"
            );
            assert!(text.contains(r#""text":"a \"quote\"""#) && !text.contains(&large[..40]));
            serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
        }
    }

    #[test]
    fn small_media_and_long_text_stay() {
        let text = "long text without spaces ".repeat(20).replace(' ', "");
        let body = format!(
            r#"{{"data":"{}","text":"{text}","cut":"{}"#,
            png(30),
            "A".repeat(300)
        );
        assert_eq!(replaced(&body), (body.clone(), 0));
        let words = format!(r#"["{}"]"#, "A".repeat(300));
        assert_eq!(replaced(&words), (words.clone(), 0));
    }

    #[test]
    fn same_media_has_the_same_hash() {
        let image = png(200);
        let in_url = replaced(&format!("\"data:image/png;base64,{image}\"")).0;
        assert_eq!(in_url, replaced(&format!("\"{image}\"")).0);
    }
}
