//! Media types of images by their first bytes: clients label images as they like (`image/jpg`, nothing, another type), and vendors
//! refuse a label that does not fit.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::conversation::{ChatRequest, Content, ContentBlock, Media, Source};
use crate::domain::image_type::image_type;

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
        if let Some(known) = image_type(&bytes) {
            known.clone_into(mime);
        } else if mime == "image/jpg" {
            "image/jpeg".clone_into(mime);
        }
    }
}
