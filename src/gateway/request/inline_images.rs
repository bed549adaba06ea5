//! Replaces image URLs by the images themselves, for vendors that take no URLs, where the operator allows the gateway to fetch
//! them. The URLs are checked before anything is held, and count in the ceiling like any other image; they are fetched after the
//! hold, a few at once, under one deadline.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{StreamExt, TryStreamExt, iter};

use crate::config::IMAGES_MAX;
use crate::conversation::{ChatRequest, Content, ContentBlock, Media, Source};
use crate::domain::api_error::ApiError;
use crate::upstream::Fetcher;

/// Images of one request that are fetched at once.
const AT_ONCE: usize = 4;

/// Counts the images by URL. Refuses more than the maximum, and other schemes.
pub(super) fn check(chat: &mut ChatRequest) -> Result<usize, ApiError> {
    let images = remote_images(chat);
    if images.len() > IMAGES_MAX {
        return Err(refusal(&format!(
            "more than {IMAGES_MAX} images by URL; send the images themselves, in base64"
        )));
    }
    let is_web = |url: &str| url.starts_with("https://") || url.starts_with("http://");
    let mut sources = images.iter().map(|image| &image.source);
    if sources.any(|source| matches!(source, Source::Url(url) if !is_web(url))) {
        return Err(refusal(
            "an image's URL must begin with https:// or http://",
        ));
    }
    Ok(images.len())
}

/// Fetches every image of the request that is given by URL.
pub(super) async fn inline(chat: &mut ChatRequest, fetcher: &Fetcher) -> Result<(), ApiError> {
    let fetches = iter(remote_images(chat)).map(|media| fetch(media, fetcher));
    let all = fetches.buffer_unordered(AT_ONCE).try_collect::<()>();
    let timeout_ms = fetcher.timeout_ms();
    let fetched = tokio::time::timeout(Duration::from_millis(timeout_ms), all).await;
    fetched.unwrap_or_else(|_| {
        let waited_s = timeout_ms / 1_000;
        Err(refusal(&format!(
            "an image could not be fetched: the images of this request took longer than {waited_s} s"
        )))
    })
}

fn remote_images(chat: &mut ChatRequest) -> Vec<&mut Media> {
    let blocks = chat.turns.iter_mut().flat_map(|turn| &mut turn.blocks);
    blocks
        .flat_map(inner_blocks)
        .filter_map(remote_image)
        .collect()
}

/// The blocks of a tool result, else the block itself.
fn inner_blocks(block: &mut ContentBlock) -> &mut [ContentBlock] {
    if !matches!(block.content, Content::ToolResult(_)) {
        return std::slice::from_mut(block);
    }
    match &mut block.content {
        Content::ToolResult(result) => &mut result.blocks,
        _ => &mut [],
    }
}

fn remote_image(block: &mut ContentBlock) -> Option<&mut Media> {
    match &mut block.content {
        Content::Image(media) if matches!(media.source, Source::Url(_)) => Some(media),
        _ => None,
    }
}

async fn fetch(media: &mut Media, fetcher: &Fetcher) -> Result<(), ApiError> {
    let Source::Url(url) = &media.source else {
        return Ok(());
    };
    let bytes = fetcher
        .fetch(url)
        .await
        .map_err(|error| refusal(&format!("an image could not be fetched: {error}")))?;
    let mime = media_type(&bytes)
        .ok_or_else(|| refusal("what an image's URL leads to is no PNG, JPEG, GIF or WebP"))?;
    *media = Media {
        mime: mime.to_owned(),
        source: Source::Base64(STANDARD.encode(&bytes)),
        name: media.name.take(),
    };
    Ok(())
}

fn refusal(reason: &str) -> ApiError {
    ApiError::invalid(reason).with_param("messages")
}

/// Media type by the first bytes, whatever the server calls it.
fn media_type(bytes: &[u8]) -> Option<&'static str> {
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
    use super::media_type;

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
