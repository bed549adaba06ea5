//! Media types of images by their first bytes: clients label images as they like (`image/jpg`, nothing, another type), and vendors
//! refuse a label that does not fit.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::conversation::{ChatRequest, Content, ContentBlock, Media, Source};
use crate::domain::image_type::image_type;

/// Base64 letters that hold the first bytes of an image.
const HEAD_LETTERS: usize = 32;

/// Labels every image in the request by its first bytes, as far as they are known. Returns true if a label changed.
pub(super) fn label(chat: &mut ChatRequest) -> bool {
    let mut is_changed = false;
    for block in chat.turns.iter_mut().flat_map(|turn| &mut turn.blocks) {
        let inner = match &mut block.content {
            Content::ToolResult(result) => result.blocks.as_mut_slice(),
            _ => std::slice::from_mut(block),
        };
        for block in inner {
            is_changed |= label_block(block);
        }
    }
    is_changed
}

fn label_block(block: &mut ContentBlock) -> bool {
    if let Content::Image(Media {
        mime,
        source: Source::Base64(data),
        ..
    }) = &mut block.content
    {
        let head = data.get(..HEAD_LETTERS).unwrap_or(data);
        let bytes = STANDARD.decode(head).unwrap_or_default();
        let alias = (mime == "image/jpg").then_some("image/jpeg");
        if let Some(label) = image_type(&bytes).or(alias)
            && label != mime
        {
            label.clone_into(mime);
            return true;
        }
    }
    false
}
