//! Replaces image URLs by the images themselves, for vendors that take no URLs, where the operator allows the gateway to fetch
//! them. Runs before anything is held, so that fetched images count in the ceiling like any other image.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::IMAGES_MAX;
use crate::conversation::{ChatRequest, Content, ContentBlock, Media, Source};
use crate::domain::api_error::ApiError;
use crate::gateway::request::media_types::media_type;
use crate::upstream::Fetcher;

/// Fetches every image of the request that is given by URL; refuses more than the configured maximum.
pub(super) async fn inline(chat: &mut ChatRequest, fetcher: &Fetcher) -> Result<(), ApiError> {
    let mut fetched = 0;
    for block in chat.turns.iter_mut().flat_map(|turn| &mut turn.blocks) {
        let inner = match &mut block.content {
            Content::ToolResult(result) => result.blocks.as_mut_slice(),
            _ => std::slice::from_mut(block),
        };
        for media in inner.iter_mut().filter_map(remote_image) {
            fetched += 1;
            if fetched > IMAGES_MAX {
                return Err(refusal(&format!(
                    "more than {IMAGES_MAX} images by URL; send the images themselves, in base64"
                )));
            }
            fetch(media, fetcher).await?;
        }
    }
    Ok(())
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
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(refusal(
            "an image's URL must begin with https:// or http://",
        ));
    }
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
