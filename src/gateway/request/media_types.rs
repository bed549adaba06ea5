//! Media types of images by their first bytes: clients label images as they like (`image/jpg`, nothing, another type), and vendors
//! refuse a label that does not fit.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::conversation::{ChatRequest, Content, ContentBlock, Media, Source};

/// Base64 letters that hold the first bytes of an image.
const HEAD_LETTERS: usize = 32;

/// Labels every image in the request by its first bytes, as far as they are known.
pub(super) fn label(chat: &mut ChatRequest) {
    for block in chat.turns.iter_mut().flat_map(|turn| &mut turn.blocks) {
        let inner = match &mut block.content {
            Content::ToolResult(result) => result.blocks.as_mut_slice(),
            _ => std::slice::from_mut(block),
        };
        inner.iter_mut().for_each(label_block);
    }
}

fn label_block(block: &mut ContentBlock) {
    if let Content::Image(Media {
        mime,
        source: Source::Base64(data),
        ..
    }) = &mut block.content
    {
        let head = data.get(..HEAD_LETTERS).unwrap_or(data);
        let bytes = STANDARD.decode(head).unwrap_or_default();
        if let Some(known) = media_type(&bytes) {
            known.clone_into(mime);
        } else if mime == "image/jpg" {
            "image/jpeg".clone_into(mime);
        }
    }
}

/// Media type by the first bytes, whatever it is called.
pub(super) fn media_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e22_image_media_type_is_read_from_its_first_bytes() {
        for (bytes, expected) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], Some("image/png")),
            (b"\xff\xd8\xff\xe0....", Some("image/jpeg")),
            (b"GIF89a....", Some("image/gif")),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"<html>", None),
            (b"RIFF\x10\0\0\0WAVE", None),
            (b"", None),
        ] {
            assert_eq!(media_type(bytes), expected);
        }
    }
}
