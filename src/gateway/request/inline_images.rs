//! Replaces image URLs by the images themselves, for vendors that take no URLs, where the operator allows the gateway to fetch
//! them. Before anything is held, placeholders take the place of the URLs, so that the images count in the ceiling like any other;
//! after the hold the images are fetched, a few at once, under one deadline.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{StreamExt, TryStreamExt, iter};

use crate::config::IMAGES_MAX;
use crate::conversation::{ChatRequest, Content, ContentBlock, Media, Source};
use crate::domain::api_error::ApiError;
use crate::domain::image_type::image_type;
use crate::upstream::Fetcher;

/// Images of one request that are fetched at once.
const AT_ONCE: usize = 4;
/// Beginning of a placeholder: that of a PNG.
const PNG: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];

/// Replaces the images by URL by placeholders and returns the URLs. Refuses more than the maximum, and other schemes.
pub(super) fn defer(chat: &mut ChatRequest) -> Result<Vec<String>, ApiError> {
    let mut urls = Vec::new();
    for media in images(chat) {
        let Source::Url(url) = &media.source else {
            continue;
        };
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(refusal(
                "an image's URL must begin with https:// or http://",
            ));
        }
        let url = url.clone();
        media.mime = "image/png".to_owned();
        media.source = Source::Base64(placeholder(urls.len()));
        urls.push(url);
        if urls.len() > IMAGES_MAX {
            return Err(refusal(&format!(
                "more than {IMAGES_MAX} images by URL; send the images themselves, in base64"
            )));
        }
    }
    Ok(urls)
}

/// Fetches the images whose placeholders are still there.
pub(super) async fn inline(
    chat: &mut ChatRequest,
    urls: &[String],
    fetcher: &Fetcher,
) -> Result<(), ApiError> {
    let deferred = images(chat).into_iter().filter_map(|media| {
        let number = (0..urls.len()).find(
            |number| matches!(&media.source, Source::Base64(data) if *data == placeholder(*number)),
        )?;
        Some((media, &urls[number]))
    });
    let fetches = iter(deferred).map(|(media, url)| fetch(media, url, fetcher));
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

fn placeholder(number: usize) -> String {
    let number = format!("image {number}");
    STANDARD.encode([&PNG[..], number.as_bytes()].concat())
}

fn images(chat: &mut ChatRequest) -> Vec<&mut Media> {
    let blocks = chat.turns.iter_mut().flat_map(|turn| &mut turn.blocks);
    blocks.flat_map(inner_blocks).filter_map(image).collect()
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

fn image(block: &mut ContentBlock) -> Option<&mut Media> {
    match &mut block.content {
        Content::Image(media) => Some(media),
        _ => None,
    }
}

async fn fetch(media: &mut Media, url: &str, fetcher: &Fetcher) -> Result<(), ApiError> {
    let bytes = fetcher
        .fetch(url)
        .await
        .map_err(|error| refusal(&format!("an image could not be fetched: {error}")))?;
    let mime = image_type(&bytes)
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
